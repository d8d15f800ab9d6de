import { concat, fromUtf8, toUtf8 } from '../bytes.ts'
import {
  asArray,
  asBytes,
  asBytesUpTo,
  asOptional,
  asText,
  asTuple,
  asUint,
  type Cbor,
  decodeCbor,
  encodeCbor,
  optional,
} from '../codec.ts'
import { asSealogError, SealogError } from '../errors.ts'
import { type ActorId, actorIdOf, type DocumentId, documentIdOf, idBytes, type SpaceId } from '../ids.ts'
import type { PinnedRelay } from '../verify/log.ts'
import type { ReplicaStore } from './store.ts'

/**
 * What stands where in a replica's store. Keys are UTF-8 text:
 *
 *     relay/<url>                        pinned identity of a relay
 *     spaces/<id>                        empty: this replica has the space
 *     space/<id>/view                    verified prefix of the log, see `encodeViewRow`
 *     space/<id>/control                 control state
 *     space/<id>/skeleton                of a sparse replica: which documents it has, and the hashes beside them
 *     space/<id>/trust                   what was skipped and has yet to be audited, see trust-row.ts
 *     space/<id>/confirmed               which other member has seen how much of the log
 *     space/<id>/evidence                by which the relay convicted itself
 *     space/<id>/history/<n>             every control entry, see history-rows.ts
 *     space/<id>/recent/<n>              the last entries, verbatim, for a relay that lost them
 *     space/<id>/control/<name>          the control state, see control-state.ts
 *     space/<id>/locked                  documents that this member may not read, see locked-row.ts
 *     space/<id>/audit/<n>               deliveries of keys to be audited, see delivery-audits.ts
 *     space/<id>/secrets                 keys, see secrets.ts
 *     space/<id>/outbox                  a control entry on its way, see secrets.ts
 *     space/<id>/state/<doc>             document record
 *     space/<id>/state/<doc>/<actor>     actor record
 *     space/<id>/meta/<doc>              content bookkeeping, see `DocumentMeta`
 *     space/<id>/file/<doc>/<n>          proven content, in order
 *     space/<id>/parked/<doc>/<index>    an entry of a parked actor, see parked-rows.ts
 *     space/<id>/body/<doc>/<index>      what is there of its content
 *     space/<id>/import/<doc>            an own import that is not proven yet
 *     space/<id>/local/<doc>/<seq>       own changes that are not proven yet
 */
const MAX_ROW: number = 1024 * 1024 * 1024

export function relayKey(url: string): Uint8Array {
  return toUtf8(`relay/${url}`)
}

export function spacePrefix(space: SpaceId): Uint8Array {
  return toUtf8(`space/${space}/`)
}

export type SpaceRow =
  | 'view'
  | 'control'
  | 'skeleton'
  | 'trust'
  | 'confirmed'
  | 'evidence'
  | 'secrets'
  | 'outbox'
  | 'locked'

export function spaceKey(space: SpaceId, row: SpaceRow): Uint8Array {
  return toUtf8(`space/${space}/${row}`)
}

export type DocumentRow = 'state' | 'meta' | 'file' | 'import' | 'parked' | 'body' | 'local'

/** Without a document: the prefix of all rows of this kind. Without a part: the document's own row. */
export function documentKey(space: SpaceId, row: DocumentRow, document: DocumentId, part?: string): Uint8Array {
  return toUtf8(`space/${space}/${row}/${document}${part === undefined ? '' : `/${part}`}`)
}

export function rowPrefix(space: SpaceId, row: DocumentRow): Uint8Array {
  return toUtf8(`space/${space}/${row}/`)
}

/** One of the rows of the control state, by its name there; without one, the prefix of all. */
export function controlKey(space: SpaceId, name = ''): Uint8Array {
  return toUtf8(`space/${space}/control/${name}`)
}

/** A delivery that is to be audited, by the place of its entry; without one, the prefix of all. */
export function auditKey(space: SpaceId, index?: number): Uint8Array {
  return toUtf8(`space/${space}/audit/${index === undefined ? '' : ordinal(index)}`)
}

/** Fixed width, so that the order of keys is the order of numbers. */
export function ordinal(n: number): string {
  return n.toString(16).padStart(14, '0')
}

/** Stands for a space in the list of all, which is read without what is in them. */
export function listedKey(space: SpaceId): Uint8Array {
  return toUtf8(`spaces/${space}`)
}

/** The ids of all spaces in this store. */
export async function listSpaces(store: ReplicaStore): Promise<readonly SpaceId[]> {
  return (await store.scan(toUtf8('spaces/'))).map(([key]) => lastPart(key) as SpaceId)
}

/** The last part of a key's path. */
export function lastPart(key: Uint8Array): string {
  return fromUtf8(key).split('/').at(-1) ?? ''
}

// -- Relay --------------------------------------------------------------------------------------------------------

export function encodePinnedRelay(relay: PinnedRelay): Uint8Array {
  return encodeCbor([relay.name, relay.key])
}

export function decodePinnedRelay(bytes: Uint8Array): PinnedRelay {
  return readRow('pinned relay', () => {
    const fields = asTuple(decodeCbor(bytes, 4096), 2, 'pinned relay')
    return { name: asText(fields[0], 255, 'relay name'), key: asBytes(fields[1], 32, 'relay key') }
  })
}

// -- Documents ----------------------------------------------------------------------------------------------------

/** The latest Automerge change of an actor that a proven entry brought. */
export interface ChangeTip {
  readonly seq: number
  /** Automerge change hash, 32 bytes. */
  readonly hash: Uint8Array
}

/** Why nothing more of an actor is applied: refused for good, or until what is missing turns up (DESIGN §6.3). */
export type StopReason = 'refused' | 'parked'

/** Where an entry stands in its actor's chain. */
export interface ChainPlace {
  readonly seq: number
  /** Leaf hash of the entry before, 32 bytes; zero bytes at seq 0. */
  readonly prev: Uint8Array
}

/** An entry of an actor's chain. */
export interface ChainEnd {
  readonly seq: number
  /** Its leaf hash, 32 bytes. */
  readonly hash: Uint8Array
}

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

/** The entry before the one that stands here. */
export function entryBefore({ seq, prev }: ChainPlace): ChainEnd | undefined {
  return seq === 0 ? undefined : { seq: seq - 1, hash: prev }
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

export function encodeMeta(meta: DocumentMeta): Uint8Array {
  return encodeCbor([
    idBytes(meta.document),
    optional(meta.incarnation, bytes => bytes),
    [...meta.tips].map(([actor, tip]): Cbor => [idBytes(actor), tip.seq, tip.hash]),
    [...meta.stopped].map(
      ([actor, stop]): Cbor => [
        idBytes(actor),
        stop.reason === 'refused' ? 0 : 1,
        stop.index,
        stop.code,
        optional(stop.covered, ({ seq, hash }) => [seq, hash]),
        optional(stop.needs, hash => hash),
      ],
    ),
    meta.nextFile,
    optional(meta.clonedAt, index => index),
    meta.judged,
    optional(meta.importer, idBytes),
    [meta.since.entries, meta.since.bytes],
    optional(meta.importing, bytes => bytes),
  ])
}

export function decodeMeta(bytes: Uint8Array): DocumentMeta {
  return readRow('document meta', () => {
    const fields = asTuple(decodeCbor(bytes, MAX_ROW), 10, 'document meta')
    return {
      document: documentIdOf(asBytes(fields[0], 16, 'document')),
      incarnation: asOptional(fields[1], 'incarnation', (item, what) => asBytes(item, 8, what)),
      tips: new Map(
        asArray(fields[2], 1_000_000, 'tips').map(item => {
          const tip = asTuple(item, 3, 'tip')
          return [
            actorIdOf(asBytes(tip[0], 16, 'actor')),
            { seq: asUint(tip[1], 'seq'), hash: asBytes(tip[2], 32, 'hash') },
          ]
        }),
      ),
      stopped: new Map(
        asArray(fields[3], 1_000_000, 'stopped').map(item => {
          const stop = asTuple(item, 6, 'stopped')
          const value: Stopped = {
            reason: asUint(stop[1], 'reason', 1) === 0 ? 'refused' : 'parked',
            index: asUint(stop[2], 'index'),
            code: asText(stop[3], 64, 'code'),
            covered: asOptional(stop[4], 'covered', (pair, what) => {
              const end = asTuple(pair, 2, what)
              return { seq: asUint(end[0], what), hash: asBytes(end[1], 32, what) }
            }),
            needs: asOptional(stop[5], 'needs', (hash, what) => asBytes(hash, 32, what)),
          }
          return [actorIdOf(asBytes(stop[0], 16, 'actor')), value]
        }),
      ),
      nextFile: asUint(fields[4], 'next file'),
      clonedAt: asOptional(fields[5], 'cloned at', (item, what) => asUint(item, what)),
      judged: asUint(fields[6], 'judged'),
      importer: asOptional(fields[7], 'importer', (item, what) => actorIdOf(asBytes(item, 16, what))),
      since: asSince(fields[8]),
      importing: asOptional(fields[9], 'importing', (item, what) => asBytes(item, 32, what)),
    }
  })
}

/**
 * - `saved`: everything proven up to some moment, as one saved document that this replica wrote;
 * - `import`: the saved document that the document began with;
 * - `raw`, `bundle`: the changes of one entry, in the encoding that its payload announced;
 * - `supplied`: changes of several actors, out of a snapshot that was checked.
 */
export type FileKind = 'saved' | 'import' | 'raw' | 'bundle' | 'supplied'

const FILE_KINDS: readonly FileKind[] = ['saved', 'raw', 'bundle', 'import', 'supplied']

function asSince(item: Cbor | undefined): DocumentMeta['since'] {
  const fields = asTuple(item, 2, 'since')
  return { entries: asUint(fields[0], 'entries'), bytes: asUint(fields[1], 'bytes') }
}

/** One stretch of proven content. */
export interface FileRow {
  readonly kind: FileKind
  /** Number of changes in it. */
  readonly count: number
  /** Of an entry: index in the log. Otherwise 0. */
  readonly index: number
  /** Of an entry: whose. */
  readonly actor: ActorId | undefined
  /** Of an entry: where it stands in its actor's chain. */
  readonly chain: ChainPlace | undefined
  /** Of an entry with changes: its latest one. */
  readonly tip: ChangeTip | undefined
  readonly bytes: Uint8Array
}

/** The row of a whole document, as one chunk. */
export function savedRow(count: number, bytes: Uint8Array): FileRow {
  return { kind: 'saved', count, index: 0, actor: undefined, chain: undefined, tip: undefined, bytes }
}

export function encodeFileRow(row: FileRow): Uint8Array {
  return encodeCbor([
    FILE_KINDS.indexOf(row.kind),
    row.count,
    row.index,
    optional(row.actor, idBytes),
    optional(row.chain, ({ seq, prev }) => [seq, prev]),
    optional(row.tip, tip => [tip.seq, tip.hash]),
    row.bytes,
  ])
}

export function decodeFileRow(bytes: Uint8Array): FileRow {
  return readRow('content', () => {
    const fields = asTuple(decodeCbor(bytes, MAX_ROW), 7, 'content')
    return {
      kind: FILE_KINDS[asUint(fields[0], 'kind', FILE_KINDS.length - 1)] as FileKind,
      count: asUint(fields[1], 'count'),
      index: asUint(fields[2], 'index'),
      actor: asOptional(fields[3], 'actor', (item, what) => actorIdOf(asBytes(item, 16, what))),
      chain: asOptional(fields[4], 'chain', asChainPlace),
      tip: asOptional(fields[5], 'tip', (item, what) => {
        const tip = asTuple(item, 2, what)
        return { seq: asUint(tip[0], what), hash: asBytes(tip[1], 32, what) }
      }),
      bytes: asBytesUpTo(fields[6], MAX_ROW, 'bytes'),
    }
  })
}

export function asChainPlace(item: Cbor, what: string): ChainPlace {
  const [seq, prev] = asTuple(item, 2, what)
  return { seq: asUint(seq, what), prev: asBytes(prev, 32, what) }
}

/** An own change that no proven entry holds yet. */
export interface LocalChange {
  readonly seq: number
  /** Automerge change hash, 32 bytes. */
  readonly hash: Uint8Array
  /** The change as an Automerge chunk. */
  readonly bytes: Uint8Array
}

export function encodeLocalRow(change: LocalChange): Uint8Array {
  return concat(change.hash, change.bytes)
}

export function decodeLocalRow(key: Uint8Array, value: Uint8Array): LocalChange {
  const seq = Number.parseInt(lastPart(key), 16)
  if (value.length < 32 || !Number.isSafeInteger(seq)) throw new SealogError('ERR_STORE_CORRUPT', 'a local change')
  return { seq, hash: value.subarray(0, 32), bytes: value.subarray(32) }
}

/** Runs a decoder over what this library wrote itself: anything amiss there is corruption. */
export function readRow<T>(what: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof SealogError && error.code === 'ERR_UPGRADE') throw error
    throw new SealogError('ERR_STORE_CORRUPT', `the stored ${what} is damaged`, {
      cause: asSealogError(error, 'ERR_STORE_CORRUPT', what),
    })
  }
}
