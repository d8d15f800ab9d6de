import type { SignatureVerifier } from '../crypto/sign.ts'
import { hasCode, SealogError } from '../errors.ts'
import type { MemberId } from '../ids.ts'
import { assertChecks } from '../verify/check.ts'
import { type Skipped, skipTo } from '../verify/fast-forward.ts'
import type { Anchor, LogView } from '../verify/log.ts'
import { decodeSkipHead } from '../verify/records.ts'
import { vouchersOf } from '../verify/vouchers.ts'
import type { RecordsAnswer } from './relay-questions.ts'
import type { SpaceChannel } from './space-channel.ts'
import type { Vouchers } from './trust.ts'

/** Entries that are worth more than one round trip: below, they are replayed. */
export interface SkipLimits {
  /** Least size of the log in an invite. */
  readonly join: number
  /** Fewest entries that a replica has missed. */
  readonly comeback: number
}

export const DEFAULT_SKIP_LIMITS: SkipLimits = { join: 512, comeback: 4096 }

export interface SkipOptions {
  readonly channel: SpaceChannel
  readonly verifier: SignatureVerifier
  readonly view: LogView
  /** Size of the log that the relay has just signed; as a hint only. */
  readonly claimed: number
  readonly limits: SkipLimits
  readonly member: MemberId
  /** Number of the own device; undefined before it is admitted. */
  readonly device: number | undefined
}

export interface SkippedAhead extends Skipped {
  /** The relay's note of the checkpoint, with what members added. */
  readonly note: Uint8Array
  readonly by: Vouchers
}

/** Where a skip would lead: to the checkpoint in the invite, or to one that members have cosigned. */
export function isSkipDue({ view, claimed, limits }: Pick<SkipOptions, 'view' | 'claimed' | 'limits'>): boolean {
  if (view.state === undefined) return (invited(view)?.size ?? 0) >= limits.join
  return claimed - view.range.size >= limits.comeback
}

/**
 * Skips to a checkpoint that somebody answers for (DESIGN §5.4), with every signature on the way checked.
 * @returns undefined where the relay has no such checkpoint, or none that is worth it: then the log is replayed
 * @throws SealogError with the code of what did not verify; ERR_UNVOUCHED
 */
export async function skipAhead(options: SkipOptions): Promise<SkippedAhead | undefined> {
  return options.view.state === undefined ? skipToInvite(options) : skipToCosigned(options)
}

/** The inviter vouches for the checkpoint that it put into the invite. */
async function skipToInvite({ channel, verifier, view }: SkipOptions): Promise<SkippedAhead | undefined> {
  const anchor = invited(view)
  if (anchor?.note === undefined) return undefined
  const answer = await ask(channel, view, anchor.size, 0)
  if (answer === undefined) return undefined
  const head = { ...decodeSkipHead(answer.head), note: anchor.note }
  const skipped = skipTo(view, head, answer.records)
  await assertChecks(verifier, skipped.checks)
  return { ...skipped, note: anchor.note, by: 'inviter' }
}

async function skipToCosigned(options: SkipOptions): Promise<SkippedAhead | undefined> {
  const { channel, verifier, view, member, device, limits } = options
  const pinned = view.state?.control
  if (pinned === undefined || device === undefined) return undefined
  const answer = await ask(channel, view, 0, pinned.policy.attestations)
  if (answer === undefined) return undefined
  const head = decodeSkipHead(answer.head)
  const skipped = skipTo(view, head, answer.records)
  await assertChecks(verifier, skipped.checks)
  const current = skipped.view.state?.control
  if (current === undefined || skipped.view.range.size - view.range.size < limits.comeback / 2) return undefined
  const by = vouchersOf(head.note, view.space, { member, device, pinned, current })
  return { ...skipped, note: head.note, by }
}

async function ask(
  channel: SpaceChannel,
  view: LogView,
  at: number,
  attestations: number,
): Promise<RecordsAnswer | undefined> {
  const prove = [view.range.size, ...view.anchors.map(anchor => anchor.size)].filter(size => size > 0)
  try {
    return await channel.records({ type: 'skip', at, from: view.range.size, attestations, prove })
  } catch (error) {
    // Nothing to skip to, or a relay that does not serve it: the log itself is as good, only slower.
    if (error instanceof SealogError && !hasCode(error, 'ERR_OFFLINE') && !hasCode(error, 'ERR_LIMIT')) return undefined
    throw error
  }
}

function invited(view: LogView): Anchor | undefined {
  return view.anchors.find(anchor => anchor.note !== undefined)
}
