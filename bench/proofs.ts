import { benchCatchUp } from './catch-up-headers.ts'
import { benchLogProofs } from './log-proofs.ts'
import type { BenchOptions, Figure } from './measure.ts'
import { benchStateProofs } from './state-proofs.ts'

/** Entries of the log, or documents of the space. */
const LOGS = [1_000, 10_000, 100_000, 1_000_000]
const SPACES = [100, 10_000, 100_000]

/**
 * What proofs weigh, and what it takes to make and to verify them. All from memory: what a relay's store takes to read
 * nodes and records is not in it.
 */
export async function benchProofs({ say }: BenchOptions): Promise<readonly Figure[]> {
  const figures: Figure[] = []
  for (const size of LOGS) {
    say(`a log of ${size.toLocaleString('en')} entries`)
    figures.push(...benchLogProofs(size))
  }
  for (const size of SPACES) {
    say(`a space of ${size.toLocaleString('en')} documents`)
    figures.push(...benchStateProofs(size))
  }
  say('catch-up by headers')
  figures.push(...(await benchCatchUp()))
  return figures
}
