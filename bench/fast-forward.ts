import * as Automerge from '@automerge/automerge'
import { type Joined, type Joining, writeSpace } from './joining.ts'
import { type BenchOptions, type Figure, inTurns, median, timed } from './measure.ts'
import { paperEdits, type Text } from './written-replica.ts'

const ROUNDS = 5

/**
 * A device joins a space with one document of a long history: by fast-forward and by replay, each until the text is
 * there, verified, decrypted, guarded and stored; against `Automerge.load` and `save` of the same document. The relay
 * is in the same process, and what it takes is in the times.
 */
export async function benchFastForward({ edits: count, say }: BenchOptions): Promise<readonly Figure[]> {
  const edits = paperEdits(count)
  say(`typing ${edits.length} edits`)
  const space = await writeSpace(edits)
  try {
    const { saved, text, entries } = space
    const load = async (): Promise<Joined> => {
      let doc: Automerge.Doc<Text> | undefined
      let found = ''
      const time = await timed(() => {
        doc = Automerge.load<Text>(saved)
        found = doc.text
      })
      if (found !== text) throw new Error('Automerge.load has another text')
      if (doc !== undefined) Automerge.free(doc)
      return { time, bytes: saved.length, recordBytes: 0 }
    }
    say(`joining ${ROUNDS} times by fast-forward and by replay of ${entries} entries, in turns with Automerge.load`)
    const by = (how: Joining) => () => space.join(how)
    const results = await inTurns(ROUNDS, [load, by('fast-forward'), by('replay')])
    const [loads, skips, replays] = results.map(joins => ({
      time: median(joins.map(({ time }) => time)),
      bytes: median(joins.map(({ bytes }) => bytes)),
      recordBytes: median(joins.map(({ recordBytes }) => recordBytes)),
    })) as [Joined, Joined, Joined]
    return [
      { case: 'edits in the document', value: edits.length, unit: 'edits' },
      { case: 'entries in the log', value: entries, unit: 'entries' },
      { case: 'Automerge.load', value: loads.time, unit: 'ms' },
      { case: 'Automerge.save', value: loads.bytes, unit: 'bytes' },
      { case: 'fast-forward time', value: skips.time, unit: 'ms', floor: loads.time, ratioAtMost: 1.3 },
      { case: 'fast-forward bytes', value: skips.bytes, unit: 'bytes', floor: loads.bytes, ratioAtMost: 1.1 },
      {
        case: 'fast-forward bytes, without audit and sync',
        value: skips.recordBytes,
        unit: 'bytes',
        floor: loads.bytes,
      },
      { case: 'replay time', value: replays.time, unit: 'ms', floor: loads.time },
      { case: 'replay bytes', value: replays.bytes, unit: 'bytes', floor: loads.bytes },
    ]
  } finally {
    space.remove()
  }
}
