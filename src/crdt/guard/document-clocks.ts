import type { DocumentChanges } from './document-chunk.ts'
import { refuse } from './rules.ts'

/** Clocks that are kept: numbers over all of them, 4 bytes each. Beyond that a document is too wide to be judged. */
const MAX_KEPT = 2 ** 26
/** Numbers that are compared on the way. */
const MAX_COMPARED = 2 ** 30
const NOTHING: Int32Array = new Int32Array(0)

/** Which operations lie in the causal past of each change of a document. */
export interface DocumentClocks {
  /** Is this operation of the change itself, of its author before, or of somebody in its past? */
  sees(change: number, actor: number, counter: number): boolean
}

/**
 * For each change, the largest counter that it knows of every other actor. Most changes know what their author's change
 * before knew, and share its clock: typing takes no room.
 * @throws SealogError ERR_GUARD too-many-dependencies, where this would take more than 256 MiB
 */
export function documentClocks(changes: DocumentChanges, actorCount: number): DocumentClocks {
  const { actor, maxOp, dependency, dependencyStart } = changes
  const clocks: Int32Array[] = []
  const latest = new Int32Array(actorCount).fill(-1)
  let kept = 0
  let compared = 0
  for (let i = 0; i < changes.count; i++) {
    const author = actor[i] as number
    const previous = latest[author] as number
    latest[author] = i
    let clock = previous < 0 ? NOTHING : (clocks[previous] as Int32Array)
    const inherited = clock
    const raise = (other: number, counter: number): void => {
      if (other === author || counter <= (clock[other] ?? 0)) return
      if (clock === inherited || other >= clock.length) {
        const wider = new Int32Array(Math.max(clock.length, other + 1))
        wider.set(clock)
        clock = wider
        kept += wider.length
        if (kept > MAX_KEPT) refuse('too-many-dependencies', 'clocks')
      }
      clock[other] = counter
    }
    for (let at = dependencyStart[i] as number; at < (dependencyStart[i + 1] as number); at++) {
      const position = dependency[at] as number
      if (position === previous) continue
      const theirs = clocks[position] as Int32Array
      compared += theirs.length + 1
      if (compared > MAX_COMPARED) refuse('too-many-dependencies', 'clocks')
      // From the end, so that the clock widens once.
      for (let other = theirs.length - 1; other >= 0; other--) raise(other, theirs[other] as number)
      raise(actor[position] as number, maxOp[position] as number)
    }
    clocks.push(clock)
  }
  return {
    sees: (change, other, counter) => {
      if (other === actor[change]) return counter <= (maxOp[change] as number)
      return counter <= ((clocks[change] as Int32Array)[other] ?? 0)
    },
  }
}
