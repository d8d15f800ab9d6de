import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  authenticationInput,
  decodeRelayMessage,
  encodeMessage,
  MAX_FRAME_LENGTH,
  nobleSigningKey,
  nobleVerifier,
  type ReplicaMessage,
  type SpaceId,
  signSync,
} from 'sealog/protocol'
import { describe, expect, onTestFinished, test } from 'vitest'
import { WebSocket } from 'ws'
import { Gate } from '../src/gate.ts'
import { DEFAULT_LIMITS, type Limits } from '../src/limits.ts'
import type { LogStore } from '../src/log-store.ts'
import { memoryLogStore } from '../src/log-store-memory.ts'
import { type Meter, NO_METER } from '../src/meter.ts'
import type { Peer } from '../src/peer.ts'
import { Relay } from '../src/relay.ts'
import { startRelay } from '../src/server.ts'
import { authorGenesis, makeDevice, pushEntryOf, type RelayName, spaceOf } from './helpers/authoring.ts'
import { testEnvironment } from './helpers/environment.ts'
import { type TestReplica, until } from './helpers/replica.ts'
import { openWorld, type World } from './helpers/world.ts'

const TOKEN = 'a token of sixteen bytes'

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sealog-test-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A connection from an address of its own, over a relay without a network. */
async function fromAddress(address: string, store: LogStore, changed: Partial<Limits>, meter = NO_METER) {
  const environment = testEnvironment()
  const limits = { ...DEFAULT_LIMITS, ...changed }
  const log = (): void => {}
  await store.open()
  const relay = new Relay({
    name: 'relay.test',
    signingKey: nobleSigningKey(environment.random(32)),
    verifier: nobleVerifier,
    environment,
    store,
    limits,
    log,
    meter,
    gate: new Gate({ name: 'relay.test', limits, environment, log, store }),
    acceptRollback: false,
    turn: async () => {},
  })
  const rejects: string[] = []
  const send = (frame: Uint8Array): void => {
    const message = decodeRelayMessage(frame)
    if (message.type === 'reject') rejects.push(message.code)
  }
  const peer = { ...mute(), send }
  return { relay, session: relay.accept(peer, address), rejects, environment }
}

/** Takes everything, and says nothing. */
function mute(): Peer {
  const nothing = (): void => {}
  return { send: nothing, buffered: () => 0, drained: async () => {}, pause: nothing, resume: nothing, close: nothing }
}

const relayOf = ({ context }: Relay) => ({ name: context.name, key: context.signingKey.publicKey })

/** A space that does not exist yet. */
function newSpace({ environment, relay }: { environment: World['environment']; relay: RelayName }) {
  const owner = makeDevice(environment.random)
  const genesis = authorGenesis(environment.random, owner, relay)
  return { owner, genesis, space: spaceOf(genesis) }
}

async function create(world: World, replica: TestReplica, made: ReturnType<typeof newSpace>, admission?: string) {
  const { space, genesis } = made
  const ref = replica.ref()
  replica.send({ type: 'push', ref, space, entries: [pushEntryOf(genesis)], admission })
  await world.relay.deliverAll()
  return replica.rejects.find(reject => reject.ref === ref)?.code
}

describe('a space at a relay that asks for a token (R-GATE-1)', () => {
  test('is created with it, and not without', async () => {
    const world = await openWorld({ creation: { kind: 'tokens', tokens: [TOKEN] } })
    const replica = await world.connect()
    const made = newSpace(world)
    expect(await create(world, replica, made)).toBe('ERR_UNAUTHORIZED')
    expect(await create(world, replica, made, 'another token of many bytes')).toBe('ERR_UNAUTHORIZED')
    expect(await create(world, replica, made, TOKEN)).toBeUndefined()
    // Its acknowledgement may have been lost: nobody has to pay twice for one space.
    expect(await create(world, await world.connect(), made)).toBe('ERR_SPACE_EXISTS')
  })

  test('whose genesis is refused for other reasons does not count as created', async () => {
    const world = await openWorld({ limits: { spaces: 2 } })
    const replica = await world.connect()
    const made = newSpace(world)
    const forged = { ...made, genesis: { ...made.genesis, signature: new Uint8Array(64) } }
    for (let i = 0; i < 3; i++) expect(await create(world, replica, forged)).toBe('ERR_SIGNATURE')
    expect(await create(world, replica, made)).toBeUndefined()
    expect(await create(world, replica, newSpace(world))).toBe('ERR_QUOTA')
  })
})

describe('before anybody has authenticated (R-GATE-2)', () => {
  test('made-up spaces cost nothing that lasts, and are not looked for without end', async () => {
    const store = memoryLogStore()
    let looks = 0
    const counting = {
      ...store,
      readSpace: (space: SpaceId) => {
        looks++
        return store.readSpace(space)
      },
    }
    const { relay, session, rejects, environment } = await fromAddress('203.0.113.7', counting, {
      failuresPerAddress: 1,
      burstTime: 10_000,
    })
    const device = makeDevice(environment.random).signing
    const ask = async (i: number): Promise<void> => {
      const space = i.toString(16).padStart(64, '0') as SpaceId
      const signature = new Uint8Array(64)
      session.onFrame(encodeMessage({ type: 'open', ref: i, space, from: 0, device, signature, wants: undefined }))
      await relay.settle()
    }
    for (let i = 1; i <= 100; i++) await ask(i)
    expect(looks).toBe(10)
    expect(rejects.slice(0, 10)).toEqual(Array.from({ length: 10 }, () => 'ERR_UNKNOWN_SPACE'))
    expect(new Set(rejects.slice(10))).toEqual(new Set(['ERR_RATE_LIMITED']))
    environment.advance(1001)
    await ask(101)
    expect([looks, rejects.length, rejects.at(-1)]).toEqual([11, 101, 'ERR_UNKNOWN_SPACE'])
  })

  test('so many requests are taken, and no more', async () => {
    const world = await openWorld({ limits: { unauthenticatedRequests: 20 } })
    const replica = await world.connect()
    for (let i = 0; i < 30; i++) replica.pull(world.space)
    await world.relay.deliverAll()
    expect(replica.isClosed).toBe(true)
    expect(replica.closed?.message).toContain('1008')
    expect(replica.rejects.length).toBeLessThanOrEqual(20)
  })

  test('so many bytes are taken, and no more; afterwards there is no such limit', async () => {
    const limits = { unauthenticatedBytes: 4000, unauthenticatedTotal: 1000 }
    const world = await openWorld({ limits })
    const [stranger, member] = [await world.connect(), await world.reader()]
    const bytes = new Uint8Array(1000)
    const part = (replica: TestReplica) =>
      replica.send({
        type: 'put-body',
        ref: replica.ref(),
        space: world.space,
        hash: new Uint8Array(32),
        length: 100_000,
        offset: 0,
        bytes,
      })
    const open: boolean[] = []
    for (let i = 0; i < 6; i++) {
      part(stranger)
      part(member)
      await world.relay.deliverAll()
      open.push(!stranger.isClosed)
    }
    expect(open).toEqual([true, true, true, true, false, false])
    expect(member.isClosed).toBe(false)
  })

  test('the oldest connection makes way for a new one', async () => {
    const world = await openWorld({ limits: { unauthenticatedSockets: 2 } })
    const member = await world.reader()
    const strangers = [await world.connect(), await world.connect(), await world.connect()]
    await world.relay.deliverAll()
    expect([member, ...strangers].map(each => each.isClosed)).toEqual([false, true, false, false])
  })

  test('what was signed on another connection, for another relay or another space opens nothing (R-OPEN-1)', async () => {
    const world = await openWorld()
    const { space, owner, relay } = world
    const other = newSpace(world)
    const first = await world.connect()
    await create(world, first, other)
    const here = { name: relay.name, key: relay.key }
    const replay = authenticationInput(here, first.welcome.challenge, space, owner.signing)
    const replica = await world.connect()
    const { challenge } = replica.welcome
    const inputs = [
      replay,
      authenticationInput(here, challenge, other.space, owner.signing),
      authenticationInput({ ...here, name: 'relay.elsewhere' }, challenge, space, owner.signing),
      authenticationInput(here, challenge, space, other.owner.signing),
    ]
    for (const input of inputs) {
      const signature = signSync(owner.seed, input)
      const ref = replica.ref()
      replica.send({ type: 'open', ref, space, from: 0, device: owner.signing, signature, wants: undefined })
    }
    await relay.deliverAll()
    expect(replica.rejects.map(({ code }) => code)).toEqual(inputs.map(() => 'ERR_UNAUTHORIZED'))
    expect(replica.syncs).toEqual([])
    // The same frame, byte for byte, on another connection.
    const input = authenticationInput(here, first.welcome.challenge, space, owner.signing)
    const signature = signSync(owner.seed, input)
    const open = { type: 'open', ref: 1, space, from: 0, device: owner.signing, signature, wants: undefined } as const
    first.send(open)
    replica.send(open)
    await relay.deliverAll()
    expect(first.syncs.length).toBeGreaterThan(0)
    expect(replica.syncs).toEqual([])
  })
})

test('what was asked, and how connections ended, is counted without a word about whom', async () => {
  const served: (string | undefined)[][] = []
  const ended: string[] = []
  const meter: Meter = {
    ...NO_METER,
    served: (type, code) => void served.push([type, code]),
    socketEnded: why => void ended.push(why),
  }
  const { relay, session, environment } = await fromAddress('203.0.113.7', memoryLogStore(), {}, meter)
  const { owner, genesis, space } = newSpace({ environment, relay: relayOf(relay) })
  const send = async (message: ReplicaMessage): Promise<void> => {
    session.onFrame(encodeMessage(message))
    await relay.settle()
  }
  await send({ type: 'pull', ref: 1, space })
  await send({ type: 'push', ref: 2, space, entries: [pushEntryOf(genesis)] })
  await send({ type: 'push', ref: 3, space, entries: [pushEntryOf(genesis)] })
  await send({ type: 'get-mailbox', ref: 4, address: owner.signing, signature: new Uint8Array(64) })
  session.onFrame(Uint8Array.of(0xff))
  expect(served).toEqual([
    ['pull', 'ERR_UNAUTHORIZED'],
    ['push', undefined],
    ['push', 'ERR_SPACE_EXISTS'],
    ['get-mailbox', 'ERR_UNKNOWN_MAILBOX'],
  ])
  expect(ended).toEqual(['malformed'])
  const silent = relay.accept(mute(), undefined)
  environment.advance(30_001)
  silent.onClose()
  expect(ended).toEqual(['malformed', 'unauthenticated'])
})

describe('over a real socket (R-GATE-2)', () => {
  async function started(limits: Partial<Limits>) {
    const relay = await startRelay({
      data: temporaryFolder(),
      store: memoryLogStore(),
      port: 0,
      name: 'relay.example',
      trustProxy: 1,
      limits,
    })
    onTestFinished(() => relay.close())
    return relay
  }

  const connected = async (url: string, address: string): Promise<WebSocket> => {
    const socket = new WebSocket(url, { headers: { 'x-forwarded-for': address } })
    socket.on('error', () => {})
    onTestFinished(() => socket.terminate())
    await new Promise<void>((resolve, reject) => {
      socket.on('open', resolve)
      socket.on('unexpected-response', (_, response) => reject(new Error(String(response.statusCode))))
    })
    return socket
  }

  test('a frame that never ends is cut off long before it is whole', async () => {
    const relay = await started({ unauthenticatedBytes: 10_000, unauthenticatedTotal: 10_000 })
    const socket = await connected(relay.url, '203.0.113.7')
    const closed = new Promise<number>(resolve => socket.on('close', resolve))
    const raw = (socket as unknown as { _socket: { write(bytes: Uint8Array): boolean; bytesWritten: number } })._socket
    // A binary frame of 1 MiB, masked: its head, and then its bytes one slice at a time.
    raw.write(Uint8Array.of(0x82, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0, 1, 2, 3, 4))
    let sent = 0
    while (socket.readyState === WebSocket.OPEN && sent < MAX_FRAME_LENGTH) {
      raw.write(new Uint8Array(4096))
      sent += 4096
      await new Promise(resolve => setTimeout(resolve, 5))
    }
    expect(await closed).toBe(1008)
    expect(sent).toBeLessThan(200_000)
  })

  test('one address has so many, and others still come in', async () => {
    const relay = await started({ socketsPerAddress: 2 })
    const first = await connected(relay.url, '2001:db8::1')
    await connected(relay.url, '2001:db8::2')
    await expect(connected(relay.url, '2001:db8::3')).rejects.toThrow('503')
    await connected(relay.url, '2001:db8:0:1::1')
    first.terminate()
    await until(() => first.readyState === WebSocket.CLOSED)
    await new Promise(resolve => setTimeout(resolve, 50))
    await connected(relay.url, '2001:db8::3')
  })
})
