import {
  type DocumentId,
  decodeRelayMessage,
  encodeMessage,
  MAX_WANTS,
  SealogError,
  type SpaceId,
} from 'sealog/protocol'
import { describe, expect, test } from 'vitest'
import type { Broadcast } from '../src/broadcast.ts'
import type { Peer } from '../src/peer.ts'
import type { Reader } from '../src/shown-log.ts'
import type { SpaceSequencer } from '../src/space-sequencer.ts'
import { Subscription } from '../src/subscription.ts'

const SPACE = 'ab'.repeat(32) as SpaceId
const DOCUMENT = 'd1'.repeat(16) as DocumentId

/** A subscription over a log that is nothing but its size, and all that it sends. */
function subscribed(wants?: readonly DocumentId[]) {
  const log = { size: 3 }
  const sent: string[] = []
  const wanted: (readonly DocumentId[] | undefined)[] = []
  let isDrained = true
  let onRead = (): void => {}
  const readPart = async (from: number, limit: number, reader?: Reader) => {
    wanted.push(reader?.wants && [...reader.wants])
    const end = Math.min(limit, from + 2)
    onRead()
    return { batch: batchOf(from, end), end, entries: [] }
  }
  const sequencer = {
    space: SPACE,
    get head() {
      return { checkpoint: { size: log.size } }
    },
    sharesContent: () => true,
    follow: () => {},
    unfollow: () => {},
    readPart,
  } as unknown as SpaceSequencer
  const peer: Peer = {
    send: frame => void sent.push(nameOf(frame)),
    close: () => {},
    drained: async () => {
      while (!isDrained) await tick()
    },
  } as Partial<Peer> as Peer
  const subscription = new Subscription({
    sequencer,
    device: 0,
    from: 0,
    ref: 1,
    wants,
    peer,
    onRead: () => {},
    onEnd: () => {},
  })
  return {
    subscription,
    sent,
    wanted,
    grow() {
      const from = log.size++
      const frames = () => [encodeMessage({ type: 'sync', ref: 0, space: SPACE, batch: batchOf(from, log.size) })]
      const broadcast: Broadcast = { from, to: log.size, frames, framesWithRef: frames }
      subscription.onAppended(broadcast, [])
    },
    onRead(listener: () => void) {
      onRead = listener
    },
    block(blocked: boolean) {
      isDrained = !blocked
    },
  }
}

function batchOf(from: number, end: number) {
  const header = new Uint8Array(1)
  const entries = Array.from({ length: end - from }, () => ({ header, signature: undefined, body: undefined }))
  return { from, entries, seenProofs: [], note: new Uint8Array(0), consistency: [], tracer: undefined }
}

function nameOf(frame: Uint8Array): string {
  const message = decodeRelayMessage(frame)
  if (message.type === 'sync') return `sync ${message.batch.from}–${message.batch.from + message.batch.entries.length}`
  if (message.type === 'reject') return `${message.code} ${message.ref}`
  return `${message.type} ${'ref' in message ? message.ref : 0}`
}

function answer(ref: number): Uint8Array {
  return encodeMessage({ type: 'received', ref, space: SPACE })
}

async function tick(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve()
  await new Promise(resolve => setTimeout(resolve, 1))
}

describe('an answer of frames of its own', () => {
  test('comes when the reader is level, and nothing of the log comes between its frames (R-RECORDS-1)', async () => {
    const { subscription, sent, grow } = subscribed()
    let proceed = () => {}
    const positions: number[] = []
    subscription.start()
    subscription.answerWith(7, async function* (position) {
      positions.push(position)
      yield answer(7)
      await new Promise<void>(resolve => {
        proceed = resolve
      })
      yield answer(7)
    })
    subscription.answer(8)
    await tick()
    grow()
    grow()
    await tick()
    expect(positions).toEqual([3])
    expect(sent).toEqual(['sync 0–2', 'sync 2–3', 'received 7'])
    proceed()
    await tick()
    expect(sent.slice(3)).toEqual(['received 7', 'sync 3–5'])
    grow()
    await tick()
    expect(sent.slice(5)).toEqual(['sync 5–6'])
  })

  test('comes although the log grows faster than it is sent', async () => {
    const { subscription, sent, grow, onRead } = subscribed()
    let reads = 0
    onRead(() => {
      if (++reads < 50) grow()
    })
    subscription.start()
    subscription.answerWith(7, async function* () {
      yield answer(7)
    })
    await tick()
    expect(sent.indexOf('received 7')).toBeGreaterThan(0)
    expect(sent.indexOf('received 7')).toBeLessThan(5)
    await tick()
    expect(sent.at(-1)).toMatch(/–5\d$/)
  })

  test('waits for a reader that is slow', async () => {
    const { subscription, sent, block } = subscribed()
    subscription.start()
    await tick()
    subscription.answerWith(7, async function* () {
      block(true)
      yield answer(7)
    })
    await tick()
    expect(sent).toEqual(['sync 0–2', 'sync 2–3'])
    block(false)
    await tick()
    expect(sent.slice(2)).toEqual(['received 7'])
  })

  test.each([
    [
      'at once',
      () => {
        throw new SealogError('ERR_LIMIT', 'no')
      },
    ],
    [
      'later',
      async function* () {
        yield answer(7)
        throw new SealogError('ERR_LIMIT', 'no')
      },
    ],
  ])('that fails %s is refused, and the log goes on', async (_when, answerAt) => {
    const { subscription, sent, grow } = subscribed()
    subscription.start()
    subscription.answerWith(7, answerAt)
    await tick()
    grow()
    await tick()
    expect(sent.filter(name => name !== 'received 7')).toEqual(['sync 0–2', 'sync 2–3', 'ERR_LIMIT 7', 'sync 3–4'])
  })

  test('ends with the subscription', async () => {
    const { subscription, sent } = subscribed()
    subscription.start()
    let hasFinished = false
    subscription.answerWith(7, async function* () {
      try {
        subscription.end()
        yield answer(7)
        yield answer(7)
      } finally {
        hasFinished = true
      }
    })
    await tick()
    expect(sent).toEqual(['sync 0–2', 'sync 2–3'])
    expect(hasFinished).toBe(true)
  })
})

describe('what a sparse reader wants', () => {
  test('grows with what it asks for, from behind the answer on (R-SPARSE-3)', async () => {
    const { subscription, wanted, grow } = subscribed([])
    subscription.start()
    await tick()
    subscription.answerWith(7, async function* () {
      subscription.want(DOCUMENT)
      yield answer(7)
    })
    await tick()
    grow()
    await tick()
    expect(wanted).toEqual([[], [], [DOCUMENT]])
  })

  test('is limited: bodies of what is beyond do not travel', async () => {
    const { subscription, wanted } = subscribed([])
    for (let i = 0; i < MAX_WANTS; i++) subscription.want(i.toString(16).padStart(32, '0') as DocumentId)
    subscription.want(DOCUMENT)
    subscription.start()
    await tick()
    expect(wanted[0]?.length).toBe(MAX_WANTS)
    expect(wanted[0]).not.toContain(DOCUMENT)
  })
})
