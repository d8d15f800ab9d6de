import type { Connection, ConnectionEvents, SealogError, Transport } from 'sealog/protocol'
import { encodeMessage } from 'sealog/protocol'
import { describe, expect, it } from 'vitest'
import { type FaultyTransportOptions, faultyTransport } from '../src/faulty-transport.ts'
import { testEnvironment } from './helpers/environment.ts'
import { openWorld } from './helpers/world.ts'

/** The other end of a connection, which says what it is told to and notes what it hears. */
class Wire implements Transport {
  readonly heard: string[] = []
  closed = 0
  events: ConnectionEvents | undefined

  connect(_url: string, events: ConnectionEvents): Connection {
    this.events = events
    return {
      send: frame => void this.heard.push(new TextDecoder().decode(frame)),
      close: () => {
        this.closed++
        events.onClose(undefined)
      },
    }
  }
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

interface Trial {
  readonly environment: ReturnType<typeof testEnvironment>
  readonly wire: Wire
  readonly transport: ReturnType<typeof faultyTransport>
  readonly connection: Connection
  readonly received: string[]
  readonly ends: (SealogError | undefined)[]
}

function open(options: Omit<FaultyTransportOptions, 'seed' | 'environment'>, seed = 1): Trial {
  const environment = testEnvironment()
  const wire = new Wire()
  const transport = faultyTransport(wire, { seed, environment, ...options })
  const received: string[] = []
  const ends: (SealogError | undefined)[] = []
  const connection = transport.connect('ws://relay.test', {
    onOpen: () => {},
    onFrame: frame => void received.push(new TextDecoder().decode(frame)),
    onClose: cause => void ends.push(cause),
  })
  return { environment, wire, transport, connection, received, ends }
}

const NAMES = Array.from({ length: 40 }, (_, i) => `frame ${i}`)

describe('a faulty transport', () => {
  it('without faults is the transport beneath it', () => {
    const { wire, connection, received, ends, transport } = open({})
    for (const name of NAMES) {
      connection.send(bytes(name))
      wire.events?.onFrame(bytes(name))
    }
    expect(wire.heard).toEqual(NAMES)
    expect(received).toEqual(NAMES)
    expect(Object.values(transport.happened)).toEqual([0, 0, 0, 0, 0, 0, 0])
    wire.events?.onClose(undefined)
    expect(ends).toEqual([undefined])
  })

  it('does the same for the same seed, and something else for another', () => {
    const run = (seed: number): readonly string[] => {
      const faults = { duplicate: 0.3, reorder: 0.3, delay: 0.3 }
      const { wire, connection, environment } = open({ faults }, seed)
      for (const name of NAMES) connection.send(bytes(name))
      environment.advance(10_000)
      return wire.heard
    }
    expect(run(7)).toEqual(run(7))
    expect(run(7)).not.toEqual(run(8))
  })

  it('delays, doubles and re-orders frames, and changes and loses none of them', () => {
    const faults = { duplicate: 0.3, reorder: 0.3, delay: 0.3 }
    const { wire, received, environment, transport } = open({ faults })
    for (const name of NAMES) wire.events?.onFrame(bytes(name))
    expect(received.length).toBeLessThan(NAMES.length)
    environment.advance(10_000)
    expect(new Set(received)).toEqual(new Set(NAMES))
    expect(received).toHaveLength(NAMES.length + transport.happened.duplicate)
    expect(received.filter((name, i) => received.indexOf(name) === i)).not.toEqual(NAMES)
    for (const fault of ['duplicate', 'reorder', 'delay'] as const) {
      expect(transport.happened[fault]).toBeGreaterThan(0)
    }
  })

  it('that only delays keeps the order', () => {
    const { connection, wire, environment } = open({ faults: { delay: 0.5 }, maxDelay: 500 })
    for (const name of NAMES) connection.send(bytes(name))
    environment.advance(100_000)
    expect(wire.heard).toEqual(NAMES)
  })

  it('loses a frame only with the connection: both ends hear of it, once, and nothing after it', () => {
    const { wire, connection, received, ends, environment, transport } = open({ faults: { cut: 0.1 } })
    for (const name of NAMES) connection.send(bytes(name))
    // Not from within `send`: the caller is in the middle of something.
    expect(ends).toEqual([])
    environment.advance(1)
    expect(ends.map(cause => cause?.code)).toEqual(['ERR_OFFLINE'])
    expect(wire.closed).toBe(1)
    expect(transport.happened.cut).toBe(1)
    expect(wire.heard).toEqual(NAMES.slice(0, wire.heard.length))
    expect(wire.heard.length).toBeLessThan(NAMES.length)
    wire.events?.onFrame(bytes('late'))
    connection.close()
    environment.advance(1000)
    expect(received).toEqual([])
    expect(ends).toHaveLength(1)
  })

  it('chops connections at a frame that the seed chooses', () => {
    const lengths = [1, 2, 3, 4, 5].map(seed => {
      const { wire, connection } = open({ maxFrames: 20 }, seed)
      for (const name of NAMES) connection.send(bytes(name))
      return wire.heard.length
    })
    for (const length of lengths) expect(length).toBeLessThan(20)
    expect(new Set(lengths).size).toBeGreaterThan(1)
  })

  it('refuses to connect, which is heard after `connect` returned', () => {
    const { ends, environment, transport, wire } = open({ faults: { refuse: 1 } })
    expect(ends).toEqual([])
    environment.advance(1)
    expect(ends.map(cause => cause?.code)).toEqual(['ERR_OFFLINE'])
    expect(wire.events).toBeUndefined()
    expect(transport.happened.refuse).toBe(1)
  })

  it('replays what a relay said of a log, on later connections too, and nothing else', async () => {
    const world = await openWorld()
    const transport = faultyTransport(world.relay, {
      seed: 3,
      environment: world.environment,
      faults: { replay: 0.7 },
    })
    const reader = await world.reader()
    const genuine = reader.syncs.map(encodeMessage)
    const { TestReplica } = await import('./helpers/replica.ts')
    const frames: Uint8Array[] = []
    for (let i = 0; i < 4; i++) {
      const replica = new TestReplica(transport)
      await world.relay.deliverAll()
      replica.open(world.space, world.owner)
      await world.relay.deliverAll()
      replica.pull(world.space)
      await world.relay.deliverAll()
      frames.push(...replica.frames)
      expect(replica.messages.filter(message => message.type === 'welcome')).toHaveLength(1)
    }
    expect(transport.happened.replay).toBeGreaterThan(0)
    expect(frames).toHaveLength(4 * 3 + transport.happened.replay)
    expect(genuine.length).toBeGreaterThan(0)
  })

  it('is calm when it is told to be', () => {
    const { transport, connection, wire } = open({ faults: { cut: 1, duplicate: 1 }, maxFrames: 1 })
    transport.calm()
    for (const name of NAMES) connection.send(bytes(name))
    expect(wire.heard).toEqual(NAMES)
  })

  it.each([
    [{ faults: { cut: 1.5 } }, /faults\.cut/],
    [{ faults: { delay: Number.NaN } }, /faults\.delay/],
    [{ maxDelay: 0 }, /maxDelay/],
    [{ maxFrames: -1 }, /maxFrames/],
  ])('refuses %j', (options, message) => {
    expect(() => open(options)).toThrow(TypeError)
    expect(() => open(options)).toThrow(message)
  })
})
