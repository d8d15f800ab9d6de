import type { DocumentChunk } from './document-chunk.ts'
import { DEFAULT_LIMITS, refuse } from './rules.ts'

/** In `rowOf`: no operation of that id. */
export const MISSING: number = -1
/** In `rowOf`: a deletion, which a document keeps only as a successor, of row `DELETION − value` among others. */
export const DELETION: number = -2

/** Where the operations of a document stand: each id that a change gave out has a slot. */
export interface Slots {
  /** For each change, the slot of its first operation, and the total behind the last. */
  readonly start: Int32Array
  /** Counter of its first operation. */
  readonly startOp: Int32Array
  /** Largest counter of each change, or of its past. */
  readonly maxOp: Int32Array
  /** Positions of each actor's changes. */
  readonly chains: readonly Int32Array[]
  /** Row of each operation, or `MISSING`, or `DELETION` and less. */
  readonly rowOf: Int32Array
}

/**
 * Gives every id that the changes claim a slot, once it is clear that there can be an operation for each.
 * @param isMember 1 for each actor whose changes came in entries
 * @throws SealogError ERR_GUARD counter, too-many-ops
 */
export function assignSlots(chunk: DocumentChunk, isMember: Uint8Array): Slots {
  const { changes, ops, idActor } = chunk
  const { count, actor, maxOp } = changes
  const chains = chainsOf(chunk)
  const startOp = startOps(chunk, chains, isMember)
  const start = new Int32Array(count + 1)
  const used = new Int32Array(chains.length)
  const available = idActor.length + (ops.relatedStart[ops.rows] as number)
  for (let i = 0; i < count; i++) {
    const author = actor[i] as number
    const first = startOp[i] as number
    const last = maxOp[i] as number
    const operations = last - first + 1
    if (first <= (used[author] as number)) refuse('counter', 'used before')
    if (isMember[author] === 1 && operations > DEFAULT_LIMITS.maxOps) refuse('too-many-ops', 'in a change')
    if ((start[i] as number) + operations > available) refuse('counter', 'of no operation')
    start[i + 1] = (start[i] as number) + operations
    used[author] = last
  }
  return { start, startOp, maxOp, chains, rowOf: new Int32Array(start[count] as number).fill(MISSING) }
}

function chainsOf({ actors, changes }: DocumentChunk): readonly Int32Array[] {
  const lengths = new Int32Array(actors.length)
  for (const author of changes.actor) lengths[author] = (lengths[author] as number) + 1
  const chains = Array.from(lengths, length => new Int32Array(length))
  for (let i = 0; i < changes.count; i++) {
    // Seqs were found to count up from 1.
    const chain = chains[changes.actor[i] as number] as Int32Array
    chain[(changes.seq[i] as number) - 1] = i
  }
  return chains
}

/**
 * Counter of each change's first operation: the next one after all that it depends on. An imported change may begin
 * later, as those do that Automerge makes on an earlier state of a document: it begins with its smallest counter.
 */
function startOps(chunk: DocumentChunk, chains: readonly Int32Array[], isMember: Uint8Array): Int32Array {
  const { changes, ops, idActor, idCounter } = chunk
  const { count, actor, maxOp, dependency, dependencyStart } = changes
  const starts = new Int32Array(count)
  for (let i = 0; i < count; i++) {
    let past = 0
    for (let at = dependencyStart[i] as number; at < (dependencyStart[i + 1] as number); at++) {
      past = Math.max(past, maxOp[dependency[at] as number] as number)
    }
    starts[i] = past + 1
  }
  if (!isMember.includes(0)) return starts
  const smallest = maxOp.map(last => last + 1)
  const note = (author: number, counter: number): void => {
    if (isMember[author] === 1) return
    const change = atOrAfter(maxOp, chains, author, counter)
    if (change !== undefined) smallest[change] = Math.min(smallest[change] as number, counter)
  }
  for (let row = 0; row < ops.rows; row++) note(idActor[row] as number, idCounter[row] as number)
  ops.relatedCounter.forEach((counter, i) => {
    note(ops.relatedActor[i] as number, counter)
  })
  for (let i = 0; i < count; i++) {
    if (isMember[actor[i] as number] === 1) continue
    if ((smallest[i] as number) < (starts[i] as number)) refuse('counter', 'used before')
    starts[i] = smallest[i] as number
  }
  return starts
}

/** The first change of an actor whose last counter is not below this one. */
function atOrAfter(
  maxOp: Int32Array,
  chains: readonly Int32Array[],
  actor: number,
  counter: number,
): number | undefined {
  const chain = chains[actor] as Int32Array
  let low = 0
  let high = chain.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((maxOp[chain[middle] as number] as number) < counter) low = middle + 1
    else high = middle
  }
  return chain[low]
}

/** The change that gave out this id. @throws SealogError ERR_GUARD counter, for an id that none did */
export function changeOfId(slots: Slots, actor: number, counter: number): number {
  const change = atOrAfter(slots.maxOp, slots.chains, actor, counter)
  if (change === undefined || counter < (slots.startOp[change] as number)) return refuse('counter', 'of no change')
  return change
}

export function slotOf(slots: Slots, change: number, counter: number): number {
  return (slots.start[change] as number) + counter - (slots.startOp[change] as number)
}
