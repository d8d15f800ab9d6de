import { NULL } from './columns.ts'
import type { OpTable } from './op-table.ts'
import { ACTION, VALUE_TYPE } from './op-table.ts'
import type {
  CausalPast,
  GuardLimits,
  KeyReference,
  ObjectKind,
  ObjectReference,
  OpReference,
  PastObject,
} from './rules.ts'
import { refuse } from './rules.ts'

/** The operations of one change: counters `start` … `end − 1`. */
export interface OpSegment {
  readonly start: number
  readonly end: number
  readonly table: OpTable
  /** Position of `start` in the order of counters. */
  readonly offset: number
  /** Row of each op in the order of counters; without it, rows are in that order. */
  readonly rowByCounter: Int32Array | undefined
}

/** What one payload has told so far. */
export interface PayloadOps {
  readonly limits: GuardLimits
  /** Ascending, not overlapping. */
  readonly segments: OpSegment[]
  /** Objects made in this payload by counter; without a past, depths count from the outermost known one. */
  readonly objects: Map<number, PastObject>
}

const ROOT: PastObject = { kind: 'map', depth: 0 }
const MADE_BY: Readonly<Record<number, ObjectKind>> = {
  [ACTION.makeMap]: 'map',
  [ACTION.makeList]: 'list',
  [ACTION.makeText]: 'text',
}

interface Located {
  readonly table: OpTable
  readonly row: number
}

/**
 * Checks every op of `segment` against what Automerge can hold, and what it refers to against the payload itself and
 * `past`. Without `past`, references to other actors and earlier entries are only checked to have a smaller counter.
 *
 * The rules come from what Automerge 3.5.0 does when they are broken: it panics (unknown object or element), drops the
 * op silently, or applies it and then cannot load what it saved (predecessors that are not on the same key, deletions
 * without any, ends of marks without a beginning).
 * @throws SealogError ERR_GUARD
 */
export function checkOps(payload: PayloadOps, segment: OpSegment, past: CausalPast | undefined): void {
  payload.segments.push(segment)
  const { table } = segment
  for (let counter = segment.start; counter < segment.end; counter++) {
    const row = rowOf(segment, counter)
    const object = checkObject(payload, table, row, counter, past)
    checkKey(payload, table, row, counter, object?.kind, past)
    checkAction(payload, segment, row, counter, object)
    checkPredecessors(payload, table, row, counter, past)
  }
}

export function rowOf(segment: OpSegment, counter: number): number {
  const position = segment.offset + counter - segment.start
  return segment.rowByCounter === undefined ? position : (segment.rowByCounter[position] as number)
}

/** @returns the op's object, where it is known */
function checkObject(
  payload: PayloadOps,
  table: OpTable,
  row: number,
  counter: number,
  past: CausalPast | undefined,
): PastObject | undefined {
  const objectCounter = table.objectCounter[row] as number
  const objectActor = table.objectActor[row] as number
  if ((objectCounter === NULL) !== (objectActor === NULL)) refuse('object', 'half an id')
  if (objectCounter === NULL) return ROOT
  if (objectCounter >= counter) refuse('object', 'not in the past')
  const own = locate(payload, table, objectActor, objectCounter)
  if (own !== undefined) return payload.objects.get(objectCounter) ?? refuse('object', 'not an object')
  if (past === undefined) return undefined
  return past.object(reference(table, objectActor, objectCounter)) ?? refuse('object', 'unknown')
}

function checkKey(
  payload: PayloadOps,
  table: OpTable,
  row: number,
  counter: number,
  kind: ObjectKind | undefined,
  past: CausalPast | undefined,
): void {
  const keyCounter = table.keyCounter[row] as number
  const keyActor = table.keyActor[row] as number
  const isInsert = table.insert[row] === 1
  if (table.keyText.index[row] !== NULL) {
    if (keyCounter !== NULL || keyActor !== NULL) refuse('key', 'text and element')
    if (kind !== undefined && kind !== 'map') refuse('key', 'text in a sequence')
    if (isInsert) refuse('key', 'insertion into a map')
    return
  }
  if (keyCounter === NULL) refuse('key', 'missing')
  if (kind === 'map') refuse('key', 'element in a map')
  if (keyCounter === 0) {
    if (keyActor !== NULL || !isInsert) refuse('element', 'head')
    return
  }
  if (keyActor === NULL) refuse('key', 'half an id')
  if (keyCounter >= counter) refuse('element', 'not in the past')
  const own = locate(payload, table, keyActor, keyCounter)
  if (own !== undefined) {
    if (own.table.insert[own.row] !== 1 || !sameObject(own, table, row))
      refuse('element', 'not an element of this object')
  } else if (past !== undefined) {
    if (!past.element(objectOf(table, row), reference(table, keyActor, keyCounter))) refuse('element', 'unknown')
  }
}

function checkAction(
  payload: PayloadOps,
  segment: OpSegment,
  row: number,
  counter: number,
  object: PastObject | undefined,
): void {
  const { table } = segment
  const kind = object?.kind
  const action = table.action[row] as number
  const type = (table.valueMeta[row] as number) & 15
  const isInsert = table.insert[row] === 1
  const predecessors = (table.relatedStart[row + 1] as number) - (table.relatedStart[row] as number)
  if (action !== ACTION.mark && (table.expand[row] === 1 || table.markName.index[row] !== NULL))
    refuse('mark', 'not a mark')
  if (isInsert && predecessors > 0) refuse('predecessor', 'of an insertion')
  switch (action) {
    case ACTION.set:
      if (kind === 'text' && type !== VALUE_TYPE.text) refuse('value', 'not text in a text')
      return
    case ACTION.delete:
      if (type !== VALUE_TYPE.null) refuse('value', 'of a deletion')
      if (isInsert || predecessors === 0) refuse('predecessor', 'deletion of nothing')
      return
    case ACTION.increment:
      if (type !== VALUE_TYPE.int && type !== VALUE_TYPE.uint) refuse('value', 'of an increment')
      if (isInsert || predecessors === 0) refuse('predecessor', 'increment of nothing')
      return
    case ACTION.mark:
      checkMark(segment, row, counter, kind)
      return
    default:
      if (type !== VALUE_TYPE.null) refuse('value', 'of a new object')
      if (kind === 'text' && action !== ACTION.makeMap) refuse('action', 'in a text')
      if ((object?.depth ?? 0) >= payload.limits.maxDepth) refuse('too-deep', 'objects in objects')
      payload.objects.set(counter, { kind: MADE_BY[action] as ObjectKind, depth: (object?.depth ?? 0) + 1 })
  }
}

/** A mark is two insertions in a row; the end names its beginning only by having the next counter. */
function checkMark(segment: OpSegment, row: number, counter: number, kind: ObjectKind | undefined): void {
  const { table } = segment
  if (table.insert[row] !== 1) refuse('mark', 'not an insertion')
  if (kind !== undefined && kind !== 'text') refuse('mark', 'outside a text')
  if (table.markName.index[row] !== NULL) {
    if (counter + 1 >= segment.end) refuse('mark', 'without an end')
    const end = rowOf(segment, counter + 1)
    if (table.action[end] !== ACTION.mark || table.markName.index[end] !== NULL) refuse('mark', 'without an end')
    return
  }
  if (((table.valueMeta[row] as number) & 15) !== VALUE_TYPE.null) refuse('mark', 'end with a value')
  if (counter === segment.start) refuse('mark', 'without a beginning')
  const begin = rowOf(segment, counter - 1)
  if (table.action[begin] !== ACTION.mark || table.markName.index[begin] === NULL) refuse('mark', 'without a beginning')
  if (!sameObject({ table, row: begin }, table, row)) refuse('mark', 'across objects')
  // At the head of the text, or after the same element as the beginning, the end would come to stand before it.
  const atHead = table.keyCounter[row] === 0
  const afterSame = table.keyCounter[row] === table.keyCounter[begin] && table.keyActor[row] === table.keyActor[begin]
  if (atHead || afterSame) refuse('mark', 'ends before it begins')
}

function checkPredecessors(
  payload: PayloadOps,
  table: OpTable,
  row: number,
  counter: number,
  past: CausalPast | undefined,
): void {
  const end = table.relatedStart[row + 1] as number
  let lastCounter = 0
  let lastActor = ''
  for (let i = table.relatedStart[row] as number; i < end; i++) {
    const predecessor = table.relatedCounter[i] as number
    const index = table.relatedActor[i] as number
    const actor = table.actors[index] as string
    if (predecessor >= counter) refuse('predecessor', 'not in the past')
    // Automerge rebuilds this list in the order of ids, and the change's hash with it.
    if (predecessor < lastCounter || (predecessor === lastCounter && actor <= lastActor))
      refuse('predecessor', 'out of order')
    lastCounter = predecessor
    lastActor = actor
    const own = locate(payload, table, index, predecessor)
    if (own !== undefined) {
      const action = own.table.action[own.row]
      if (action === ACTION.delete || action === ACTION.increment) refuse('predecessor', 'nothing to replace')
      if (!sameObject(own, table, row) || !sameKey(own, predecessor, table, row))
        refuse('predecessor', 'on another key')
    } else if (past !== undefined) {
      if (!past.predecessor(objectOf(table, row), keyOf(table, row), { actor, counter: predecessor })) {
        refuse('predecessor', 'unknown')
      }
    }
  }
}

/**
 * An op of this payload, or `undefined` for one of another actor or an earlier entry.
 * @throws SealogError ERR_GUARD object, for a counter that the author skipped inside this payload
 */
function locate(payload: PayloadOps, table: OpTable, actor: number, counter: number): Located | undefined {
  if (actor !== table.author) return undefined
  const { segments } = payload
  if (counter < (segments[0] as OpSegment).start) return undefined
  let low = 0
  let high = segments.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if ((segments[middle] as OpSegment).start <= counter) low = middle
    else high = middle - 1
  }
  const segment = segments[low] as OpSegment
  if (counter >= segment.end) refuse('object', 'no such operation')
  return { table: segment.table, row: rowOf(segment, counter) }
}

function sameObject(a: Located, table: OpTable, row: number): boolean {
  const counter = table.objectCounter[row] as number
  if (a.table.objectCounter[a.row] !== counter) return false
  return (
    counter === NULL ||
    sameActor(a.table, a.table.objectActor[a.row] as number, table, table.objectActor[row] as number)
  )
}

/** Is `a`, whose counter is `counter`, an op on the key that this row is about? */
function sameKey(a: Located, counter: number, table: OpTable, row: number): boolean {
  const text = table.keyText.index[row] as number
  if (text !== NULL) {
    const other = a.table.keyText.index[a.row] as number
    return other !== NULL && a.table.keyText.values[other] === table.keyText.values[text]
  }
  const keyCounter = table.keyCounter[row] as number
  const keyActor = table.keyActor[row] as number
  // What an insertion inserts is the element that bears its own id.
  if (a.table.insert[a.row] === 1) return keyCounter === counter && keyActor === table.author
  return (
    a.table.keyCounter[a.row] === keyCounter && sameActor(a.table, a.table.keyActor[a.row] as number, table, keyActor)
  )
}

function sameActor(a: OpTable, indexA: number, b: OpTable, indexB: number): boolean {
  return a === b ? indexA === indexB : a.actors[indexA] === b.actors[indexB]
}

function reference(table: OpTable, actor: number, counter: number): OpReference {
  return { actor: table.actors[actor] as string, counter }
}

function objectOf(table: OpTable, row: number): ObjectReference {
  const counter = table.objectCounter[row] as number
  return counter === NULL ? undefined : reference(table, table.objectActor[row] as number, counter)
}

function keyOf(table: OpTable, row: number): KeyReference {
  const text = table.keyText.index[row] as number
  if (text !== NULL) return table.keyText.values[text] as string
  return reference(table, table.keyActor[row] as number, table.keyCounter[row] as number)
}
