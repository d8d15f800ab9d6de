import type { SealogError } from 'sealog/protocol'
import type { Follower, Origins } from './followers.ts'
import type { Judged, Push, RefusedEntry } from './judge.ts'
import type { Waiting } from './push-queue.ts'

export interface PushOutcome {
  /** How many entries of the push landed. */
  readonly landed: number
  /** Undefined where all did. */
  readonly refused: RefusedEntry | undefined
}

/** Whose request a push is, if it follows the log; its answer is then `onAppended`. */
export interface PushOrigin {
  readonly follower: Follower
  readonly ref: number
}

/** Entries that somebody wants in the log. */
export interface PushRequest extends Waiting {
  readonly push: Push
  readonly origin: PushOrigin | undefined
  readonly resolve: (outcome: PushOutcome) => void
}

/** Waits until the log is as somebody needs it to answer a request. */
export interface SettleRequest extends Waiting {
  readonly needs: 'order' | 'others' | 'fresh note'
  readonly resolve: () => void
  /** The store could not be asked. */
  readonly reject: (error: SealogError) => void
}

/** Something else that must not happen while entries are appended. */
interface TaskRequest extends Waiting {
  /** Never rejects. */
  readonly task: () => Promise<void>
}

/** What stands in line at one space. */
export type SpaceRequest = PushRequest | SettleRequest | TaskRequest

/** Who waits for its turn without bringing entries. */
const NO_PUSH = { by: undefined, entries: 0, bytes: 0, isControl: false } as const

export function pushRequest(push: Push, origin: PushOrigin | undefined, resolve: PushRequest['resolve']): PushRequest {
  // A device with many sockets is one author; whoever follows nothing creates the space.
  const by = origin === undefined ? 'genesis' : origin.follower.device
  const isControl = push.some(entry => 'header' in entry && entry.header.kind === 'control')
  return { push, origin, resolve, by, isControl, entries: push.length, bytes: lengthOf(push) }
}

/** @param waitsFor default: all pushes that came before */
export function settleRequest(
  needs: SettleRequest['needs'],
  { resolve, reject }: Pick<SettleRequest, 'resolve' | 'reject'>,
  waitsFor?: Waiting['waitsFor'],
): SettleRequest {
  return { ...NO_PUSH, needs, resolve, reject, waitsFor }
}

/** It waits for none of the pushes that came before. @param task never rejects */
export function taskRequest(task: () => Promise<void>): TaskRequest {
  return { ...NO_PUSH, task, waitsFor: () => false }
}

/**
 * What must have been judged before somebody is told how the log stands: what decides who may do what, and what the
 * one who asks pushed before. What others are writing at this moment is not his business, however much it is.
 * @param device number of the one who asks; undefined: not known yet
 */
export function decidesFor(device: number | undefined): (push: Waiting) => boolean {
  return ({ isControl, by }) => isControl || (device !== undefined && by === device)
}

/** Requests of followers that landed whole; the others are answered by a refusal. */
export function originsOf(requests: readonly PushRequest[], judged: Judged): Origins {
  const origins = new Map<Follower, readonly number[]>()
  for (const [i, { origin }] of requests.entries()) {
    if (origin === undefined || judged.refused[i] !== undefined) continue
    origins.set(origin.follower, [...(origins.get(origin.follower) ?? []), origin.ref])
  }
  return origins
}

export function outcomeOf(push: Push, refused: RefusedEntry | undefined): PushOutcome {
  return { landed: refused?.position ?? push.length, refused }
}

/** The same error for all of them, as nothing of any landed. */
export function allRefused(requests: readonly PushRequest[], error: SealogError): readonly PushOutcome[] {
  return requests.map(() => ({ landed: 0, refused: { position: 0, error } }))
}

function lengthOf(push: Push): number {
  let bytes = 0
  for (const entry of push) {
    if ('body' in entry) bytes += entry.encoded.length + entry.body.length + (entry.wraps?.bytes?.length ?? 0)
  }
  return bytes
}
