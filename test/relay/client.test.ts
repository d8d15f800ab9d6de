import { describe, expect, it } from 'vitest'
import type { Environment } from '../../src/environment.ts'
import type { SealogError } from '../../src/errors.ts'
import { type SpaceId, spaceIdOf } from '../../src/ids.ts'
import { RelayClient } from '../../src/relay/client.ts'
import type { ChannelEvents, Session, VisitorEvents } from '../../src/relay/client-events.ts'
import { encodeMessage } from '../../src/relay/message-codec.ts'
import type { RelayMessage } from '../../src/relay/messages.ts'
import type { Welcome } from '../../src/relay/session-messages.ts'
import type { ConnectionEvents, Transport } from '../../src/relay/transport.ts'
import type { PinnedRelay } from '../../src/verify/log.ts'
import { bytesOf } from '../helpers/log-builder.ts'

const SPACE = 'ab'.repeat(32) as SpaceId
const WELCOME: Welcome = {
  type: 'welcome',
  version: 1,
  name: 'relay.test',
  key: bytesOf('relay key'),
  challenge: bytesOf('challenge'),
}
const PINNED: PinnedRelay = { name: WELCOME.name, key: WELCOME.key }

/** A client over connections and timers that the test holds in its hand. */
function harness(pinned: PinnedRelay | undefined) {
  const connections: { events: ConnectionEvents; sent: Uint8Array[]; closed: boolean }[] = []
  const timers: { ms: number; task: () => void }[] = []
  const seen: string[] = []
  const sessions: Session[] = []
  const kept: PinnedRelay[] = []
  let cause: SealogError | undefined
  const transport: Transport = {
    connect: (_, events) => {
      const connection = { events, sent: [] as Uint8Array[], closed: false }
      connections.push(connection)
      return {
        send: frame => void connection.sent.push(frame),
        close: () => {
          connection.closed = true
        },
      }
    },
  }
  const environment: Environment = {
    // The full delay, without jitter.
    random: length => new Uint8Array(length).fill(255),
    now: () => 0,
    schedule: (ms, task) => {
      const timer = { ms, task }
      timers.push(timer)
      return () => {
        const at = timers.indexOf(timer)
        if (at >= 0) timers.splice(at, 1)
      }
    },
  }
  const client = new RelayClient({
    transport,
    environment,
    url: 'ws://relay.test',
    pinned,
    pin: async relay => void kept.push(relay),
    onState: (_, why) => {
      cause = why
    },
  })
  const events: ChannelEvents = {
    onUp: session => {
      seen.push('up')
      sessions.push(session)
    },
    onMessage: message => void seen.push(message.type),
    onDown: () => void seen.push('down'),
  }
  return {
    client,
    connections,
    seen,
    sessions,
    kept,
    timers,
    events,
    causeOf: () => cause?.code,
    /** The relay of the latest connection says something. */
    hear: (message: RelayMessage | Uint8Array) => {
      connections.at(-1)?.events.onFrame(message instanceof Uint8Array ? message : encodeMessage(message))
    },
    /** The next timer goes off. @returns its delay */
    tick: () => {
      const timer = timers.shift()
      timer?.task()
      return timer?.ms
    },
  }
}

const settled = (): Promise<void> => new Promise(resolve => setTimeout(resolve))
const pulled: RelayMessage = { type: 'received', ref: 1, space: SPACE }

describe('the identity of a relay (R-HELLO-2)', () => {
  it('is pinned at first contact, durably, before anything is said', async () => {
    const { client, events, hear, kept, seen } = harness(undefined)
    client.attach(SPACE, events)
    hear(WELCOME)
    expect(seen).toEqual([])
    await settled()
    expect(kept).toEqual([PINNED])
    expect(seen).toEqual(['up'])
    expect(await client.identified()).toEqual(PINNED)
  })

  it.each<readonly [string, Partial<Welcome>]>([
    ['name', { name: 'other.test' }],
    ['key', { key: bytesOf('another key') }],
  ])('with another %s than the pinned one is refused, and hears nothing', (_, differing) => {
    const { client, events, hear, seen, connections, causeOf } = harness(PINNED)
    client.attach(SPACE, events)
    hear({ ...WELCOME, ...differing })
    expect(causeOf()).toBe('ERR_RELAY_IDENTITY')
    expect(client.state).toBe('offline')
    expect(seen).toEqual([])
    expect(connections).toMatchObject([{ closed: true, sent: [] }])
  })

  it('comes with a challenge, which is handed to whoever opens a space', () => {
    const { client, events, hear, sessions } = harness(PINNED)
    client.attach(SPACE, events)
    hear(WELCOME)
    expect(sessions).toEqual([{ relay: PINNED, challenge: WELCOME.challenge }])
  })
})

describe('the order of messages (R-HELLO-3)', () => {
  it.each<readonly [string, readonly (RelayMessage | Uint8Array)[], string]>([
    ['something before the welcome', [pulled], 'ERR_UNEXPECTED'],
    ['a second welcome', [WELCOME, WELCOME], 'ERR_UNEXPECTED'],
    ['what only replicas send', [WELCOME, encodeMessage({ type: 'leave', space: SPACE })], 'ERR_UNEXPECTED'],
    ['bytes that are no message', [WELCOME, bytesOf('noise')], 'ERR_MALFORMED'],
    ['a later version of the protocol', [{ ...WELCOME, version: 2 }], 'ERR_UPGRADE'],
  ])('%s ends the connection', (_, messages, code) => {
    const { client, events, hear, seen, connections, causeOf } = harness(PINNED)
    client.attach(SPACE, events)
    for (const message of messages) hear(message)
    expect(causeOf()).toBe(code)
    expect(connections[0]?.closed).toBe(true)
    expect(seen.filter(what => what === 'received')).toEqual([])
    // Whatever else comes of that connection is not heard any more.
    connections[0]?.events.onFrame(encodeMessage(pulled))
    expect(seen).not.toContain('received')
  })
})

describe('connecting again (R-RETRY-1)', () => {
  it('waits twice as long each time, up to 30 seconds, and starts over once it worked', () => {
    const { client, events, hear, connections, timers, tick } = harness(PINNED)
    client.attach(SPACE, events)
    const delays: (number | undefined)[] = []
    for (let i = 0; i < 10; i++) {
      connections.at(-1)?.events.onClose(undefined)
      delays.push(tick())
    }
    expect(delays).toEqual([200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000])
    hear(WELCOME)
    connections.at(-1)?.events.onClose(undefined)
    expect(timers.map(({ ms }) => ms)).toEqual([200])
  })

  it('gives up a connection that does not greet', () => {
    const { client, events, timers, tick, causeOf, connections } = harness(PINNED)
    client.attach(SPACE, events)
    expect(timers.map(({ ms }) => ms)).toEqual([15_000])
    tick()
    expect(causeOf()).toBe('ERR_OFFLINE')
    expect(connections[0]?.closed).toBe(true)
  })
})

describe('a request that belongs to no space', () => {
  const ADDRESS = bytesOf('address')
  const CHANNEL = spaceIdOf(ADDRESS)
  const content: RelayMessage = {
    type: 'mailbox',
    ref: 1,
    address: ADDRESS,
    counter: 1,
    bytes: bytesOf('sealed'),
    signature: new Uint8Array(64),
  }

  function visitor(): { readonly heard: string[]; readonly events: VisitorEvents } {
    const heard: string[] = []
    const events: VisitorEvents = {
      onUp: () => void heard.push('up'),
      onMessage: ({ type }) => void heard.push(type),
      onDown: () => void heard.push('down'),
      onClosed: () => void heard.push('closed'),
    }
    return { heard, events }
  }

  it('brings up a connection of its own, which ends with it', () => {
    const { client, hear, connections } = harness(PINNED)
    const { heard, events } = visitor()
    const leave = client.visit(events)
    hear(WELCOME)
    expect(heard).toEqual(['up'])
    leave()
    expect(connections).toMatchObject([{ closed: true }])
    expect(client.state).toBe('offline')
    // Whoever has left hears nothing more, and nobody connects for it again.
    leave()
    hear(content)
    expect(heard).toEqual(['up'])
    expect(connections).toHaveLength(1)
  })

  it('hears what is said of mailboxes, and spaces what is said of them', () => {
    const { client, events, hear, seen } = harness(PINNED)
    client.attach(SPACE, events)
    const { heard, events: visiting } = visitor()
    client.visit(visiting)
    hear(WELCOME)
    hear(content)
    hear({ ...pulled, space: CHANNEL })
    hear(pulled)
    expect(heard).toEqual(['up', 'mailbox', 'received'])
    expect(seen).toEqual(['up', 'received'])
  })

  it('is told that the connection was lost, and that the client is closed', () => {
    const { client, hear, connections } = harness(PINNED)
    const { heard, events } = visitor()
    client.visit(events)
    hear(WELCOME)
    connections[0]?.events.onClose(undefined)
    client.close()
    expect(heard).toEqual(['up', 'down', 'closed'])
    client.visit(events)
    expect(heard).toEqual(['up', 'down', 'closed', 'closed'])
  })

  it('makes use of a relay that only an invite named', () => {
    const claimed = new RelayClient({
      transport: { connect: () => ({ send: () => {}, close: () => {} }) },
      environment: { random: length => new Uint8Array(length), now: () => 0, schedule: () => () => {} },
      url: 'ws://relay.test',
      pinned: PINNED,
      isClaim: true,
      pin: async () => {},
      onState: () => {},
    })
    expect(claimed.isIdleClaim).toBe(true)
    const leave = claimed.visit(visitor().events)
    expect(claimed.isIdleClaim).toBe(false)
    leave()
    expect(claimed.isIdleClaim).toBe(true)
  })
})
