import { decodeCbor, encodeCbor } from '../codec.ts'
import { actorId, bytesUpTo, type Format, maybe, oneOf, record, uint } from '../format.ts'
import type { ActorId } from '../ids.ts'
import { type ChainPlace, type ChangeTip, chainPlace, changeTip } from './chain-place.ts'
import { MAX_ROW, readRow } from './rows.ts'

/**
 * - `saved`: everything proven up to some moment, as one saved document that this replica wrote;
 * - `import`: the saved document that the document began with;
 * - `raw`, `bundle`: the changes of one entry, in the encoding that its payload announced;
 * - `supplied`: changes of several actors, out of a snapshot that was checked.
 */
export type FileKind = 'saved' | 'import' | 'raw' | 'bundle' | 'supplied'

const FILE_KINDS: readonly FileKind[] = ['saved', 'raw', 'bundle', 'import', 'supplied']

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

const row: Format<FileRow> = record({
  kind: oneOf(FILE_KINDS),
  count: uint,
  index: uint,
  actor: maybe(actorId),
  chain: maybe(chainPlace),
  tip: maybe(changeTip),
  bytes: bytesUpTo(MAX_ROW),
})

export function encodeFileRow(value: FileRow): Uint8Array {
  return encodeCbor(row.write(value))
}

export function decodeFileRow(bytes: Uint8Array): FileRow {
  return readRow('content', () => row.read(decodeCbor(bytes, MAX_ROW), 'content'))
}
