import * as Automerge from '@automerge/automerge/slim'
import { SealogError } from '../errors.ts'
import { type AnyDoc, changeCount } from './content.ts'
import { UNLIMITED } from './guard/causal-index.ts'
import { type DocumentChunk, readDocument } from './guard/document-chunk.ts'
import { ACTION } from './guard/op-table.ts'
import { ShownOps } from './guard/shown-ops.ts'
import { decodeText } from './guard/utf8.ts'

/** Keys of maps and indices of lists, from the root on. */
export type TextPath = readonly (string | number)[]

/** A stretch of a text that one Automerge actor wrote, in UTF-16 code units. */
export interface AuthoredRun {
  readonly start: number
  readonly end: number
  /** In hex. */
  readonly actor: string
}

export interface AuthoredText {
  readonly path: TextPath
  /** In order, without gaps; neighbours are of different actors. */
  readonly runs: readonly AuthoredRun[]
}

/** What stands in a text for a block. */
const BLOCK = '\ufffc'

/**
 * Who wrote which stretch of the texts in a document: the actor whose operation put there what is shown, which is not
 * always the one that made the place, as a character can be replaced where it stands.
 *
 * Automerge tells this of one character at a time, in some 15 µs each. So the operations are read from the document
 * as Automerge saves it, at a tenth of that, and nothing is said unless they spell exactly the text that it shows.
 * @param path of one text; without, all are read, in the order of the document
 * @returns nothing where no text stands
 * @throws SealogError ERR_CONTENT where the operations spell another text
 */
export function textAuthors(doc: AnyDoc, path?: TextPath): readonly AuthoredText[] {
  if (changeCount(doc) === 0) return []
  const chunk = readDocument(Automerge.save(doc), UNLIMITED)
  const reader: Reader = { chunk, shown: new ShownOps(chunk), texts: [] }
  readObject(reader, undefined, doc, [], path)
  return reader.texts
}

interface Reader {
  readonly chunk: DocumentChunk
  readonly shown: ShownOps
  readonly texts: AuthoredText[]
}

/**
 * @param made row of the operation that made the object; the root without
 * @param value what the document shows of it
 * @param path from the root to here
 * @param wanted what is left of the path to one text; all are wanted without
 */
function readObject(
  reader: Reader,
  made: number | undefined,
  value: unknown,
  path: TextPath,
  wanted: TextPath | undefined,
): void {
  const { ops } = reader.chunk
  const kind = made === undefined ? ACTION.makeMap : (ops.action[made] as number)
  if (kind === ACTION.makeText) {
    if (wanted !== undefined && wanted.length > 0) return
    reader.texts.push({ path, runs: runsOf(reader.chunk, reader.shown.in(made), value) })
    return
  }
  if (wanted?.length === 0) return
  reader.shown.in(made).forEach((row, i) => {
    const key = kind === ACTION.makeMap ? ops.keyText.values[ops.keyText.index[row] as number] : i
    const isObject = ops.action[row] !== ACTION.set
    if (!isObject || key === undefined || (wanted !== undefined && wanted[0] !== key)) return
    readObject(reader, row, memberOf(value, key), [...path, key], wanted?.slice(1))
  })
}

function memberOf(value: unknown, key: string | number): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
  return (value as Record<string | number, unknown>)[key]
}

function runsOf(chunk: DocumentChunk, rows: readonly number[], text: unknown): readonly AuthoredRun[] {
  const { ops, idActor } = chunk
  const runs: { start: number; end: number; actor: string }[] = []
  let at = 0
  for (let i = 0; i < rows.length; ) {
    const first = rows[i] as number
    const length = togetherFrom(chunk, rows, i)
    const piece =
      ops.action[first] === ACTION.set
        ? decodeText(ops.value.subarray(ops.valueStart[first], ops.valueStart[first + length]))
        : BLOCK
    if (typeof text !== 'string' || !text.startsWith(piece, at)) refuse()
    const actor = ops.actors[idActor[first] as number] as string
    const before = runs.at(-1)
    if (before?.actor === actor) before.end += piece.length
    else if (piece !== '') runs.push({ start: at, end: at + piece.length, actor })
    at += piece.length
    i += length
  }
  if (typeof text !== 'string' || at !== text.length) refuse()
  return runs
}

/** Number of rows from `rows[i]` on whose values are one string of bytes, by one author. */
function togetherFrom({ ops, idActor }: DocumentChunk, rows: readonly number[], i: number): number {
  const first = rows[i] as number
  let length = 1
  if (ops.action[first] !== ACTION.set) return length
  while (rows[i + length] === first + length && idActor[first + length] === idActor[first]) {
    if (ops.action[first + length] !== ACTION.set) break
    length++
  }
  return length
}

function refuse(): never {
  throw new SealogError('ERR_CONTENT', 'the operations of a text spell another one than the document shows')
}
