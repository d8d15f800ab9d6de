import fc from 'fast-check'
import {
  type Connection,
  type DocumentId,
  decodeRelayMessage,
  encodeMessage,
  type RelayMessage,
  toHex,
} from 'sealog/protocol'
import { expect, test } from 'vitest'
import type { LogRecord } from '../src/log-record.ts'
import { openWorld, type World } from './helpers/world.ts'

interface Answer {
  readonly messages: readonly RelayMessage[]
  readonly closed: string | undefined
}

/** Sends one frame on a connection of its own, and says what came of it. */
async function answerTo(world: World, frame: Uint8Array): Promise<Answer> {
  const messages: RelayMessage[] = []
  let closed: string | undefined
  const connection: Connection = world.relay.connect('ws://relay.test', {
    onOpen: () => {},
    onFrame: bytes => void messages.push(decodeRelayMessage(bytes)),
    onClose: cause => {
      closed = cause?.message
    },
  })
  connection.send(frame)
  await world.relay.deliverAll()
  const answer = { messages: messages.slice(1), closed }
  connection.close()
  return answer
}

/** A frame that is no request is refused by a code or ends its own connection with one, and nothing else happens. */
function assertRefused({ messages, closed }: Answer): void {
  if (closed !== undefined) expect(closed).toMatch(/code 100[78]: ERR_/)
  else {
    expect(messages.length).toBeGreaterThan(0)
    for (const message of messages) expect(message).toMatchObject({ type: 'reject', code: /^ERR_/ })
  }
}

async function assertUnharmed(world: World, records: readonly LogRecord[]): Promise<void> {
  expect(records).toEqual([])
  const reader = await world.reader()
  world.owner.chains.clear()
  reader.push(world.space, world.entry(reader, world.owner, { document: 'ee'.repeat(16) as never }))
  await world.relay.deliverAll()
  expect(reader.rejects).toEqual([])
}

async function watchedWorld(): Promise<{ world: World; records: LogRecord[] }> {
  const records: LogRecord[] = []
  return { world: await openWorld({ log: record => records.push(record) }), records }
}

/** One valid frame of each kind of request. */
async function validFrames(world: World): Promise<readonly Uint8Array[]> {
  const reader = await world.reader()
  const { space, owner } = world
  const bytes = Uint8Array.of(1, 2, 3)
  const hash = new Uint8Array(32)
  const entry = world.entry(reader)
  owner.chains.clear()
  reader.close()
  return [
    {
      type: 'open',
      ref: 1,
      space,
      from: 0,
      device: owner.signing,
      signature: new Uint8Array(64),
      wants: ['d0'.repeat(16) as DocumentId],
    } as const,
    { type: 'pull', ref: 2, space } as const,
    { type: 'push', ref: 3, space, entries: [entry] } as const,
    { type: 'push', ref: 4, space, entries: [world.genesis] } as const,
    { type: 'put-body', ref: 5, space, hash, length: 3, offset: 0, bytes } as const,
    { type: 'get-body', ref: 6, space, index: 0, offset: 0 } as const,
    { type: 'read', ref: 7, space, from: 1, to: 2 } as const,
  ].map(encodeMessage)
}

test('random bytes are refused', async () => {
  const { world, records } = await watchedWorld()
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async frame => assertRefused(await answerTo(world, frame))),
    { numRuns: 300 },
  )
  await assertUnharmed(world, records)
})

test('every truncation of every request is refused', async () => {
  const { world, records } = await watchedWorld()
  for (const frame of await validFrames(world)) {
    const step = Math.max(1, Math.floor(frame.length / 60))
    for (let length = 0; length < frame.length; length += step) {
      assertRefused(await answerTo(world, frame.slice(0, length)))
    }
    assertRefused(await answerTo(world, Uint8Array.of(...frame, 0)))
  }
  await assertUnharmed(world, records)
})

test('requests with bytes changed are refused, or mean nothing', async () => {
  const { world, records } = await watchedWorld()
  const frames = await validFrames(world)
  const changes = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 })
  await fc.assert(
    fc.asyncProperty(fc.nat(frames.length - 1), changes, async (index, edits) => {
      const frame = (frames[index] as Uint8Array).slice()
      for (const [place, byte] of edits) frame[place % frame.length] = byte
      const { messages, closed } = await answerTo(world, frame)
      // A `leave` has no answer; everything else that still is a request is refused, as nothing is open here.
      for (const message of messages) expect(message.type).toBe('reject')
      if (closed !== undefined) expect(closed).toMatch(/code 100[78]: ERR_/)
    }),
    { numRuns: 300 },
  )
  await assertUnharmed(world, records)
})

test('pushes with bytes changed, from a device that may push, leave a log that verifies', async () => {
  const { world, records } = await watchedWorld()
  const replica = await world.reader()
  const changes = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 3 })
  await fc.assert(
    fc.asyncProperty(changes, async edits => {
      world.owner.chains.clear()
      const writer = await world.reader(world.owner, replica.view?.range.size)
      const document = toHex(world.environment.random(16)) as never
      const entries = [1, 2].map(() => world.entry(replica, world.owner, { document }))
      const push = { type: 'push', ref: 9, space: world.space, entries } as const
      const frame = encodeMessage(push)
      for (const [place, byte] of edits) frame[place % frame.length] = byte
      writer.sendFrame(frame)
      await world.relay.deliverAll()
      const answered = writer.isClosed || writer.messages.length > 2
      const isLeave = frame[1] === 10
      expect(answered || isLeave).toBe(true)
      await replica.follow(world.space)
      writer.close()
      await world.relay.deliverAll()
    }),
    { numRuns: 100 },
  )
  await assertUnharmed(world, records)
})

test.each([
  ['an array that claims to have 2^53 items', [0x9b, 0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]],
  ['an array that claims to have 2^32 items', [0x9a, 0xff, 0xff, 0xff, 0xff]],
  ['bytes that claim to be 4 GiB', [0x83, 0x06, 0x01, 0x5a, 0xff, 0xff, 0xff, 0xff]],
  ['text that claims to be 2^60 bytes', [0x83, 0x06, 0x01, 0x7b, 0x10, 0, 0, 0, 0, 0, 0, 0]],
  ['indefinite lengths', [0x9f, 0x06, 0x01, 0xff]],
  ['nothing', []],
  ['a map', [0xa1, 0x01, 0x02]],
  ['a float', [0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0]],
  ['a reference above 2^53', [0x83, 0x06, 0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x40]],
])('%s is refused', async (_what, bytes) => {
  const { world, records } = await watchedWorld()
  assertRefused(await answerTo(world, Uint8Array.from(bytes)))
  await assertUnharmed(world, records)
})

test('arrays within arrays, a million deep, are refused', async () => {
  const { world, records } = await watchedWorld()
  for (const byte of [0x81, 0x82, 0xd8, 0xc1])
    assertRefused(await answerTo(world, new Uint8Array(1_000_000).fill(byte)))
  await assertUnharmed(world, records)
})

test('messages that only a relay sends are out of place', async () => {
  const { world, records } = await watchedWorld()
  const { space } = world
  const received = await answerTo(world, encodeMessage({ type: 'received', ref: 9, space }))
  expect(received.messages).toMatchObject([{ type: 'reject', ref: 9, space, code: 'ERR_UNEXPECTED' }])
  const welcome = {
    type: 'welcome',
    version: 1,
    name: 'x',
    key: new Uint8Array(32),
    challenge: new Uint8Array(32),
  } as const
  assertRefused(await answerTo(world, encodeMessage(welcome)))
  await assertUnharmed(world, records)
})
