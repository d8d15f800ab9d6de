import { type ControlState, decodeControlBody, SealogError } from 'sealog/protocol'
import type { Push } from './judge.ts'
import type { PushedEntry } from './pushed-entry.ts'

/** What a push asks of the relay. */
export interface PushCost {
  readonly entries: number
  /** Of headers, signatures, bodies and wraps. */
  readonly bytes: number
  readonly controls: number
  /** It ends somebody's rights, and does nothing else: see `pushCost`. */
  readonly isRelief: boolean
}

const SIGNATURE_LENGTH = 64

/** What ends the rights of a member, a device or an invite. */
const ENDING: ReadonlySet<string> = new Set(['revoke', 'remove-device', 'remove-member', 'leave', 'set-role'])

/**
 * What the entries of a push come to. A push is *relief* where all of them end somebody's
 * rights, or start the epoch without which nobody may write after that: were such entries refused because a space is
 * full or busy, whoever fills it could keep themselves from being removed.
 * @param control state of the space as it is shown
 */
export function pushCost(push: Push, control: ControlState | undefined): PushCost {
  let bytes = 0
  let entries = 0
  let controls = 0
  let reliefs = 0
  for (const entry of push) {
    entries++
    // To find out that it is none took as long as to judge one.
    if ('fault' in entry) continue
    bytes += bytesOf(entry)
    if (entry.header.kind !== 'control') continue
    controls++
    if (isRelief(entry, control)) reliefs++
  }
  return { entries, bytes, controls, isRelief: entries > 0 && reliefs === entries }
}

/** What one entry takes in the store, as `StoredSpace.bytes` counts it. */
export function bytesOf({ encoded, body, wraps }: PushedEntry): number {
  return encoded.length + SIGNATURE_LENGTH + body.length + (wraps?.bytes?.length ?? 0)
}

/**
 * The entries up to the first whose body is longer than this relay takes: that one is refused. What is said about
 * members and keys has a limit of its own, which is the same everywhere.
 */
export function withinBodyLength(push: Push, limit: number): Push {
  const at = push.findIndex(entry => 'header' in entry && entry.header.kind !== 'control' && entry.body.length > limit)
  if (at < 0) return push
  const fault = new SealogError('ERR_LIMIT', `a body of more than ${limit} bytes`, { details: { limit } })
  return [...push.slice(0, at), { fault }]
}

function isRelief({ body }: PushedEntry, control: ControlState | undefined): boolean {
  let type: string
  try {
    type = decodeControlBody(body).type
  } catch {
    // The reducer says what is wrong with it.
    return false
  }
  return ENDING.has(type) || (type === 'rotate' && control?.rotation === 'tainted')
}
