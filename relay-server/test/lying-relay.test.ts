import { decodeCbor, decodeRelayMessage, parseNote, type Transport } from 'sealog/protocol'
import { describe, expect, it } from 'vitest'
import { LIES } from '../src/lies.ts'
import { lyingRelay } from '../src/lying-relay.ts'
import { encodeRaw } from '../src/raw-cbor.ts'
import { author, authorGenesis, makeDevice, spaceOf, type TestDevice } from './helpers/authoring.ts'
import { testEnvironment } from './helpers/environment.ts'
import { TestReplica } from './helpers/replica.ts'

async function founded() {
  const environment = testEnvironment()
  const relay = lyingRelay({ environment })
  const owner = makeDevice(environment.random)
  const genesis = authorGenesis(environment.random, owner, relay)
  const space = spaceOf(genesis)
  const creator = new TestReplica(relay)
  await relay.deliverAll()
  creator.push(space, genesis)
  await relay.deliverAll()
  creator.close()
  const reader = async (from = 0): Promise<TestReplica> => {
    const replica = new TestReplica(relay)
    await relay.deliverAll()
    replica.open(space, owner, from)
    await relay.deliverAll()
    return replica
  }
  const write = async (replica: TestReplica, device: TestDevice = owner): Promise<void> => {
    await replica.follow(space)
    replica.push(space, author(environment.random, device, genesis.hash, { seen: replica.seen }))
    await relay.deliverAll()
    await replica.follow(space)
  }
  return { environment, relay, owner, genesis, space, reader, write }
}

const noteOf = (replica: TestReplica): string =>
  new TextDecoder().decode(parseNote(replica.syncs.at(-1)?.batch.note as Uint8Array).text)

describe('the table of lies', () => {
  it('names each once, says what it is, and what comes of it', () => {
    expect(new Set(LIES.map(lie => lie.name)).size).toBe(LIES.length)
    for (const { name, says, expected, isSigned, freezes } of LIES) {
      // Nobody is convicted of what it did not sign.
      expect(isSigned || !freezes).toBe(true)
      expect(name).toMatch(/^[a-z0-9^-]+$/)
      expect(says.length).toBeGreaterThan(10)
      for (const code of expected) expect(code).toMatch(/^ERR_/)
    }
  })

  it('refuses a lie that it does not have', () => {
    expect(() => lyingRelay({ environment: testEnvironment() }).lie('the truth')).toThrow(TypeError)
  })
})

describe('a lying relay', () => {
  it('that tells no lie is a relay', async () => {
    const { reader, write, relay, space } = await founded()
    const replica = await reader()
    await write(replica)
    expect(replica.verified).toHaveLength(2)
    expect(relay.log(space)).toHaveLength(2)
    expect(relay.told).toEqual([])
  })

  it('lies to those who are meant, as often as it is told, and when it is told', async () => {
    const { reader, relay, owner, space } = await founded()
    relay.lie('flip-note-signature', { to: () => false })
    expect((await reader()).syncs).toHaveLength(1)
    relay.lie('flip-note-signature', { when: ['live'] })
    await reader()
    expect(relay.told).toEqual([])
    relay.lie('flip-note-signature', { times: 1 })
    await reader()
    await reader()
    expect(relay.told).toEqual([
      { lie: 'flip-note-signature', listener: { space, device: owner.signing }, moment: 'catch-up' },
    ])
  })

  it('tells catch-up, acknowledgement and live apart', async () => {
    const { reader, write, relay } = await founded()
    const writer = await reader()
    const listener = await reader()
    relay.lie({
      name: 'watch',
      says: 'nothing',
      expected: [],
      isSigned: false,
      freezes: false,
      tell: async message => (message.type === 'sync' ? [message] : undefined),
    })
    await write(writer)
    await reader(1)
    expect(relay.told.map(told => told.moment).sort()).toEqual(['acknowledgement', 'catch-up', 'live'])
    await listener.follow(writer.view?.space as never)
    expect(listener.verified).toHaveLength(2)
  })

  it('serves two branches of a log by the book, each to its own, and one again when it is honest', async () => {
    const { environment, relay, owner, genesis, space, reader, write } = await founded()
    const first = await reader()
    await write(first)
    await relay.branch({ space, to: () => true, size: 1 })
    const second = await reader()
    await second.follow(space)
    expect(second.verified).toHaveLength(1)
    owner.chains.clear()
    second.push(space, author(environment.random, owner, genesis.hash, { seen: second.seen }))
    await relay.deliverAll()
    await second.follow(space)
    expect(second.verified).toHaveLength(2)
    // Both are signed by the one key, and cannot be one log.
    expect(noteOf(second).split('\n')[1]).toBe(noteOf(first).split('\n')[1])
    expect(noteOf(second)).not.toBe(noteOf(first))
    relay.honest()
    const third = await reader()
    await third.follow(space)
    expect(third.verified.map(entry => entry.hash)).toEqual(first.verified.map(entry => entry.hash))
  })

  it('tells each of its lies to whoever opens a space, and says nothing after a connection is over', async () => {
    const { relay, owner, space } = await founded()
    // Numbers and bits of all kinds go the same way.
    for (const { name } of LIES.filter(lie => !/^(2\^|flip-header|signed-)/.test(lie.name))) {
      relay.honest()
      relay.lie(name)
      let isClosed = false
      // What comes need not even be a message.
      const lenient: Transport = {
        connect: (url, events) =>
          relay.connect(url, {
            onOpen: () => events.onOpen(),
            onFrame: frame => {
              expect(isClosed).toBe(false)
              if (isMessage(frame)) events.onFrame(frame)
            },
            onClose: cause => {
              isClosed = true
              events.onClose(cause)
            },
          }),
      }
      const replica = new TestReplica(lenient)
      await relay.deliverAll()
      if (replica.messages.length > 0) replica.open(space, owner)
      await relay.deliverAll()
      replica.close()
      await relay.deliverAll()
      expect(isClosed).toBe(true)
    }
    expect(relay.connections).toHaveLength(0)
    // What needs more than one entry, a document or another space has no occasion here.
    expect(new Set(relay.told.map(told => told.lie)).size).toBeGreaterThan(20)
  })
})

function isMessage(frame: Uint8Array): boolean {
  try {
    decodeRelayMessage(frame)
    return true
  } catch {
    return false
  }
}

describe('integers that no encoder writes', () => {
  it('are written as deterministic CBOR writes them, and no decoder of ours takes them', () => {
    expect([...encodeRaw(2n ** 64n - 1n)]).toEqual([0x1b, 255, 255, 255, 255, 255, 255, 255, 255])
    expect([...encodeRaw(2n ** 53n)]).toEqual([0x1b, 0, 32, 0, 0, 0, 0, 0, 0])
    expect([...encodeRaw([1, [2n ** 31n, 'a'], new Uint8Array(2)])]).toEqual([
      0x83, 1, 0x82, 0x1a, 128, 0, 0, 0, 0x61, 97, 0x42, 0, 0,
    ])
    for (const value of [2n ** 53n, 2n ** 64n - 1n]) expect(() => decodeCbor(encodeRaw([value]), 100)).toThrow()
    expect(decodeCbor(encodeRaw([2n ** 53n - 1n]), 100)).toEqual([Number.MAX_SAFE_INTEGER])
    expect(() => decodeRelayMessage(encodeRaw([1, 2n ** 53n]))).toThrow()
  })
})
