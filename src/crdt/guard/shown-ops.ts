import { idOf } from './causal-index.ts'
import { NULL } from './columns.ts'
import type { DocumentChunk } from './document-chunk.ts'
import type { OpTable } from './op-table.ts'
import { ACTION, VALUE_TYPE } from './op-table.ts'

const ROOT = -1
const NOTHING: readonly number[] = []

/**
 * Of every object in a saved document, the rows of the operations whose values it shows: of a map one for each key, of
 * a list or text one for each element, in their order. Where several stand in one place, Automerge shows the one with
 * the largest id; those that were replaced or deleted have successors.
 */
export class ShownOps {
  readonly #chunk: DocumentChunk
  readonly #shown = new Map<number, number[]>()

  /** @param chunk as `Automerge.save` wrote it: the operations of one place stand together */
  constructor(chunk: DocumentChunk) {
    this.#chunk = chunk
    const { ops } = chunk
    const increments = incrementsIn(chunk)
    let latest: number | undefined
    for (let row = 0; row < ops.rows; row++) {
      if (row > 0 && isElsewhere(ops, row)) {
        this.#show(latest)
        latest = undefined
      }
      if (isInForce(chunk, row, increments) && (latest === undefined || isLater(chunk, row, latest))) latest = row
    }
    this.#show(latest)
  }

  /** @param made row of the operation that made the object; the root map without */
  in(made?: number): readonly number[] {
    const { idActor, idCounter } = this.#chunk
    const object = made === undefined ? ROOT : idOf(idActor[made] as number, idCounter[made] as number)
    return this.#shown.get(object) ?? NOTHING
  }

  #show(row: number | undefined): void {
    if (row === undefined) return
    const object = objectOf(this.#chunk.ops, row)
    const rows = this.#shown.get(object)
    if (rows === undefined) this.#shown.set(object, [row])
    else rows.push(row)
  }
}

/** Does this row stand in another place than the one before? What replaces an element stands behind it. */
function isElsewhere(ops: OpTable, row: number): boolean {
  if (ops.insert[row] === 1 || objectOf(ops, row) !== objectOf(ops, row - 1)) return true
  const { index, values } = ops.keyText
  const key = index[row] as number
  return key !== NULL && values[key] !== values[index[row - 1] as number]
}

/** Does this row's value count? An increment is part of the counter before it, and leaves that in force. */
function isInForce({ ops }: DocumentChunk, row: number, increments: ReadonlySet<number>): boolean {
  const action = ops.action[row] as number
  if (action === ACTION.increment || action === ACTION.mark) return false
  const start = ops.relatedStart[row] as number
  const end = ops.relatedStart[row + 1] as number
  if (start === end) return true
  if (((ops.valueMeta[row] as number) & 15) !== VALUE_TYPE.counter) return false
  for (let i = start; i < end; i++) {
    if (!increments.has(idOf(ops.relatedActor[i] as number, ops.relatedCounter[i] as number))) return false
  }
  return true
}

function incrementsIn({ ops, idActor, idCounter }: DocumentChunk): ReadonlySet<number> {
  const increments = new Set<number>()
  for (let row = 0; row < ops.rows; row++) {
    if (ops.action[row] === ACTION.increment) increments.add(idOf(idActor[row] as number, idCounter[row] as number))
  }
  return increments
}

/** Ids are ordered by counter, then by actor; so are the indices of actors. */
function isLater({ idActor, idCounter }: DocumentChunk, a: number, b: number): boolean {
  const difference = (idCounter[a] as number) - (idCounter[b] as number)
  return difference > 0 || (difference === 0 && (idActor[a] as number) > (idActor[b] as number))
}

function objectOf(ops: OpTable, row: number): number {
  const counter = ops.objectCounter[row] as number
  return counter === NULL ? ROOT : idOf(ops.objectActor[row] as number, counter)
}
