import type { SyncLimits } from '../../src/crdt/sync-limits.ts'
import type { Space } from '../../src/space.ts'
import type { Note } from './world.ts'

/**
 * So that a few dozen entries do what takes thousands in life. The first cosignature comes late, as a relay takes the
 * second one of a device only after a while.
 */
export const EAGER: SyncLimits = {
  skip: { join: 8, comeback: 12 },
  snapshot: { entries: 6, bytes: 1 << 20, delay: 5 },
  cosign: { entries: 30 },
}
/** In milliseconds of a clock that is hurried a hundredfold. */
export const TIMEOUT = 1_000_000

/** So many entries, each proven before the next is made. */
export async function write(
  space: Space,
  note: { change(fn: (doc: Note) => void): void },
  entries: number,
): Promise<void> {
  for (let i = 0; i < entries; i++) {
    note.change(doc => {
      doc.body += `${i} `
    })
    await space.sync({ timeout: TIMEOUT })
  }
}

export async function settle(...spaces: readonly Space[]): Promise<void> {
  for (const space of [...spaces, ...spaces]) await space.sync({ timeout: TIMEOUT })
}

export async function until(holds: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 400; i++) {
    if (holds()) return
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  throw new Error(`never happened: ${what}`)
}
