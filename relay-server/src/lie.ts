import {
  type Batch,
  type Checkpoint,
  type ErrorCode,
  encodeNote,
  encodeNoteText,
  noteKeyHash,
  parseNote,
  type Records,
  type RelayMessage,
  type ReplicaMessage,
  type SigningKey,
  type SpaceId,
  type Sync,
} from 'sealog/protocol'
import { type ForgedLog, forgeLog } from './forged-log.ts'
import type { StoredEntry, StoredWrap } from './log-store.ts'
import type { SignedHead } from './signed-head.ts'

/** When a stretch of the log reaches a replica: after it asked for it, unasked, or because it wrote it. */
export const MOMENTS = ['catch-up', 'live', 'acknowledgement'] as const
export type Moment = (typeof MOMENTS)[number]

/** What a lie is made of: all that a relay has. */
export interface Teller {
  readonly space: SpaceId
  readonly relayName: string
  readonly signingKey: SigningKey
  /** Of nobody whom a replica knows. */
  readonly otherKey: SigningKey
  /** Every entry that the relay has of the space, or of the branch of it that the listener is on. */
  readonly log: readonly StoredEntry[]
  /** The same of the branch that others are on; empty where there is none. */
  readonly otherBranch: readonly StoredEntry[]
  /** Of another space at the same relay; empty where it has no other. */
  readonly otherSpace: readonly StoredEntry[]
  /** What was pushed to the relay and is not in the log: it refused it. The oldest first. */
  readonly refused: readonly StoredEntry[]
  /** What the relay has of what an entry delivered, by position. */
  readonly wrapsOf: (index: number) => Promise<readonly StoredWrap[]>
  /** How many entries the listener was sent so far, true ones or not. */
  readonly position: number
  /** The request that the message answers, where that is one for single entries. */
  readonly asked: ReplicaMessage | undefined
  /** Every note that the relay signed for the space, the oldest first. */
  readonly notes: readonly Uint8Array[]
}

/** In place of one message: others, or frames that no encoder would write. */
export type Telling = readonly (RelayMessage | Uint8Array)[]

/** One way not to tell the truth, and what has to come of it. */
export interface Lie {
  readonly name: string
  /** In one sentence: what the relay does. */
  readonly says: string
  /** What the refusal says: one of these. Empty: no message alone gives this lie away. */
  readonly expected: readonly ErrorCode[]
  /** The relay puts its signature under it: a replica that keeps it holds evidence. */
  readonly isSigned: boolean
  /** It contradicts itself, or what the listener holds by the same key: that ends sync for good. */
  readonly freezes: boolean
  /** @returns undefined where the message gives no occasion */
  readonly tell: (message: RelayMessage, teller: Teller) => Promise<Telling | undefined>
}

export interface BatchLie {
  readonly name: string
  readonly says: string
  readonly expected: readonly ErrorCode[]
  /** @returns undefined where the batch gives no occasion */
  readonly batch: (batch: Batch, teller: Teller) => Batch | undefined | Promise<Batch | undefined>
}

/** A lie that changes a stretch of the log on its way and leaves the rest of the message as it was. */
export function batchLie({ batch: change, ...lie }: BatchLie): Lie {
  const tell = async (message: RelayMessage, teller: Teller): Promise<Telling | undefined> => {
    if (message.type !== 'sync') return undefined
    const batch = await change(message.batch, teller)
    return batch && [{ ...message, batch } satisfies Sync]
  }
  return { ...lie, isSigned: false, freezes: false, tell }
}

/**
 * The same, where what is told is under the relay's signature, which convicts it: by itself, or together with what the
 * listener was sent before.
 */
export function convictingLie(lie: BatchLie): Lie {
  return { ...batchLie(lie), isSigned: true, freezes: true }
}

/** The same, where the signature is not enough: it does not bind what is false, or nothing contradicts it as yet. */
export function signedLie(lie: BatchLie): Lie {
  return { ...batchLie(lie), isSigned: true }
}

export interface AnswerLie {
  readonly name: string
  readonly says: string
  readonly expected: readonly ErrorCode[]
  /** What was asked for. */
  readonly to: 'skip' | 'get-document' | 'get-chain'
  /** @returns undefined where the answer gives no occasion */
  readonly answer: (answer: Records, teller: Teller) => Records | undefined
}

/** A lie that changes the answer to a request for single entries, where it fits into one message. */
export function answerLie({ to, answer: change, ...lie }: AnswerLie): Lie {
  const tell = async (message: RelayMessage, teller: Teller): Promise<Telling | undefined> => {
    if (message.type !== 'records' || teller.asked?.type !== to || message.more) return undefined
    const answer = change(message, teller)
    return answer && [answer]
  }
  return { ...lie, isSigned: false, freezes: false, tell }
}

/** The checkpoint in a batch of this relay's own. */
export function checkpointOf(batch: Batch): Checkpoint {
  return parseNote(batch.note).checkpoint
}

/** A checkpoint of this relay, whatever it says. */
export async function signNote(teller: Teller, checkpoint: Checkpoint): Promise<SignedHead> {
  const { origin } = checkpoint
  const { signingKey } = teller
  const signature = await signingKey.sign(encodeNoteText(checkpoint))
  const keyHash = noteKeyHash(origin, signingKey.publicKey)
  return { checkpoint, note: encodeNote(checkpoint, [{ name: origin, keyHash, signature }]) }
}

/** What the relay would say in place of a batch if this were the log, under a checkpoint over just that. */
export async function signedBatch(teller: Teller, batch: Batch, log: readonly StoredEntry[]): Promise<Batch> {
  const forged = forgeLog(log)
  const checkpoint = { ...checkpointOf(batch), ...claimOf(forged, log.length) }
  return forged.batch(batch, batch.from, await signNote(teller, checkpoint))
}

/** What a checkpoint says of the first `size` entries. */
export function claimOf(log: ForgedLog, size: number): Pick<Checkpoint, 'size' | 'root' | 'stateRoot'> {
  return { size, root: log.root(size), stateRoot: log.stateRoot(size) }
}

export function flip(bytes: Uint8Array, at: number): Uint8Array {
  const copy = bytes.slice()
  copy[at] = (copy[at] as number) ^ 1
  return copy
}

export function replaceAt<T>(list: readonly T[], at: number, item: T): readonly T[] {
  return list.map((each, i) => (i === at ? item : each))
}
