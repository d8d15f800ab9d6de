import { equalBytes } from '../../bytes.ts'
import type { InspectedOps } from '../guard.ts'
import { NULL } from './columns.ts'
import type { OpSegment } from './op-rules.ts'
import { rowOf } from './op-rules.ts'
import type { OpTable } from './op-table.ts'

/**
 * Do these change chunks and this bundle hold the same changes? Compares everything that a change's hash is made of;
 * Automerge's encoding of it is unique, so that equality here is equality of all hashes.
 */
export function sameOps(raw: InspectedOps, bundle: InspectedOps): boolean {
  if (raw.changes.length !== bundle.changes.length) return false
  return raw.changes.every((change, i) => {
    const other = bundle.changes[i]
    if (other === undefined || change.seq !== other.seq || change.time !== other.time) return false
    const previous = raw.changes[i - 1]?.hash
    const deps = [...other.deps]
    if (previous !== undefined) deps.splice(bundle.previousAt[i] as number, 0, previous)
    if (deps.length !== change.deps.length || deps.some((hash, j) => hash !== change.deps[j])) return false
    if (!equalBytes(raw.messages[i] as Uint8Array, bundle.messages[i] as Uint8Array)) return false
    return sameSegment(raw.segments[i] as OpSegment, bundle.segments[i] as OpSegment)
  })
}

function sameSegment(a: OpSegment, b: OpSegment): boolean {
  if (a.start !== b.start || a.end !== b.end) return false
  for (let counter = a.start; counter < a.end; counter++) {
    if (!sameOp(a.table, rowOf(a, counter), b.table, rowOf(b, counter))) return false
  }
  return true
}

function sameOp(a: OpTable, rowA: number, b: OpTable, rowB: number): boolean {
  const actorA = (index: number): string | undefined => (index === NULL ? undefined : a.actors[index])
  const actorB = (index: number): string | undefined => (index === NULL ? undefined : b.actors[index])
  const textA = (column: OpTable['keyText']): string | undefined => column.values[column.index[rowA] as number]
  const textB = (column: OpTable['keyText']): string | undefined => column.values[column.index[rowB] as number]
  if (
    a.action[rowA] !== b.action[rowB] ||
    a.insert[rowA] !== b.insert[rowB] ||
    a.expand[rowA] !== b.expand[rowB] ||
    a.objectCounter[rowA] !== b.objectCounter[rowB] ||
    actorA(a.objectActor[rowA] as number) !== actorB(b.objectActor[rowB] as number) ||
    a.keyCounter[rowA] !== b.keyCounter[rowB] ||
    actorA(a.keyActor[rowA] as number) !== actorB(b.keyActor[rowB] as number) ||
    textA(a.keyText) !== textB(b.keyText) ||
    textA(a.markName) !== textB(b.markName) ||
    a.valueMeta[rowA] !== b.valueMeta[rowB] ||
    !equalBytes(valueBytes(a, rowA), valueBytes(b, rowB))
  ) {
    return false
  }
  const startA = a.relatedStart[rowA] as number
  const startB = b.relatedStart[rowB] as number
  const count = (a.relatedStart[rowA + 1] as number) - startA
  if (count !== (b.relatedStart[rowB + 1] as number) - startB) return false
  for (let i = 0; i < count; i++) {
    if (a.relatedCounter[startA + i] !== b.relatedCounter[startB + i]) return false
    if (actorA(a.relatedActor[startA + i] as number) !== actorB(b.relatedActor[startB + i] as number)) return false
  }
  return true
}

function valueBytes(table: OpTable, row: number): Uint8Array {
  return table.value.subarray(table.valueStart[row], table.valueStart[row + 1])
}
