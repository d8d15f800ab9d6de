import { decodeRelayMessage, encodeMessage } from 'sealog/protocol'
import { expect, test } from 'vitest'
import { makeBroadcast } from '../src/broadcast.ts'
import type { SignedHead } from '../src/signed-head.ts'
import { randomLog } from './helpers/random-log.ts'

test('whoever is answered by what everybody gets has his reference in it, and nothing else differs', async () => {
  const { store, space, views } = await randomLog([])
  const size = views.length - 1
  const checkpoint = { size, root: new Uint8Array(32) } as SignedHead['checkpoint']
  const head: SignedHead = { checkpoint, note: new TextEncoder().encode('a note') }
  const entries = await store.readEntries(space, { from: 0, to: size, inlineLength: 1 << 18, maxBytes: 1 << 20 })
  const broadcast = await makeBroadcast(store, space, 0, entries, head)
  const [shared, ...more] = broadcast.frames()
  expect(more).toEqual([])
  const message = decodeRelayMessage(shared as Uint8Array)
  if (message.type !== 'sync') throw new Error(`expected a sync: ${message.type}`)
  expect(message.batch.entries).toHaveLength(size)
  for (const ref of [0, 1, 23, 24, 255, 256, 65_536, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
    expect(broadcast.framesWithRef(ref)).toEqual([encodeMessage({ ...message, ref })])
  }
})
