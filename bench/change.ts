import * as Automerge from '@automerge/automerge'
import type { Edit } from '../examples/demo/traces.ts'
import { type BenchOptions, type Figure, median } from './measure.ts'
import { paperEdits, startBench, type Text } from './written-replica.ts'

const EDITS = 20_000
/** Edits that are timed together. */
const BLOCK = 100
/** Blocks after which the relay gets to prove what was written. */
const BLOCKS_PER_SYNC = 20

/**
 * `change()` as the caller feels it, against the same call of plain Automerge: block by block the same edits of a
 * recorded paper, on two documents that are the same. What happens between the calls (storing, sending) is not in it.
 */
export async function benchChange({ edits: count = EDITS, say }: BenchOptions): Promise<readonly Figure[]> {
  const edits = paperEdits(count)
  const bench = await startBench()
  const { space, note } = bench
  try {
    let plain = Automerge.from<Text & Record<string, unknown>>({ text: '' })
    const onNote = (block: readonly Edit[]): void => {
      for (const [position, deleted, inserted] of block) {
        note.change(doc => Automerge.splice(doc, ['text'], position, deleted, inserted))
      }
    }
    const onPlain = (block: readonly Edit[]): void => {
      for (const [position, deleted, inserted] of block) {
        plain = Automerge.change(plain, doc => Automerge.splice(doc, ['text'], position, deleted, inserted))
      }
    }
    say(`typing ${edits.length} edits twice, ${BLOCK} at a time`)
    const ratios: number[] = []
    let [ours, theirs] = [0, 0]
    for (let at = 0, number = 0; at + BLOCK <= edits.length; at += BLOCK, number++) {
      const block = edits.slice(at, at + BLOCK)
      const isOursFirst = number % 2 === 0
      const first = timeOf(isOursFirst ? onNote : onPlain, block)
      const second = timeOf(isOursFirst ? onPlain : onNote, block)
      const [own, other] = isOursFirst ? [first, second] : [second, first]
      ours += own
      theirs += other
      ratios.push(own / other)
      await note.saved()
      if (number % BLOCKS_PER_SYNC === 0) await space.sync()
    }
    if (plain.text !== note.doc().text) throw new Error('the two documents are not the same')
    const changes = ratios.length * BLOCK
    const floor = (1000 * theirs) / changes
    const ratio = median(ratios)
    return [
      { case: 'edits', value: changes, unit: 'edits' },
      { case: 'Automerge.change, mean', value: floor, unit: 'µs' },
      { case: 'change(), mean', value: (1000 * ours) / changes, unit: 'µs', floor, ratio, ratioAtMost: 1.15 },
    ]
  } finally {
    await bench.close()
    bench.remove()
  }
}

function timeOf(task: (block: readonly Edit[]) => void, block: readonly Edit[]): number {
  const start = performance.now()
  task(block)
  return performance.now() - start
}
