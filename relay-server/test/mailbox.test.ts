import {
  type ControlBody,
  concat,
  encodeMessage,
  getMailboxInput,
  MAX_MAILBOX_LENGTH,
  nobleVerifier,
  type PutMailbox,
  publicKeyOf,
  putMailboxInput,
  type SignatureVerifier,
  signSync,
  spaceIdOf,
  toUtf8,
} from 'sealog/protocol'
import { describe, expect, test } from 'vitest'
import { failingLogStore } from '../src/log-store-failing.ts'
import { memoryLogStore } from '../src/log-store-memory.ts'
import { authorControl, authorInvite, makeDevice, TIME } from './helpers/authoring.ts'
import type { TestReplica } from './helpers/replica.ts'
import { admit, openWorld, type World } from './helpers/world.ts'

const SEED = new Uint8Array(32).fill(11)
const address = publicKeyOf(SEED)
const BYTES = toUtf8('sealed')

/** What is signed in place of the right thing. */
interface Wrong {
  readonly name?: string
  readonly key?: Uint8Array
  readonly challenge?: Uint8Array
  readonly address?: Uint8Array
  readonly seed?: Uint8Array
  readonly counter?: number
  readonly bytes?: Uint8Array
}

function putMessage(replica: TestReplica, counter: number, bytes: Uint8Array = BYTES, wrong: Wrong = {}): PutMailbox {
  const { name, key } = { ...replica.welcome, ...wrong }
  const signed = { address, counter, bytes, ...wrong }
  const input = putMailboxInput({ name, key }, signed.address, signed.counter, signed.bytes)
  return {
    type: 'put-mailbox',
    ref: replica.ref(),
    address,
    counter,
    bytes,
    signature: signSync(wrong.seed ?? SEED, input),
  }
}

/** @returns what the relay answers: its type, or the code of a refusal */
async function put(world: World, replica: TestReplica, counter: number, bytes?: Uint8Array, wrong?: Wrong) {
  const message = putMessage(replica, counter, bytes, wrong)
  replica.send(message)
  return answerOf(world, replica, message.ref)
}

async function get(world: World, replica: TestReplica, wrong: Wrong = {}, of: Uint8Array = address) {
  const { name, key, challenge } = { ...replica.welcome, ...wrong }
  const signature = signSync(wrong.seed ?? SEED, getMailboxInput({ name, key }, challenge, wrong.address ?? of))
  const ref = replica.ref()
  replica.send({ type: 'get-mailbox', ref, address: of, signature })
  return answerOf(world, replica, ref)
}

async function answerOf({ relay }: World, replica: TestReplica, ref: number): Promise<unknown> {
  await relay.deliverAll()
  const answers = replica.messages.filter(message => 'ref' in message && message.ref === ref)
  expect(answers).toHaveLength(1)
  const [answer] = answers
  if (answer?.type === 'mailbox') return { counter: answer.counter, bytes: answer.bytes, address: answer.address }
  expect(answer).toMatchObject({ space: spaceIdOf(address) })
  return answer?.type === 'reject' ? answer.code : answer?.type
}

const content = (counter: number, bytes: Uint8Array = BYTES) => ({ counter, bytes, address })

describe('putting something into a mailbox (R-MAILBOX-3)', () => {
  test('replaces what has a smaller counter, and nothing else', async () => {
    const world = await openWorld()
    const member = await world.reader()
    expect(await put(world, member, 1)).toBe('received')
    expect(await put(world, member, 5, toUtf8('later'))).toBe('received')
    for (const counter of [0, 1, 4, 5]) expect(await put(world, member, counter)).toBe('ERR_STALE_MAILBOX')
    expect(await get(world, member)).toEqual(content(5, toUtf8('later')))
  })

  test.each<readonly [string, Wrong]>([
    ['another key signed it', { seed: new Uint8Array(32).fill(12) }],
    ['it is for another relay of that key', { name: 'relay.elsewhere' }],
    ['it is for another relay of that name', { key: new Uint8Array(32).fill(1) }],
    ['it is for another mailbox', { address: new Uint8Array(32).fill(1) }],
    ['it has another counter', { counter: 3 }],
    ['it has another content', { bytes: toUtf8('else') }],
  ])('is refused where %s', async (_, wrong) => {
    const world = await openWorld()
    const member = await world.reader()
    expect(await put(world, member, 1)).toBe('received')
    expect(await put(world, member, 2, undefined, wrong)).toBe('ERR_SIGNATURE')
    expect(await get(world, member)).toEqual(content(1))
  })

  test('is taken from members only: where a space is open on this very socket', async () => {
    let checks = 0
    const verifier: SignatureVerifier = {
      ...nobleVerifier,
      verify: check => {
        checks++
        return nobleVerifier.verify(check)
      },
    }
    const world = await openWorld({ verifier })
    const stranger = await world.connect()
    const before = checks
    expect(await put(world, stranger, 1)).toBe('ERR_UNAUTHORIZED')
    // Whoever is nobody here makes the relay verify nothing.
    expect(checks).toBe(before)
    const member = await world.reader()
    expect(await put(world, member, 1)).toBe('received')
    expect(await put(world, stranger, 2)).toBe('ERR_UNAUTHORIZED')
    member.send({ type: 'leave', space: world.space })
    expect(await put(world, member, 2)).toBe('ERR_UNAUTHORIZED')
    const impostor = await world.connect()
    impostor.open(world.space, makeDevice(world.environment.random))
    expect(await put(world, impostor, 2)).toBe('ERR_UNAUTHORIZED')
  })

  test('is not taken from those who wait for approval, nor from a device that was removed', async () => {
    const world = await openWorld()
    const { owner, genesis, space, relay } = world
    const { random } = world.environment
    const member = await world.reader()
    const asking = makeDevice(random, 1)
    const { seen } = member
    member.push(space, authorInvite(random, owner, genesis.hash, asking, { seen, kind: 'approved' }))
    await relay.deliverAll()
    await member.follow(space)
    const asker = await world.reader(asking)
    expect(await put(world, asker, 1)).toBe('ERR_UNAUTHORIZED')

    const removed = await admit(world, member)
    const reader = await world.reader(removed)
    expect(await put(world, reader, 1)).toBe('received')
    const body: ControlBody = { type: 'remove-device', time: TIME, device: removed.number }
    member.push(space, authorControl(random, owner, genesis.hash, body, { seen: member.seen, epoch: 0 }))
    await relay.deliverAll()
    expect(await put(world, reader, 2)).toBe('ERR_UNAUTHORIZED')
  })

  test('waits for the space that is being opened before it', async () => {
    const world = await openWorld()
    const member = await world.connect()
    member.open(world.space, world.owner)
    expect(await put(world, member, 1)).toBe('received')
  })

  test('is bounded, in what one mailbox holds and in how many one socket writes', async () => {
    const world = await openWorld({ limits: { mailboxesPerSocket: 2 } })
    const member = await world.reader()
    const largest = new Uint8Array(MAX_MAILBOX_LENGTH).fill(7)
    expect(await put(world, member, 1, largest)).toBe('received')
    expect(await get(world, member)).toEqual(content(1, largest))
    const tooMuch = putMessage(member, 2, concat(largest, Uint8Array.of(7)))
    member.sendFrame(encodeMessage(tooMuch))
    expect(await answerOf(world, member, tooMuch.ref)).toBe('ERR_LIMIT')

    const codes: unknown[] = []
    for (const seed of [20, 21, 22].map(each => new Uint8Array(32).fill(each))) {
      const key = publicKeyOf(seed)
      const message = putMessage(member, 1, BYTES, { seed, address: key })
      member.send({ ...message, address: key })
      await world.relay.deliverAll()
      const answer = member.messages.find(each => 'ref' in each && each.ref === message.ref)
      codes.push(answer?.type === 'reject' ? answer.code : answer?.type)
    }
    expect(codes).toEqual(['received', 'ERR_LIMIT', 'ERR_LIMIT'])
    // Those that the socket wrote before, it may go on writing.
    expect(await put(world, member, 2)).toBe('received')
  })

  test('counts only what its owner wants', async () => {
    const world = await openWorld({ limits: { mailboxesPerSocket: 1 } })
    const member = await world.reader()
    const foreign = { ...putMessage(member, 1), address: publicKeyOf(new Uint8Array(32).fill(20)) }
    member.send(foreign)
    await world.relay.deliverAll()
    expect(member.rejects.at(-1)).toMatchObject({ ref: foreign.ref, code: 'ERR_SIGNATURE' })
    expect(await put(world, member, 1)).toBe('received')
  })

  test('is not confirmed where it is not stored, and can be tried again', async () => {
    const store = failingLogStore(memoryLogStore(), { counted: ['putMailbox'], failAt: 1 })
    const world = await openWorld({ store })
    const member = await world.reader()
    expect(await put(world, member, 1)).toBe('ERR_RELAY_STORAGE')
    expect(await get(world, member)).toBe('ERR_UNKNOWN_MAILBOX')
    expect(await put(world, member, 1)).toBe('received')
  })
})

describe('reading a mailbox (R-MAILBOX-4)', () => {
  test('needs its key, and no space: it is for machines that have nothing else', async () => {
    const world = await openWorld()
    await put(world, await world.reader(), 1)
    expect(await get(world, await world.connect())).toEqual(content(1))
  })

  test.each<readonly [string, Wrong]>([
    ['another key signed it', { seed: new Uint8Array(32).fill(12) }],
    ['it is for the challenge of another connection', { challenge: new Uint8Array(32) }],
    ['it is for another relay of that key', { name: 'relay.elsewhere' }],
    ['it is for another relay of that name', { key: new Uint8Array(32).fill(1) }],
    ['it is for another mailbox', { address: new Uint8Array(32).fill(1) }],
  ])('is refused where %s, as if there were none', async (_, wrong) => {
    const world = await openWorld()
    await put(world, await world.reader(), 1)
    const reader = await world.connect()
    expect(await get(world, reader, wrong)).toBe('ERR_UNKNOWN_MAILBOX')
    const [refused] = reader.rejects
    expect(await get(world, await world.connect())).toEqual(content(1))
    // Neither the code nor the words tell it from a mailbox that does not exist.
    const empty = await world.connect()
    const seed = new Uint8Array(32).fill(30)
    const nowhere = publicKeyOf(seed)
    const signature = signSync(seed, getMailboxInput(empty.welcome, empty.welcome.challenge, nowhere))
    empty.send({ type: 'get-mailbox', ref: refused?.ref as number, address: nowhere, signature })
    await world.relay.deliverAll()
    expect({ ...empty.rejects[0], space: undefined }).toEqual({ ...refused, space: undefined })
  })

  test('costs the relay no verification where there is none', async () => {
    let checks = 0
    const verifier: SignatureVerifier = {
      ...nobleVerifier,
      verify: check => {
        checks++
        return nobleVerifier.verify(check)
      },
    }
    const world = await openWorld({ verifier })
    const stranger = await world.connect()
    const before = checks
    expect(await get(world, stranger)).toBe('ERR_UNKNOWN_MAILBOX')
    expect(checks).toBe(before)
  })

  test('still works when the relay was started again', async () => {
    const world = await openWorld()
    await put(world, await world.reader(), 1)
    world.relay.restart()
    expect(await get(world, await world.connect())).toEqual(content(1))
  })

  test('does not keep a socket that opens no space', async () => {
    const world = await openWorld()
    await put(world, await world.reader(), 1)
    const reader = await world.connect()
    expect(await get(world, reader)).toEqual(content(1))
    world.environment.advance(30_000)
    await world.relay.deliverAll()
    expect(reader.isClosed).toBe(true)
  })
})
