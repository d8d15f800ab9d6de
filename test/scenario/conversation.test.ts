import type { LogStore } from 'sealog-relay'
import { loopbackRelay, memoryLogStore } from 'sealog-relay/testing'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../src/bytes.ts'
import { signSync } from '../../src/crypto/sign.ts'
import { nobleSigningKey } from '../../src/crypto/sign-backend.ts'
import type { Environment } from '../../src/environment.ts'
import type { SpaceId } from '../../src/ids.ts'
import { authenticationInput } from '../../src/relay/authentication.ts'
import type { BodyPart } from '../../src/relay/body-messages.ts'
import type { Push, PushEntry, Sync } from '../../src/relay/log-messages.ts'
import { decodeRelayMessage, encodeMessage } from '../../src/relay/message-codec.ts'
import type { RelayMessage, ReplicaMessage } from '../../src/relay/messages.ts'
import type { Reject, Welcome } from '../../src/relay/session-messages.ts'
import type { Connection } from '../../src/relay/transport.ts'
import { parseNote } from '../../src/verify/checkpoint.ts'
import { INLINE_BODY_LENGTH } from '../../src/verify/entry.ts'
import { isCurrent, type LogView } from '../../src/verify/log.ts'
import {
  accept,
  type BuiltEntry,
  bytesOf,
  LogBuilder,
  RELAY_NAME,
  RELAY_SEED,
  type TestDevice,
  testDevice,
} from '../helpers/log-builder.ts'

// The conversation of docs/protocol.md §8, word for word, with the relay of this project: what any relay has to answer.

/** One socket of a replica that knows exactly what it says. */
class Socket {
  readonly received: RelayMessage[] = []
  closed = false
  readonly #relay: TestRelay
  readonly #connection: Connection
  #ref = 0

  constructor(relay: TestRelay) {
    this.#relay = relay
    this.#connection = relay.transport.connect('ws://relay.test', {
      onOpen: () => {},
      onFrame: frame => void this.received.push(decodeRelayMessage(frame)),
      onClose: () => {
        this.closed = true
      },
    })
  }

  /** Sends and waits until all is quiet. @returns what came in the meantime */
  async say(...messages: readonly (ReplicaMessage | Uint8Array)[]): Promise<readonly RelayMessage[]> {
    for (const message of messages) {
      this.#connection.send(message instanceof Uint8Array ? message : encodeMessage(message))
    }
    return this.hear()
  }

  async hear(): Promise<readonly RelayMessage[]> {
    const { length } = this.received
    await this.#relay.transport.deliverAll()
    return this.received.slice(length)
  }

  nextRef(): number {
    return ++this.#ref
  }

  get welcome(): Welcome {
    return this.received[0] as Welcome
  }

  openMessage(device: TestDevice, space: SpaceId, from = 0): Extract<ReplicaMessage, { type: 'open' }> {
    const { publicKey } = nobleSigningKey(device.signing)
    const input = authenticationInput(this.welcome, this.welcome.challenge, space, publicKey)
    const signature = signSync(device.signing, input)
    return { type: 'open', ref: this.nextRef(), space, from, device: publicKey, signature, wants: undefined }
  }

  push(space: SpaceId, ...entries: readonly BuiltEntry[]): Push {
    const inline = entries.map(({ header, signature, body }): PushEntry => {
      return { header, signature, body: body.length > INLINE_BODY_LENGTH ? undefined : body }
    })
    return { type: 'push', ref: this.nextRef(), space, entries: inline }
  }
}

interface TestRelay {
  readonly transport: ReturnType<typeof loopbackRelay>
  now: number
  socket(): Promise<Socket>
}

function testRelay(store: LogStore = memoryLogStore()): TestRelay {
  let fresh = 0
  const environment: Environment = {
    random: length => bytesOf(`random ${fresh++}`).slice(0, length),
    now: () => relay.now,
    schedule: () => () => {},
  }
  const signingKey = nobleSigningKey(RELAY_SEED)
  const relay: TestRelay = {
    transport: loopbackRelay({ environment, name: RELAY_NAME, signingKey, store }),
    now: 1_700_000_000_000,
    async socket() {
      const socket = new Socket(relay)
      await socket.hear()
      return socket
    },
  }
  return relay
}

/** A relay that has a space with an owner and a writer. */
async function founded(store?: LogStore): Promise<{ relay: TestRelay; log: LogBuilder; writer: TestDevice }> {
  const { log, writer } = LogBuilder.withWriter()
  const relay = testRelay(store)
  const [genesis, ...rest] = log.entries as [BuiltEntry, ...BuiltEntry[]]
  const socket = await relay.socket()
  const { space } = log
  await socket.say(socket.push(space, genesis))
  await socket.say(socket.openMessage(log.owner, space), socket.push(space, ...rest))
  return { relay, log, writer }
}

/** A socket on which the device has the space open, and all entries. */
async function reading(relay: TestRelay, device: TestDevice, log: LogBuilder): Promise<Socket> {
  const socket = await relay.socket()
  await socket.say(socket.openMessage(device, log.space, log.size))
  return socket
}

const isSync = (message: RelayMessage): message is Sync => message.type === 'sync'

function codesIn(messages: readonly RelayMessage[]): string[] {
  return messages.filter((message): message is Reject => message.type === 'reject').map(message => message.code)
}

async function advanceBy(view: LogView, messages: readonly RelayMessage[]): Promise<LogView> {
  let next = view
  for (const { batch } of messages.filter(isSync)) next = await accept(next, batch)
  return next
}

const sizeOf = (message: RelayMessage | undefined): number => parseNote((message as Sync).batch.note).checkpoint.size

describe('greeting (R-HELLO-1)', () => {
  it('is the first message, says who the relay is, and challenges anew each time', async () => {
    const relay = testRelay()
    const [a, b] = [await relay.socket(), await relay.socket()]
    const key = nobleSigningKey(RELAY_SEED).publicKey
    expect(a.received).toMatchObject([{ type: 'welcome', version: 1, name: RELAY_NAME, key }])
    expect(toHex(a.welcome.challenge)).not.toBe(toHex(b.welcome.challenge))
  })
})

describe('opening', () => {
  it('takes a signature over this challenge, of this relay, for this space (R-OPEN-1)', async () => {
    const { relay, log, writer } = await founded()
    const socket = await relay.socket()
    const other = await relay.socket()
    const good = socket.openMessage(writer, log.space)
    const signing = (differing: Partial<Welcome>, space = log.space): ReplicaMessage => {
      const welcome = { ...socket.welcome, ...differing }
      const input = authenticationInput(welcome, welcome.challenge, space, good.device)
      return { ...good, signature: signSync(writer.signing, input) }
    }
    const bad = [
      signing({ challenge: other.welcome.challenge }),
      signing({ name: 'other.test' }),
      signing({ key: bytesOf('another relay') }),
      signing({}, 'ab'.repeat(32) as SpaceId),
      { ...good, signature: new Uint8Array(64) },
      { ...good, device: nobleSigningKey(log.owner.signing).publicKey },
    ]
    for (const message of bad) expect(codesIn(await socket.say(message))).toEqual(['ERR_UNAUTHORIZED'])
    expect((await socket.say(good)).map(message => message.type)).toEqual(['sync'])
  })

  it('is for current devices, spaces that exist, and sizes that there are (R-OPEN-2)', async () => {
    const { relay, log, writer } = await founded()
    const socket = await relay.socket()
    const open = async (device: TestDevice, space = log.space, from = 0): Promise<string[]> =>
      codesIn(await socket.say(socket.openMessage(device, space, from)))
    expect(await open(testDevice('stranger', 7))).toEqual(['ERR_UNAUTHORIZED'])
    // It was a device once, and may read how it ended.
    expect(await open(testDevice('writer provisional', 1))).toEqual(['ERR_REMOVED'])
    expect(await open(writer, 'ab'.repeat(32) as SpaceId)).toEqual(['ERR_UNKNOWN_SPACE'])
    expect(await open(writer, log.space, log.size + 1)).toEqual(['ERR_RELAY_BEHIND'])
    expect(await open(writer, log.space, log.size)).toEqual([])
  })

  it('is answered under its reference, even where nothing is missing (R-OPEN-3)', async () => {
    const { relay, log, writer } = await founded()
    const socket = await relay.socket()
    const open = socket.openMessage(writer, log.space, log.size)
    expect(await socket.say(open)).toMatchObject([
      { type: 'sync', ref: open.ref, batch: { from: log.size, entries: [] } },
    ])
  })
})

describe('the log on a socket', () => {
  it('comes without gap or overlap, in parts that each verify (R-SYNC-1, R-SYNC-2)', async () => {
    const { relay, log, writer } = await founded()
    const owner = await reading(relay, log.owner, log)
    for (let i = 0; i < 7; i++) {
      const entry = log.append(log.changes(log.owner, { body: new Uint8Array(INLINE_BODY_LENGTH).fill(i) }))
      await owner.say(owner.push(log.space, entry))
    }
    const socket = await relay.socket()
    const open = socket.openMessage(writer, log.space)
    const parts = (await socket.say(open)).filter(isSync)
    expect(parts.length).toBeGreaterThan(1)
    expect(parts.map(({ ref }) => ref)).toEqual([open.ref, ...Array(parts.length - 1).fill(0)])
    let next = 0
    for (const { batch } of parts) {
      expect(batch.from).toBe(next)
      next += batch.entries.length
      // Signed are the last entry of each actor and control entries, and nothing else.
      const unsigned = batch.entries.filter(entry => entry.signature === undefined).length
      const isFirst = batch.from === 0
      expect(unsigned).toBe(isFirst ? batch.entries.length - 4 : batch.entries.length - 1)
    }
    expect(isCurrent(await advanceBy(log.emptyView(), parts))).toBe(true)
  })

  it('goes on by itself with what others write (R-LIVE-1)', async () => {
    const { relay, log, writer } = await founded()
    const [owner, other] = [await reading(relay, log.owner, log), await reading(relay, writer, log)]
    let view = await log.viewAt(log.size)
    for (let i = 0; i < 3; i++) {
      const author = i % 2 === 0 ? log.owner : writer
      const socket = author === writer ? other : owner
      await socket.say(socket.push(log.space, log.append(log.changes(author))))
    }
    const live = other.received.slice(2)
    expect(live.filter(isSync).map(({ batch }) => batch.from)).toEqual([3, 4, 5])
    view = await advanceBy(view, live)
    expect(view.range.size).toBe(6)
  })

  it('is asked for the present by pull, which is answered after all that came before (R-PULL-1)', async () => {
    const { relay, log, writer } = await founded()
    const socket = await reading(relay, writer, log)
    const entry = log.append(log.changes(writer))
    const [push, pull] = [socket.push(log.space, entry), { type: 'pull', ref: 50, space: log.space } as const]
    const answers = await socket.say(push, pull)
    expect(answers.map(message => (message as Sync).ref)).toEqual([push.ref, 50])
    expect(answers.map(sizeOf)).toEqual([4, 4])
    // An old note is signed anew, so that its time says that the relay is there.
    relay.now += 60_000
    const [fresh] = await socket.say({ type: 'pull', ref: 51, space: log.space })
    expect(parseNote((fresh as Sync).batch.note).checkpoint.time).toBe(relay.now)
  })

  it('ends with leave (R-LEAVE-1)', async () => {
    const { relay, log, writer } = await founded()
    const [owner, other] = [await reading(relay, log.owner, log), await reading(relay, writer, log)]
    await other.say({ type: 'leave', space: log.space })
    await owner.say(owner.push(log.space, log.append(log.changes(log.owner))))
    expect(await other.hear()).toEqual([])
    expect(codesIn(await other.say({ type: 'pull', ref: 9, space: log.space }))).toEqual(['ERR_UNAUTHORIZED'])
  })

  it('ends for a device that is removed, after the entry that removes it (R-REMOVED-1)', async () => {
    const { relay, log } = await founded()
    const provisional = testDevice('guest provisional', 3)
    const owner = await reading(relay, log.owner, log)
    await owner.say(owner.push(log.space, log.append(log.control(log.owner, log.inviteBody(provisional)))))
    const guest = await reading(relay, provisional, log)
    const join = log.append(log.control(provisional, log.joinBody(testDevice('guest', 4))))
    const answers = await guest.say(guest.push(log.space, join))
    expect(answers.map(message => message.type)).toEqual(['sync', 'reject'])
    expect(answers[1]).toMatchObject({ ref: 0, code: 'ERR_REMOVED' })
    await owner.say(owner.push(log.space, log.append(log.changes(log.owner))))
    expect(await guest.hear()).toEqual([])
    // Whoever was away learns it the same way: by the log up to there, and no further.
    const told = await guest.say(guest.openMessage(provisional, log.space))
    expect(told.map(message => message.type)).toEqual(['sync', 'reject'])
    expect(codesIn(told)).toEqual(['ERR_REMOVED'])
    const { range, state } = await advanceBy(log.emptyView(), told)
    expect(range.size).toBe(5)
    expect(state?.control.devices.get(3)?.removed?.index).toBe(4)
    expect(await guest.hear()).toEqual([])
  })
})

describe('a push', () => {
  it('is answered by the entries themselves, signed and under its reference (R-PUSH-1)', async () => {
    const { relay, log, writer } = await founded()
    const socket = await reading(relay, writer, log)
    const view = await log.viewAt(log.size)
    const push = socket.push(log.space, log.append(log.changes(writer)), log.append(log.changes(writer)))
    const answers = await socket.say(push)
    expect(answers).toMatchObject([{ type: 'sync', ref: push.ref, batch: { from: 3 } }])
    expect(isCurrent(await advanceBy(view, answers))).toBe(true)
  })

  it('lands up to its first bad entry; the refusal says which (R-PUSH-2)', async () => {
    const { relay, log, writer } = await founded()
    const socket = await reading(relay, writer, log)
    const [first, second] = [log.append(log.changes(writer)), log.append(log.changes(writer))]
    const bad = log.changes(writer, { epoch: 4 })
    const good = log.changes(log.owner)
    const push = socket.push(log.space, first, second, bad, good)
    const answers = await socket.say(push)
    expect(answers).toMatchObject([
      { type: 'sync', ref: 0, batch: { from: 3, entries: [{}, {}] } },
      { type: 'reject', ref: push.ref, code: 'ERR_STALE_EPOCH', position: 2 },
    ])
    expect(sizeOf(answers[0])).toBe(5)
  })

  it.each<readonly [string, (entry: BuiltEntry) => Partial<BuiltEntry>, string]>([
    ['signature', () => ({ signature: new Uint8Array(64) }), 'ERR_SIGNATURE'],
    ['body', () => ({ body: bytesOf('another') }), 'ERR_BODY'],
    ['header', ({ header }) => ({ header: header.slice(1) }), 'ERR_MALFORMED'],
  ])('is refused for a wrong %s (R-PUSH-3)', async (_, change, code) => {
    const { relay, log, writer } = await founded()
    const socket = await reading(relay, writer, log)
    const entry = log.changes(writer)
    const answers = await socket.say(socket.push(log.space, { ...entry, ...change(entry) }))
    expect(codesIn(answers)).toEqual([code])
    expect(answers.filter(isSync)).toEqual([])
  })

  it('of what is in the log already is stale, and changes nothing (R-PUSH-4)', async () => {
    const { relay, log, writer } = await founded()
    const socket = await reading(relay, writer, log)
    const entry = log.append(log.changes(writer))
    await socket.say(socket.push(log.space, entry))
    const again = await socket.say(socket.push(log.space, entry))
    expect(codesIn(again)).toEqual(['ERR_STALE_CHAIN'])
    expect(again.filter(isSync)).toEqual([])
  })

  it('is for sockets that have the space open; only a genesis is not (R-PUSH-5)', async () => {
    const { relay, log, writer } = await founded()
    const socket = await relay.socket()
    expect(codesIn(await socket.say(socket.push(log.space, log.changes(writer))))).toEqual(['ERR_UNAUTHORIZED'])
    expect(codesIn(await socket.say({ type: 'pull', ref: 9, space: log.space }))).toEqual(['ERR_UNAUTHORIZED'])
    const get = { type: 'get-body', ref: 10, space: log.space, index: 0, offset: 0 } as const
    expect(codesIn(await socket.say(get))).toEqual(['ERR_UNAUTHORIZED'])
  })

  it('of a genesis founds a space, once, with this relay in it (R-PUSH-6)', async () => {
    const { relay, log } = await founded()
    const socket = await relay.socket()
    const genesis = log.entries[0] as BuiltEntry
    expect(codesIn(await socket.say(socket.push(log.space, genesis)))).toEqual(['ERR_SPACE_EXISTS'])
    const foreign = new LogBuilder({ relaySeed: bytesOf('another relay') })
    foreign.append(foreign.genesis())
    const refused = await socket.say(socket.push(foreign.space, foreign.entries[0] as BuiltEntry))
    expect(codesIn(refused)).toEqual(['ERR_RELAY_IDENTITY'])
    const misnamed = await socket.say(socket.push('ab'.repeat(32) as SpaceId, genesis))
    expect(codesIn(misnamed)).toEqual(['ERR_INVALID_ENTRY'])
  })

  it('of a join comes too late when the invite has expired by the relay’s clock (R-INVITE-4)', async () => {
    const { relay, log } = await founded()
    const provisional = testDevice('guest provisional', 3)
    const owner = await reading(relay, log.owner, log)
    const invite = log.inviteBody(provisional)
    await owner.say(owner.push(log.space, log.append(log.control(log.owner, invite))))
    const guest = await reading(relay, provisional, log)
    const join = log.control(provisional, log.joinBody(testDevice('guest', 4)))
    relay.now = invite.expires + 1
    expect(codesIn(await guest.say(guest.push(log.space, join)))).toEqual(['ERR_INVITE'])
    relay.now = invite.expires
    expect(codesIn(await guest.say(guest.push(log.space, join)))).toEqual(['ERR_REMOVED'])
  })
})

describe('a relay that cannot store (R-PUSH-7)', () => {
  it('says so to all who have the space open, signs nothing new, and shows what it has once it has read it anew', async () => {
    const inner = memoryLogStore()
    let broken = false
    const store: LogStore = {
      ...inner,
      append: async append => {
        if (broken) throw new Error('disk on fire')
        await inner.append(append)
      },
    }
    const { relay, log, writer } = await founded(store)
    const socket = await reading(relay, writer, log)
    broken = true
    const failed = await socket.say(socket.push(log.space, log.changes(writer)))
    expect(failed.map(message => message.type === 'reject' && [message.ref === 0, message.code])).toEqual([
      [true, 'ERR_RELAY_STORAGE'],
      [false, 'ERR_RELAY_STORAGE'],
    ])
    // Whether the disk is well again or not: what it holds is not known before the space is read anew.
    broken = false
    const early = await relay.socket()
    expect(codesIn(await early.say(early.openMessage(writer, log.space)))).toEqual(['ERR_RELAY_STORAGE'])
    relay.transport.restart()
    const other = await relay.socket()
    const answers = await other.say(other.openMessage(writer, log.space))
    expect(answers.map(sizeOf)).toEqual([log.size])
    expect(isCurrent(await advanceBy(log.emptyView(), answers))).toBe(true)
  })
})

describe('a large body', () => {
  const body = new Uint8Array(INLINE_BODY_LENGTH + 1000).map((_, i) => i % 251)

  it('goes ahead of its entry in parts, in order, and has the announced hash (R-PART-1)', async () => {
    const { relay, log, writer } = await founded()
    const socket = await reading(relay, writer, log)
    const { space } = log
    const entry = log.changes(writer, { body })
    const put = (offset: number, bytes: Uint8Array): ReplicaMessage => {
      const { bodyHash: hash, bodyLength: length } = entry.decoded
      return { type: 'put-body', ref: socket.nextRef(), space, hash, length, offset, bytes }
    }
    expect(codesIn(await socket.say(socket.push(space, entry)))).toEqual(['ERR_BODY'])
    const start = body.slice(0, INLINE_BODY_LENGTH)
    const rest = body.slice(INLINE_BODY_LENGTH)
    expect(codesIn(await socket.say(put(INLINE_BODY_LENGTH, rest)))).toEqual(['ERR_UNEXPECTED'])
    expect(await socket.say(put(0, start))).toMatchObject([{ type: 'received' }])
    expect(codesIn(await socket.say(put(INLINE_BODY_LENGTH, rest.with(0, 99))))).toEqual(['ERR_BODY'])
    await socket.say(put(0, start), put(INLINE_BODY_LENGTH, rest))
    const [sync] = await socket.say(socket.push(space, log.append(entry)))
    expect((sync as Sync).batch.entries[0]?.body).toBeUndefined()
  })

  it('is fetched in parts from any offset (R-PART-2)', async () => {
    const { relay, log, writer } = await founded()
    const socket = await reading(relay, writer, log)
    const { space } = log
    const entry = log.append(log.changes(writer, { body }))
    const { bodyHash: hash, bodyLength: length } = entry.decoded
    for (let offset = 0; offset < length; offset += INLINE_BODY_LENGTH) {
      const bytes = body.slice(offset, offset + INLINE_BODY_LENGTH)
      await socket.say({ type: 'put-body', ref: socket.nextRef(), space, hash, length, offset, bytes })
    }
    await socket.say(socket.push(space, entry))
    const get = async (index: number, offset: number): Promise<RelayMessage | undefined> =>
      (await socket.say({ type: 'get-body', ref: 99, space, index, offset }))[0]
    const part = async (offset: number): Promise<BodyPart> => (await get(3, offset)) as BodyPart
    expect(await part(0)).toMatchObject({ type: 'body-part', offset: 0 })
    expect(toHex((await part(0)).bytes)).toBe(toHex(body.slice(0, INLINE_BODY_LENGTH)))
    expect(toHex((await part(INLINE_BODY_LENGTH)).bytes)).toBe(toHex(body.slice(INLINE_BODY_LENGTH)))
    expect(await get(3, length)).toMatchObject({ type: 'reject', code: 'ERR_UNEXPECTED' })
    expect(await get(4, 0)).toMatchObject({ type: 'reject', code: 'ERR_UNEXPECTED' })
    // Control bodies are there as well: an invite is opened before the log is read.
    expect(await get(1, 0)).toMatchObject({ bytes: log.entries[1]?.body })
  })
})

describe('what is no message (R-FRAME-1)', () => {
  it('is refused where its reference can be made out, ends the connection where not, and harms nobody else', async () => {
    const { relay, log, writer } = await founded()
    const [bad, good] = [await reading(relay, writer, log), await reading(relay, log.owner, log)]
    const frame = encodeMessage({ type: 'get-body', ref: 77, space: log.space, index: 0, offset: 0 })
    expect(await bad.say(frame.with(0, 0x84).slice(0, -1))).toMatchObject([{ type: 'reject', ref: 77 }])
    expect(bad.closed).toBe(false)
    await bad.say(bytesOf('noise'))
    expect(bad.closed).toBe(true)
    const answers = await good.say(good.push(log.space, log.append(log.changes(log.owner))))
    expect(answers.map(message => message.type)).toEqual(['sync'])
  })
})

describe('what the relay signs', () => {
  it('never goes back in time, whatever its clock does (R-NOTE-7)', async () => {
    const { relay, log, writer } = await founded()
    const socket = await reading(relay, writer, log)
    const before = relay.now
    relay.now -= 3_600_000
    const [sync] = await socket.say(socket.push(log.space, log.append(log.changes(writer))))
    expect(parseNote((sync as Sync).batch.note).checkpoint.time).toBe(before)
  })

  it('is shown when entries and note are durable, not before (R-NOTE-8)', async () => {
    const inner = memoryLogStore()
    const steps: string[] = []
    let release = (): void => {}
    const held = new Promise<void>(resolve => {
      release = resolve
    })
    const store: LogStore = {
      ...inner,
      append: async append => {
        await inner.append(append)
        steps.push('entries')
      },
      putHead: async (space, head) => {
        await held
        await inner.putHead(space, head)
        steps.push('note')
      },
    }
    const relay = testRelay(store)
    const log = new LogBuilder()
    log.append(log.genesis())
    const socket = await relay.socket()
    void socket.say(socket.push(log.space, log.entries[0] as BuiltEntry))
    await new Promise(resolve => setTimeout(resolve, 100))
    expect(steps).toEqual(['entries'])
    expect(socket.received.map(message => message.type)).toEqual(['welcome'])
    release()
    await socket.hear()
    expect(steps).toEqual(['entries', 'note'])
    expect(socket.received.map(message => message.type)).toEqual(['welcome', 'sync'])
  })
})
