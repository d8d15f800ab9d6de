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
import { type ActorId, actorIdOf, type DocumentId, documentIdOf, idBytes, type SpaceId, spaceIdOf } from '../ids.ts'
import { parseNote } from '../verify/checkpoint.ts'
import { decodeRange, encodeRange } from '../verify/compact-range.ts'
import type { LogView, PinnedRelay } from '../verify/log.ts'
import {
  type ControlState,
  type DocumentRecord,
  decodeActorRecord,
  decodeControlState,
  decodeDocumentRecord,
  initialState,
  type SpaceState,
  withActor,
} from '../verify/state.ts'
import type { ReplicaStore } from './store.ts'

/**
 * What stands where in a replica's store. Keys are UTF-8 text:
 *
 *     relay/<url>                        pinned identity of a relay
 *     spaces/<id>                        empty: this replica has the space
 *     space/<id>/view                    verified prefix of the log, see `encodeViewRow`
 *     space/<id>/control                 control state
 *     space/<id>/secrets                 keys, see secrets.ts
 *     space/<id>/outbox                  a control entry on its way, see secrets.ts
 *     space/<id>/state/<doc>             document record
 *     space/<id>/state/<doc>/<actor>     actor record
 *     space/<id>/meta/<doc>              content bookkeeping, see `DocumentMeta`
 *     space/<id>/file/<doc>/<n>          proven content, in order
 *     space/<id>/local/<doc>/<seq>       own changes that are not proven yet
 */
const MAX_ROW: number = 1024 * 1024 * 1024

export function relayKey(url: string): Uint8Array {
  return toUtf8(`relay/${url}`)
}

export function spacePrefix(space: SpaceId): Uint8Array {
  return toUtf8(`space/${space}/`)
}

export type SpaceRow = 'view' | 'control' | 'secrets' | 'outbox'

export function spaceKey(space: SpaceId, row: SpaceRow): Uint8Array {
  return toUtf8(`space/${space}/${row}`)
}

export type DocumentRow = 'state' | 'meta' | 'file' | 'local'

/** Without a document: the prefix of all rows of this kind. Without a part: the document's own row. */
export function documentKey(space: SpaceId, row: DocumentRow, document: DocumentId, part?: string): Uint8Array {
  return toUtf8(`space/${space}/${row}/${document}${part === undefined ? '' : `/${part}`}`)
}

export function rowPrefix(space: SpaceId, row: DocumentRow): Uint8Array {
  return toUtf8(`space/${space}/${row}/`)
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

// -- View ---------------------------------------------------------------------------------------------------------

/** The view without its state, which has rows of its own. `note` is the head as the relay signed it. */
export function encodeViewRow(view: LogView, note: Uint8Array | undefined): Uint8Array {
  return encodeCbor([
    idBytes(view.space),
    view.relay.name,
    view.relay.key,
    encodeRange(view.range),
    optional(note, bytes => bytes),
    view.anchors.map(anchor => [anchor.size, anchor.root]),
  ])
}

export interface StoredView {
  readonly view: LogView
  readonly note: Uint8Array | undefined
}

/** Reads the verified view of a space. @throws SealogError ERR_STORE_CORRUPT */
export async function loadView(store: ReplicaStore, space: SpaceId): Promise<StoredView | undefined> {
  const bytes = await store.get(spaceKey(space, 'view'))
  if (bytes === undefined) return undefined
  const control = await store.get(spaceKey(space, 'control'))
  const rows = await store.scan(rowPrefix(space, 'state'))
  return readRow('view', () => {
    const fields = asTuple(decodeCbor(bytes, MAX_ROW), 6, 'view')
    const note = asOptional(fields[4], 'note', (item, what) => asBytesUpTo(item, 16 * 1024, what))
    const view: LogView = {
      space: spaceIdOf(asBytes(fields[0], 32, 'space')),
      relay: { name: asText(fields[1], 255, 'relay name'), key: asBytes(fields[2], 32, 'relay key') },
      range: decodeRange(asBytesUpTo(fields[3], 4096, 'range')),
      state: control === undefined ? undefined : loadState(decodeControlState(control), rows),
      head: note === undefined ? undefined : parseNote(note).checkpoint,
      anchors: asArray(fields[5], 1024, 'anchors').map(item => {
        const anchor = asTuple(item, 2, 'anchor')
        return { size: asUint(anchor[0], 'size'), root: asBytes(anchor[1], 32, 'root') }
      }),
    }
    return { view, note }
  })
}

function loadState(control: ControlState, rows: readonly (readonly [Uint8Array, Uint8Array])[]): SpaceState {
  let state = initialState(control)
  const documents = new Map<string, DocumentRecord>()
  for (const [key, value] of rows) {
    const parts = fromUtf8(key).split('/')
    const document = parts[3] ?? ''
    if (parts.length === 4) documents.set(document, decodeDocumentRecord(value))
    else {
      const record = documents.get(document)
      if (record === undefined) throw new SealogError('ERR_STORE_CORRUPT', 'an actor of an unknown document')
      state = withActor(state, record.document, record.birthEpoch, decodeActorRecord(value))
    }
  }
  return state
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

export interface Stopped {
  readonly reason: StopReason
  /** Entry of the log from which on nothing is applied. */
  readonly index: number
  /** Code of the error, for people. */
  readonly code: string
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
  /**
   * Entry by which the own actor turned out to be written by a clone as well: content from there on is held back
   * until a `retire` entry has closed the chain (DESIGN §3).
   */
  readonly clonedAt: number | undefined
}

export function emptyMeta(document: DocumentId): DocumentMeta {
  return { document, incarnation: undefined, tips: new Map(), stopped: new Map(), nextFile: 0, clonedAt: undefined }
}

export function encodeMeta(meta: DocumentMeta): Uint8Array {
  return encodeCbor([
    idBytes(meta.document),
    optional(meta.incarnation, bytes => bytes),
    [...meta.tips].map(([actor, tip]): Cbor => [idBytes(actor), tip.seq, tip.hash]),
    [...meta.stopped].map(
      ([actor, stop]): Cbor => [idBytes(actor), stop.reason === 'refused' ? 0 : 1, stop.index, stop.code],
    ),
    meta.nextFile,
    optional(meta.clonedAt, index => index),
  ])
}

export function decodeMeta(bytes: Uint8Array): DocumentMeta {
  return readRow('document meta', () => {
    const fields = asTuple(decodeCbor(bytes, MAX_ROW), 6, 'document meta')
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
          const stop = asTuple(item, 4, 'stopped')
          const reason: StopReason = asUint(stop[1], 'reason', 1) === 0 ? 'refused' : 'parked'
          const value = { reason, index: asUint(stop[2], 'index'), code: asText(stop[3], 64, 'code') }
          return [actorIdOf(asBytes(stop[0], 16, 'actor')), value]
        }),
      ),
      nextFile: asUint(fields[4], 'next file'),
      clonedAt: asOptional(fields[5], 'cloned at', (item, what) => asUint(item, what)),
    }
  })
}

/** One stretch of proven content: a whole saved document, or the changes of one entry. */
export interface FileRow {
  readonly kind: 'saved' | 'entry'
  /** Number of changes in it. */
  readonly count: number
  /** Of an entry: index in the log; of a saved document: of the last entry in it. */
  readonly index: number
  /** Of an entry: whose. */
  readonly actor: ActorId | undefined
  /** Of an entry: its latest change. */
  readonly tip: ChangeTip | undefined
  readonly bytes: Uint8Array
}

export function encodeFileRow(row: FileRow): Uint8Array {
  return encodeCbor([
    row.kind === 'saved' ? 0 : 1,
    row.count,
    row.index,
    optional(row.actor, idBytes),
    optional(row.tip, tip => [tip.seq, tip.hash]),
    row.bytes,
  ])
}

export function decodeFileRow(bytes: Uint8Array): FileRow {
  return readRow('content', () => {
    const fields = asTuple(decodeCbor(bytes, MAX_ROW), 6, 'content')
    return {
      kind: asUint(fields[0], 'kind', 1) === 0 ? 'saved' : 'entry',
      count: asUint(fields[1], 'count'),
      index: asUint(fields[2], 'index'),
      actor: asOptional(fields[3], 'actor', (item, what) => actorIdOf(asBytes(item, 16, what))),
      tip: asOptional(fields[4], 'tip', (item, what) => {
        const tip = asTuple(item, 2, what)
        return { seq: asUint(tip[0], what), hash: asBytes(tip[1], 32, what) }
      }),
      bytes: asBytesUpTo(fields[5], MAX_ROW, 'bytes'),
    }
  })
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
