import { describe, expect, it } from 'vitest'
import { DEFAULT_CHANNEL_DEADLINES } from '../../src/crdt/channel-deadlines.ts'
import { SpaceChannel } from '../../src/crdt/space-channel.ts'
import { verifySync } from '../../src/crypto/sign.ts'
import { nobleSigningKey } from '../../src/crypto/sign-backend.ts'
import type { Environment } from '../../src/environment.ts'
import { SealogError } from '../../src/errors.ts'
import { authenticationInput } from '../../src/relay/authentication.ts'
import type { RelayClient } from '../../src/relay/client.ts'
import type { ChannelEvents } from '../../src/relay/client-events.ts'
import type { Sync } from '../../src/relay/log-messages.ts'
import type { ReplicaMessage, SpaceAnswer } from '../../src/relay/messages.ts'
import type { Open, Reject } from '../../src/relay/session-messages.ts'
import { bytesOf, LogBuilder } from '../helpers/log-builder.ts'

const log = new LogBuilder()
log.append(log.genesis())
const { space, relay } = log
const SESSION = { relay, challenge: bytesOf('challenge') }
const SIGNER = nobleSigningKey(bytesOf('device'))
const FROM = 17

/** A channel over a connection and timers that the test holds in its hand. */
function harness() {
  const sent: ReplicaMessage[] = []
  const timers: { ms: number; task: () => void }[] = []
  const faults: string[] = []
  const synced: Sync[] = []
  const reconnects: string[] = []
  let events: ChannelEvents | undefined
  let ref = 0
  let verdict: SealogError | undefined
  const client = {
    attach: (_: unknown, listener: ChannelEvents) => {
      events = listener
    },
    detach: () => {},
    send: (message: ReplicaMessage) => void sent.push(message),
    nextRef: () => ++ref,
    reconnect: (cause: SealogError) => void reconnects.push(cause.code),
  } as unknown as RelayClient
  const environment: Environment = {
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
  const channel = new SpaceChannel({
    space,
    relay,
    client,
    environment,
    deadlines: DEFAULT_CHANNEL_DEADLINES,
    opening: () => ({ signer: SIGNER, from: FROM, genesis: undefined, admission: undefined, wants: undefined }),
    onSync: async message => {
      synced.push(message)
      if (verdict !== undefined) throw verdict
      channel.sound(message)
    },
    onOpenRefused: () => false,
    onReset: () => {},
    onFault: error => void faults.push(error.code),
  })
  return {
    channel,
    sent,
    timers,
    faults,
    synced,
    reconnects,
    /** From now on, what comes does not verify. */
    distrust: (code: 'ERR_PROOF' | undefined) => {
      verdict = code && new SealogError(code, 'a lie')
    },
    up: async (session = SESSION) => {
      events?.onUp(session)
      await settled()
    },
    hear: async (message: SpaceAnswer) => {
      events?.onMessage(message)
      await settled()
    },
    /** The timers that are set to this delay. */
    pending: (ms: number) => timers.filter(timer => timer.ms === ms),
    fire: async (ms: number) => {
      const at = timers.findIndex(timer => timer.ms === ms)
      const [timer] = timers.splice(at, 1)
      timer?.task()
      await settled()
    },
    tick: async () => {
      const timer = timers.shift()
      timer?.task()
      await settled()
      return timer?.ms
    },
    lastOpen: () => sent.findLast((message): message is Open => message.type === 'open') as Open,
  }
}

const settled = (): Promise<void> => new Promise(resolve => setTimeout(resolve))
const syncOf = (ref: number): Sync => ({ type: 'sync', ref, space, batch: log.batch(1) })
const types = (messages: readonly ReplicaMessage[]): string[] => messages.map(message => message.type)

describe('opening a space (R-OPEN-1)', () => {
  it('signs the relay’s challenge, and asks from the verified size on', async () => {
    const { channel, up, lastOpen } = harness()
    channel.start()
    await up()
    const { from, device, signature } = lastOpen()
    expect(from).toBe(FROM)
    const message = authenticationInput(relay, SESSION.challenge, space, device)
    expect(verifySync({ publicKey: SIGNER.publicKey, message, signature })).toBe(true)
  })

  it('says nothing to another relay than the one of the space (R-HELLO-2)', async () => {
    const { channel, up, sent, faults } = harness()
    channel.start()
    await up({ ...SESSION, relay: { ...relay, name: 'other.test' } })
    expect(types(sent)).not.toContain('open')
    expect(faults).toEqual(['ERR_RELAY_IDENTITY'])
  })
})

describe('what does not verify (R-RETRY-2)', () => {
  it('ends the reading; the space is opened again after a while that doubles, from the same place', async () => {
    const { channel, up, hear, tick, distrust, lastOpen, sent, faults } = harness()
    channel.start()
    await up()
    distrust('ERR_PROOF')
    const delays: (number | undefined)[] = []
    for (let i = 0; i < 9; i++) {
      await hear(syncOf(lastOpen().ref))
      delays.push(await tick())
    }
    expect(delays).toEqual([200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000])
    expect(faults).toEqual(Array(9).fill('ERR_PROOF'))
    expect(types(sent)).toEqual(['open', ...Array(9).fill(['leave', 'open']).flat()])
    expect(lastOpen().from).toBe(FROM)
    // Once something verified, the next fault starts with the shortest while again.
    distrust(undefined)
    await hear(syncOf(lastOpen().ref))
    distrust('ERR_PROOF')
    await hear(syncOf(0))
    expect(await tick()).toBe(200)
  })

  it('is not made up for by what was on its way: only the answer to the new opening counts', async () => {
    const { channel, up, hear, tick, distrust, lastOpen, synced } = harness()
    channel.start()
    await up()
    const first = lastOpen().ref
    distrust('ERR_PROOF')
    await hear(syncOf(first))
    distrust(undefined)
    await hear(syncOf(0))
    await tick()
    await hear(syncOf(first))
    expect(synced).toHaveLength(1)
    await hear(syncOf(lastOpen().ref))
    await hear(syncOf(0))
    expect(synced).toHaveLength(3)
    expect(channel.isLive).toBe(true)
  })

  it('also where the relay refuses to open, or ends the reading by itself', async () => {
    const { channel, up, hear, lastOpen, faults, tick } = harness()
    const reject = (ref: number): Reject => {
      return { type: 'reject', ref, space, code: 'ERR_RELAY_STORAGE', message: '', position: 0, retryAfter: 0 }
    }
    channel.start()
    await up()
    await hear(reject(lastOpen().ref))
    expect(faults).toEqual(['ERR_RELAY_STORAGE'])
    await tick()
    await hear(syncOf(lastOpen().ref))
    await hear(reject(0))
    expect(faults).toEqual(['ERR_RELAY_STORAGE', 'ERR_RELAY_STORAGE'])
  })
})

describe('a connection that has gone quiet (R-RETRY-3)', () => {
  it('is asked for a fresh checkpoint, and given up where none comes', async () => {
    const { channel, up, hear, tick, lastOpen, sent, reconnects } = harness()
    channel.start()
    await up()
    await hear(syncOf(lastOpen().ref))
    expect(await tick()).toBe(25_000)
    expect(types(sent)).toEqual(['open', 'pull'])
    // An answer starts the time anew.
    await hear(syncOf((sent.at(-1) as { ref: number }).ref))
    expect(reconnects).toEqual([])
    expect(await tick()).toBe(25_000)
    expect(await tick()).toBe(15_000)
    expect(reconnects).toEqual(['ERR_OFFLINE'])
  })
})

describe('a push that the relay does not answer (R-RETRY-4)', () => {
  const DEADLINE = DEFAULT_CHANNEL_DEADLINES.push
  const ENTRY = { header: new Uint8Array(1), signature: new Uint8Array(64), body: new Uint8Array(10) }

  /** A live channel with one push on its way. */
  async function pushing() {
    const opened = harness()
    const { channel, up, hear, lastOpen, sent } = opened
    const refusals: string[] = []
    channel.start()
    await up()
    await hear(syncOf(lastOpen().ref))
    void channel.push([ENTRY], error => void refusals.push(error.code))
    await settled()
    expect(types(sent)).toEqual(['open', 'push'])
    return { ...opened, refusals, ref: (sent.at(-1) as { ref: number }).ref }
  }

  it('does not wait for ever while all else is answered: the connection counts as broken', async () => {
    const { fire, hear, sent, reconnects, pending } = await pushing()
    await fire(25_000)
    await hear(syncOf((sent.at(-1) as { ref: number }).ref))
    expect(reconnects).toEqual([])
    expect(pending(DEADLINE)).toHaveLength(1)
    await fire(DEADLINE)
    expect(reconnects).toEqual(['ERR_OFFLINE'])
  })

  it('is not waited for once its entries are in the log, or were refused, or the conversation starts over', async () => {
    const landed = await pushing()
    landed.channel.landed()
    expect(landed.pending(DEADLINE)).toEqual([])
    const refused = await pushing()
    const { ref } = refused
    await refused.hear({ type: 'reject', ref, space, code: 'ERR_QUOTA', message: '', position: 0, retryAfter: 0 })
    expect(refused.refusals).toEqual(['ERR_QUOTA'])
    expect(refused.pending(DEADLINE)).toEqual([])
    const restarted = await pushing()
    restarted.channel.open()
    expect(restarted.pending(DEADLINE)).toEqual([])
  })

  it('has its time anew with every part of another answer: its own comes behind them', async () => {
    const { channel, hear, sent, pending } = await pushing()
    const [before] = pending(DEADLINE)
    const body = channel.body(0, 10)
    const { ref } = sent.at(-1) as { ref: number }
    await hear({ type: 'body-part', ref, space, offset: 0, bytes: new Uint8Array(10) })
    expect(await body).toHaveLength(10)
    expect(pending(DEADLINE)).toHaveLength(1)
    expect(pending(DEADLINE)[0]).not.toBe(before)
  })

  it('is not given up for what has come and was not looked at yet', async () => {
    const { channel, fire, reconnects } = await pushing()
    let end: () => void = () => {}
    channel.enqueue(
      () =>
        new Promise(resolve => {
          end = resolve
        }),
    )
    await settled()
    await fire(DEADLINE)
    expect(reconnects).toEqual([])
    channel.landed()
    end()
    await settled()
    expect(reconnects).toEqual([])
  })
})
