import { NULL } from './columns.ts'
import type { DocumentChunk } from './document-chunk.ts'
import { type DocumentClocks, documentClocks } from './document-clocks.ts'
import { assignSlots, changeOfId, DELETION, MISSING, type Slots, slotOf } from './document-slots.ts'
import { ACTION, type OpTable, VALUE_TYPE } from './op-table.ts'
import { DEFAULT_LIMITS, refuse } from './rules.ts'

const MAKES: ReadonlySet<number> = new Set([ACTION.makeMap, ACTION.makeList, ACTION.makeText])

interface Context {
  readonly chunk: DocumentChunk
  readonly slots: Slots
  readonly clocks: DocumentClocks
  /** Position of the change that each row is part of. */
  readonly changeOf: Int32Array
  /** 1 where the row replaces something. */
  readonly hasPredecessor: Uint8Array
  /** Of rows that make an object: 1 for one in the root map, and one more than its parent's for any other. */
  readonly depth: Uint8Array
}

/**
 * Judges every change of a document as the guard judges changes in entries, from the document's columns: that its
 * operations have exactly the counters that follow its causal past; that every object, element and predecessor that
 * they refer to is there, in this past, of the right kind and on the same key; values, marks and nesting. What a
 * document cannot tell is how its changes were framed: that Automerge rebuilds them from here is the canonical form.
 *
 * Time and memory follow the size of the columns, which `readDocument` bounds; of changes by many actors that all
 * depend on each other, see `documentClocks`.
 * @param isMember 1 for each actor whose changes came in entries: these are also held to the limits of one entry, and
 * bear no extra bytes; other changes were imported
 * @throws SealogError ERR_GUARD
 */
export function checkDocumentChanges(chunk: DocumentChunk, isMember: Uint8Array): void {
  checkDependencies(chunk, isMember)
  const slots = assignSlots(chunk, isMember)
  const { rows } = chunk.ops
  const context: Context = {
    chunk,
    slots,
    clocks: documentClocks(chunk.changes, chunk.actors.length),
    changeOf: new Int32Array(rows),
    hasPredecessor: new Uint8Array(rows),
    depth: new Uint8Array(rows),
  }
  placeRows(context)
  checkSuccessors(context, isMember)
  measureDepths(context)
  for (let row = 0; row < rows; row++) checkRow(context, row)
}

function checkDependencies({ changes }: DocumentChunk, isMember: Uint8Array): void {
  const { dependency, dependencyStart } = changes
  const lastSeen = new Int32Array(changes.count).fill(-1)
  for (let i = 0; i < changes.count; i++) {
    const start = dependencyStart[i] as number
    const end = dependencyStart[i + 1] as number
    const isByMember = isMember[changes.actor[i] as number] === 1
    if (isByMember && end - start > DEFAULT_LIMITS.maxDependencies) refuse('too-many-dependencies', 'of a change')
    if (isByMember && changes.extraLength[i] !== 0) refuse('extra', 'bytes with a change')
    for (let at = start; at < end; at++) {
      const position = dependency[at] as number
      if (lastSeen[position] === i) refuse('dependencies', 'twice')
      lastSeen[position] = i
    }
  }
}

/** The row of an operation in the past of `change`; `undefined` for a deletion, or where there is none. */
function rowInPast(context: Context, change: number, actor: number, counter: number): number | undefined {
  if (!context.clocks.sees(change, actor, counter)) return undefined
  const { slots } = context
  const row = slots.rowOf[slotOf(slots, changeOfId(slots, actor, counter), counter)] as number
  return row < 0 ? undefined : row
}

function placeRows(context: Context): void {
  const { idActor, idCounter, ops } = context.chunk
  const { slots } = context
  const { rowOf } = slots
  for (let row = 0; row < ops.rows; row++) {
    const counter = idCounter[row] as number
    const change = changeOfId(slots, idActor[row] as number, counter)
    const slot = slotOf(slots, change, counter)
    if (rowOf[slot] !== MISSING) refuse('counter', 'used before')
    rowOf[slot] = row
    context.changeOf[row] = change
  }
}

/** What replaces a row is on the same key, and knows of it; what has no row is a deletion; every id is one of these. */
function checkSuccessors(context: Context, isMember: Uint8Array): void {
  const { chunk, slots, clocks, hasPredecessor } = context
  const { ops, idActor, idCounter, changes } = chunk
  const { rowOf } = slots
  const predecessors = new Int32Array(changes.count)
  for (let row = 0; row < ops.rows; row++) {
    let lastCounter = 0
    let lastActor = -1
    for (let i = ops.relatedStart[row] as number; i < (ops.relatedStart[row + 1] as number); i++) {
      const counter = ops.relatedCounter[i] as number
      const actor = ops.relatedActor[i] as number
      if (counter < lastCounter || (counter === lastCounter && actor <= lastActor))
        refuse('predecessor', 'out of order')
      lastCounter = counter
      lastActor = actor
      const change = changeOfId(slots, actor, counter)
      const author = changes.actor[change] as number
      predecessors[change] = (predecessors[change] as number) + 1
      if (isMember[author] === 1 && (predecessors[change] as number) > DEFAULT_LIMITS.maxPredecessors)
        refuse('too-many-predecessors', 'in a change')
      if (!clocks.sees(change, idActor[row] as number, idCounter[row] as number)) refuse('predecessor', 'unknown')
      if (ops.action[row] === ACTION.increment) refuse('predecessor', 'nothing to replace')
      const slot = slotOf(slots, change, counter)
      const successor = rowOf[slot] as number
      if (successor >= 0) {
        if (ops.insert[successor] === 1) refuse('predecessor', 'of an insertion')
        if (!sameObject(ops, row, successor) || !isOnKey(chunk, row, keyOf(chunk, successor)))
          refuse('predecessor', 'on another key')
        hasPredecessor[successor] = 1
        continue
      }
      if (successor === MISSING) rowOf[slot] = DELETION - row
      else checkSameKey(chunk, row, DELETION - successor)
    }
  }
  if (rowOf.includes(MISSING)) refuse('counter', 'of no operation')
}

/** Element ids as two numbers, texts as one and the empty actor. */
interface Key {
  readonly text: number
  readonly actor: number
  readonly counter: number
}

/** @param isReplaced name an inserted element itself, as an operation that replaces it does, not the one before it */
function keyOf({ ops, idActor, idCounter }: DocumentChunk, row: number, isReplaced: boolean = false): Key {
  if (isReplaced && ops.insert[row] === 1) {
    return { text: NULL, actor: idActor[row] as number, counter: idCounter[row] as number }
  }
  return {
    text: ops.keyText.index[row] as number,
    actor: ops.keyActor[row] as number,
    counter: ops.keyCounter[row] as number,
  }
}

/** One deletion deletes what stands on one key. */
function checkSameKey(chunk: DocumentChunk, a: number, b: number): void {
  if (!sameObject(chunk.ops, a, b) || !isOnKey(chunk, a, keyOf(chunk, b, true))) refuse('predecessor', 'on another key')
}

function isOnKey(chunk: DocumentChunk, row: number, key: Key): boolean {
  const own = keyOf(chunk, row, true)
  const { values } = chunk.ops.keyText
  if (own.text !== NULL || key.text !== NULL) {
    return own.text !== NULL && key.text !== NULL && values[own.text] === values[key.text]
  }
  return own.actor === key.actor && own.counter === key.counter
}

function sameObject(ops: OpTable, a: number, b: number): boolean {
  return ops.objectCounter[a] === ops.objectCounter[b] && ops.objectActor[a] === ops.objectActor[b]
}

/** Row of the operation that made this row's object; `undefined` for the root. @throws SealogError ERR_GUARD object */
function objectRow(context: Context, row: number): number | undefined {
  const { ops } = context.chunk
  const counter = ops.objectCounter[row] as number
  if (counter === NULL) return undefined
  const made = rowInPast(context, context.changeOf[row] as number, ops.objectActor[row] as number, counter)
  if (made === undefined || !MAKES.has(ops.action[made] as number)) return refuse('object', 'unknown')
  return made
}

/** Outer objects come first: their counters are smaller. */
function measureDepths(context: Context): void {
  const { ops, idCounter } = context.chunk
  const makes: number[] = []
  for (let row = 0; row < ops.rows; row++) if (MAKES.has(ops.action[row] as number)) makes.push(row)
  makes.sort((a, b) => (idCounter[a] as number) - (idCounter[b] as number))
  for (const row of makes) {
    const parent = objectRow(context, row)
    const depth = parent === undefined ? 1 : (context.depth[parent] as number) + 1
    if (depth > DEFAULT_LIMITS.maxDepth) refuse('too-deep', 'objects in objects')
    context.depth[row] = depth
  }
}

function checkRow(context: Context, row: number): void {
  const { ops } = context.chunk
  const object = objectRow(context, row)
  const kind = object === undefined ? ACTION.makeMap : (ops.action[object] as number)
  const isText = kind === ACTION.makeText
  if (ops.keyText.index[row] !== NULL) {
    if (kind !== ACTION.makeMap) refuse('key', 'text in a sequence')
  } else {
    if (kind === ACTION.makeMap) refuse('key', 'element in a map')
    checkElement(context, row)
  }
  const action = ops.action[row] as number
  const type = (ops.valueMeta[row] as number) & 15
  if (action !== ACTION.mark && (ops.expand[row] === 1 || ops.markName.index[row] !== NULL))
    refuse('mark', 'not a mark')
  switch (action) {
    case ACTION.set:
      if (isText && type !== VALUE_TYPE.text) refuse('value', 'not text in a text')
      return
    case ACTION.increment:
      if (type !== VALUE_TYPE.int && type !== VALUE_TYPE.uint) refuse('value', 'of an increment')
      if (context.hasPredecessor[row] !== 1) refuse('predecessor', 'increment of nothing')
      return
    case ACTION.mark:
      if (ops.insert[row] !== 1) refuse('mark', 'not an insertion')
      if (!isText) refuse('mark', 'outside a text')
      checkMark(context, row, type)
      return
    default:
      if (type !== VALUE_TYPE.null) refuse('value', 'of a new object')
      if (isText && action !== ACTION.makeMap) refuse('action', 'in a text')
  }
}

function checkElement(context: Context, row: number): void {
  const { ops } = context.chunk
  const counter = ops.keyCounter[row] as number
  if (counter === 0) return
  const element = rowInPast(context, context.changeOf[row] as number, ops.keyActor[row] as number, counter)
  if (element === undefined || ops.insert[element] !== 1 || !sameObject(ops, element, row)) refuse('element', 'unknown')
}

/** A mark is two insertions in a row, of one change; the end names its beginning only by having the next counter. */
function checkMark(context: Context, row: number, type: number): void {
  const { chunk, changeOf } = context
  const { ops } = chunk
  if (ops.markName.index[row] !== NULL) {
    const end = neighbour(context, row, 1)
    if (end === undefined || ops.action[end] !== ACTION.mark || ops.markName.index[end] !== NULL)
      refuse('mark', 'without an end')
    return
  }
  if (type !== VALUE_TYPE.null) refuse('mark', 'end with a value')
  const begin = neighbour(context, row, -1)
  if (begin === undefined || ops.action[begin] !== ACTION.mark || ops.markName.index[begin] === NULL)
    return refuse('mark', 'without a beginning')
  if (changeOf[begin] !== changeOf[row] || !sameObject(ops, begin, row)) refuse('mark', 'across objects')
  const afterSame = ops.keyCounter[row] === ops.keyCounter[begin] && ops.keyActor[row] === ops.keyActor[begin]
  if (ops.keyCounter[row] === 0 || afterSame) refuse('mark', 'ends before it begins')
}

/** The row of the same change with the counter before or after this row's; `undefined` where there is none. */
function neighbour({ chunk, slots, changeOf }: Context, row: number, distance: 1 | -1): number | undefined {
  const change = changeOf[row] as number
  const counter = (chunk.idCounter[row] as number) + distance
  const startOp = slots.startOp[change] as number
  if (counter < startOp || counter > (chunk.changes.maxOp[change] as number)) return undefined
  const found = slots.rowOf[(slots.start[change] as number) + counter - startOp] as number
  return found < 0 ? undefined : found
}
