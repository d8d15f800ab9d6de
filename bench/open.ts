import * as Automerge from '@automerge/automerge'
import { nodeStore, openReplica } from 'sealog/node'
import { type BenchOptions, type Figures, inTurns, median, timed } from './measure.ts'
import { paperEdits, sizeOnDisk, startBench, type Text, typeAll } from './written-replica.ts'

const ROUNDS = 9

/**
 * Opening a document of a long history from the local store, against `Automerge.load` of the same document, both until
 * its text is there. Offline: the relay is gone by then.
 */
export async function benchOpen({ edits: count, say }: BenchOptions): Promise<Figures> {
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
    return {
      edits: { name: 'edits in the document', value: edits.length, unit: 'edits' },
      type: { name: 'typing and proving them', value: typing, unit: 'ms' },
      close: { name: 'closing, which compacts', value: closing, unit: 'ms' },
      load: { name: 'Automerge.load, median', value: median(loads), unit: 'ms' },
      open: { name: 'opening from the store, median', value: median(opens), unit: 'ms' },
      openRatio: {
        name: 'opening ÷ Automerge.load',
        value: median(opens) / median(loads),
        unit: 'ratio',
        atMost: 1.15,
      },
      save: { name: 'Automerge.save', value: saved.length, unit: 'bytes' },
      disk: { name: 'the store on disk', value: onDisk, unit: 'bytes' },
      diskRatio: { name: 'on disk ÷ Automerge.save', value: onDisk / saved.length, unit: 'ratio', atMost: 2 },
    }
  } finally {
    await bench.close()
    bench.remove()
  }
}
