import * as Automerge from '@automerge/automerge'
import { nodeStore, openReplica } from 'sealog/node'
import { type BenchOptions, type Figure, inTurns, median, timed } from './measure.ts'
import { paperEdits, sizeOnDisk, startBench, type Text, typeAll } from './written-replica.ts'

const ROUNDS = 9

/**
 * Opening a document of a long history from the local store, against `Automerge.load` of the same document, both until
 * its text is there. Offline: the relay is gone by then.
 */
export async function benchOpen({ edits: count, say }: BenchOptions): Promise<readonly Figure[]> {
  const edits = paperEdits(count)
  const bench = await startBench()
  const { store, relay, space, note } = bench
  try {
    say(`typing ${edits.length} edits`)
    const typing = await timed(() => typeAll(bench, edits))
    const text = note.doc().text
    const saved = Automerge.save(note.doc())
    const closing = await timed(() => bench.close())
    const onDisk = sizeOnDisk(store)

    const assertText = (found: string): void => {
      if (found !== text) throw new Error('the document that was opened is not the one that was written')
    }
    async function reopen(): Promise<number> {
      const start = performance.now()
      const replica = await openReplica({ store: nodeStore(store), relay: relay.url })
      const opened = await (await replica.openSpace(space.id)).openDocument<Text>(note.id)
      const found = opened.doc().text
      const time = performance.now() - start
      assertText(found)
      await replica.close()
      return time
    }
    async function load(): Promise<number> {
      const start = performance.now()
      const doc = Automerge.load<Text>(saved)
      const found = doc.text
      const time = performance.now() - start
      assertText(found)
      Automerge.free(doc)
      return time
    }
    say(`opening it ${ROUNDS} times, in turns with Automerge.load`)
    const [opens = [], loads = []] = await inTurns(ROUNDS, [reopen, load])
    const floor = median(loads)
    return [
      { case: 'edits in the document', value: edits.length, unit: 'edits' },
      { case: 'typing and proving them', value: typing, unit: 'ms' },
      { case: 'closing, which compacts', value: closing, unit: 'ms' },
      { case: 'Automerge.load', value: floor, unit: 'ms' },
      { case: 'opening from the store', value: median(opens), unit: 'ms', floor, ratioAtMost: 1.15 },
      { case: 'Automerge.save', value: saved.length, unit: 'bytes' },
      { case: 'store on disk', value: onDisk, unit: 'bytes', floor: saved.length, ratioAtMost: 2 },
    ]
  } finally {
    await bench.close()
    bench.remove()
  }
}
