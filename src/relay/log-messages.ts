import { bytesUpTo, type Format, flag, listOf, maybe, record, spaceId, textUpTo, uint } from '../format.ts'
import type { SpaceId } from '../ids.ts'
import type { Batch, BatchEntry } from '../verify/log.ts'
import { MAX_TRACER_LENGTH } from '../verify/tracer.ts'
import { MAX_ADMISSION_LENGTH, MAX_BATCH_ENTRIES } from './message-limits.ts'
import { hash, header, inlineBody, type MessageFormat, note, proof, signature } from './message-parts.ts'

/** A stretch of the log of one space, in order and without gap on each socket. */
export interface Sync {
  readonly type: 'sync'
  readonly ref: number
  readonly space: SpaceId
  readonly batch: Batch
}

const batch: Format<Batch> = record({
  from: uint,
  entries: listOf(MAX_BATCH_ENTRIES, record<BatchEntry>({ header, signature: maybe(signature), body: inlineBody })),
  seenProofs: listOf(MAX_BATCH_ENTRIES, record<Batch['seenProofs'][number]>({ size: uint, proof })),
  note,
  consistency: proof,
  tracer: maybe(bytesUpTo(MAX_TRACER_LENGTH)),
})

export const sync: MessageFormat<Sync> = record({ ref: uint, space: spaceId, batch })

/** Asks for a `sync` with the current note after everything that is on its way. */
export interface Pull {
  readonly type: 'pull'
  readonly ref: number
  readonly space: SpaceId
}

export const pull: MessageFormat<Pull> = record({ ref: uint, space: spaceId })

/** Appends entries, all in one transaction up to the first that is refused. A genesis creates the space. */
export interface Push {
  readonly type: 'push'
  readonly ref: number
  readonly space: SpaceId
  /** A body beyond `INLINE_BODY_LENGTH` was put before and is undefined here. */
  readonly entries: readonly PushEntry[]
  /** With a genesis: what a relay that does not let everybody create spaces asks for. */
  readonly admission?: string | undefined
}

export interface PushEntry {
  readonly header: Uint8Array
  readonly signature: Uint8Array
  readonly body: Uint8Array | undefined
  /**
   * Of an entry that delivers the secret of an epoch: hash (32 bytes) of all its wraps, one after the other, which were
   * put before. Undefined for any other.
   */
  readonly wraps?: Uint8Array | undefined
}

const pushEntry: Format<PushEntry> = record<PushEntry>({ header, signature, body: inlineBody, wraps: maybe(hash) })

export const push: MessageFormat<Push> = record<Omit<Push, 'type'>>({
  ref: uint,
  space: spaceId,
  entries: listOf(MAX_BATCH_ENTRIES, pushEntry),
  admission: maybe(textUpTo(MAX_ADMISSION_LENGTH)),
})

/**
 * Gives back the end of the log to a relay that lost it, which it tells by ERR_RELAY_BEHIND with the size it has as
 * position (DESIGN §5.5). All parts together must lead to the note, which the relay itself signed. Each part is
 * answered by `received`.
 */
export interface Restore {
  readonly type: 'restore'
  readonly ref: number
  readonly space: SpaceId
  readonly note: Uint8Array
  readonly from: number
  readonly entries: readonly PushEntry[]
  readonly more: boolean
}

export const restore: MessageFormat<Restore> = record({
  ref: uint,
  space: spaceId,
  note,
  from: uint,
  entries: listOf(MAX_BATCH_ENTRIES, pushEntry),
  more: flag,
})

/** Hands over a note of the relay with a cosignature of the device that is authenticated; answered by `received`. */
export interface Cosign {
  readonly type: 'cosign'
  readonly ref: number
  readonly space: SpaceId
  readonly note: Uint8Array
}

export const cosign: MessageFormat<Cosign> = record({ ref: uint, space: spaceId, note })
