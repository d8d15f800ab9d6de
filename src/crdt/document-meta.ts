import { decodeCbor, encodeCbor } from '../codec.ts'
import { actorId, bytesOf, documentId, type Format, listOf, maybe, oneOf, record, textUpTo, uint } from '../format.ts'
import type { ActorId, DocumentId } from '../ids.ts'
import { type ChainEnd, type ChangeTip, chainEnd } from './chain-place.ts'
import { MAX_ROW, readRow } from './rows.ts'

/** Why nothing more of an actor is applied: refused for good, or until what is missing turns up (DESIGN §6.3). */
export type StopReason = (typeof REASONS)[number]

const REASONS = ['refused', 'parked'] as const

export interface Stopped {
  readonly reason: StopReason
  /** Entry of the log from which on nothing is applied. */
  readonly index: number
  /** Code of the error. */
  readonly code: string
  /** The last entry of the chain before that; undefined where there is none. */
  readonly covered: ChainEnd | undefined
  /** Of an actor that waits for a change of others (`ERR_DEPENDENCY`): the first that is missing, 32 bytes. */
  readonly needs: Uint8Array | undefined
}

/** What a replica keeps of a document beside the content itself. */
export interface DocumentMeta {
  readonly document: DocumentId
  /** Own incarnation, 8 bytes; undefined as long as this replica wrote nothing here. */
  readonly incarnation: Uint8Array | undefined
  readonly tips: ReadonlyMap<ActorId, ChangeTip>
  readonly stopped: ReadonlyMap<ActorId, Stopped>
  /** Number of the next `file` row. */
  readonly nextFile: number
  /** `file` rows below this number were judged, and are what `tips` is about; the others are judged when opened. */
  readonly judged: number
  /**
   * The importer, as long as the import that the document begins with is parked: nobody else's changes are judged
   * before, for whether they may stand there depends on it.
   */
  readonly importer: ActorId | undefined
  /** What the tag of an own import commits to that is not proven yet, 32 bytes. */
  readonly importing: Uint8Array | undefined
  /** Content since the latest snapshot: number of entries, and of bytes of their bodies. */
  readonly since: { readonly entries: number; readonly bytes: number }
  /**
   * Entry by which the own actor turned out to be written by a clone as well: content from there on is held back
   * until a `retire` entry has closed the chain (DESIGN §3).
   */
  readonly clonedAt: number | undefined
}

export function emptyMeta(document: DocumentId): DocumentMeta {
  return {
    document,
    incarnation: undefined,
    tips: new Map(),
    stopped: new Map(),
    nextFile: 0,
    judged: 0,
    importer: undefined,
    importing: undefined,
    since: { entries: 0, bytes: 0 },
    clonedAt: undefined,
  }
}

type Meta = Omit<DocumentMeta, 'tips' | 'stopped'>

interface MetaRow extends Meta {
  readonly tips: readonly TipRow[]
  readonly stopped: readonly StoppedRow[]
}

interface TipRow extends ChangeTip {
  readonly actor: ActorId
}

interface StoppedRow extends Stopped {
  readonly actor: ActorId
}

/** More actors than a document can have on any machine: this library wrote the row itself. */
const MAX_ACTORS = 1_000_000

const row: Format<MetaRow> = record({
  document: documentId,
  incarnation: maybe(bytesOf(8)),
  tips: listOf(MAX_ACTORS, record<TipRow>({ actor: actorId, seq: uint, hash: bytesOf(32) })),
  stopped: listOf(
    MAX_ACTORS,
    record<StoppedRow>({
      actor: actorId,
      reason: oneOf(REASONS),
      index: uint,
      code: textUpTo(64),
      covered: maybe(chainEnd),
      needs: maybe(bytesOf(32)),
    }),
  ),
  nextFile: uint,
  clonedAt: maybe(uint),
  judged: uint,
  importer: maybe(actorId),
  since: record<DocumentMeta['since']>({ entries: uint, bytes: uint }),
  importing: maybe(bytesOf(32)),
})

export function encodeMeta(meta: DocumentMeta): Uint8Array {
  const tips = [...meta.tips].map(([actor, tip]): TipRow => ({ actor, ...tip }))
  const stopped = [...meta.stopped].map(([actor, stop]): StoppedRow => ({ actor, ...stop }))
  return encodeCbor(row.write({ ...meta, tips, stopped }))
}

export function decodeMeta(bytes: Uint8Array): DocumentMeta {
  return readRow('document meta', () => {
    const { tips, stopped, ...meta } = row.read(decodeCbor(bytes, MAX_ROW), 'document meta')
    return {
      ...meta,
      tips: new Map(tips.map(({ actor, ...tip }) => [actor, tip])),
      stopped: new Map(stopped.map(({ actor, ...stop }) => [actor, stop])),
    }
  })
}
