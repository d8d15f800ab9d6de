import * as Automerge from '@automerge/automerge/slim'
import { describe, expect, it } from 'vitest'
import type { ErrorCode } from '../../src/errors.ts'
import { decodeReplicaMessage, encodeMessage } from '../../src/relay/message-codec.ts'
import type { RelayMessage, ReplicaMessage, SpaceRequest } from '../../src/relay/messages.ts'
import { type Note, openPair, openWorld, settle, type World } from '../helpers/world.ts'

const type = (note: { change(fn: (doc: Note) => void): void }, at: number, text: string): void =>
  note.change(doc => Automerge.splice(doc, ['body'], at, 0, text))

const HURRY = 0.1
const ZERO = new Uint8Array(32)

interface Traffic {
  /** What replicas sent, by kind. */
  readonly counts: Map<string, number>
  /** Answers a message in the relay's place, which then never gets it. */
  answer: (message: ReplicaMessage) => RelayMessage | undefined
}

function listen(world: World): Traffic {
  const traffic: Traffic = { counts: new Map(), answer: () => undefined }
  const { transport } = world.platform
  const connect = transport.connect.bind(transport)
  transport.connect = (url, events) => {
    const connection = connect(url, events)
    return {
      ...connection,
      send: frame => {
        const message = decodeReplicaMessage(frame)
        traffic.counts.set(message.type, (traffic.counts.get(message.type) ?? 0) + 1)
        const answer = traffic.answer(message)
        if (answer === undefined) connection.send(frame)
        else queueMicrotask(() => events.onFrame(encodeMessage(answer)))
      },
    }
  }
  return traffic
}

function refusal(to: Exclude<SpaceRequest, { type: 'leave' }>, code: ErrorCode, retryAfter = 0): RelayMessage {
  return { type: 'reject', ref: to.ref, space: to.space, code, message: 'not now', position: 0, retryAfter }
}

function refuse(traffic: Traffic, kind: 'open' | 'push' | 'pull', code: ErrorCode, retryAfter = 0): void {
  traffic.answer = message => (message.type === kind ? refusal(message, code, retryAfter) : undefined)
}

describe('a relay that refuses', () => {
  for (const kind of ['open', 'push', 'pull'] as const) {
    for (const code of ['ERR_RATE_LIMITED', 'ERR_RELAY_STORAGE', 'ERR_UNAUTHORIZED', 'ERR_UNKNOWN_SPACE'] as const) {
      it(`${kind} with ${code} is shown, not stormed, and forgiven`, async () => {
        const world = await openWorld({ hurry: HURRY })
        const traffic = listen(world)
        const { ann, bob, annSpace, bobSpace, annNote, bobNote } = await openPair(world)
        await ann.close()
        refuse(traffic, kind, code)
        if (kind === 'open') world.cut()
        type(bobNote, 0, 'kept')
        traffic.counts.clear()
        const syncing = bobSpace.sync({ timeout: world.patience(60_000) })
        // A relay that goes on not to know a device, and lacks no entry, is taken at its word: it has another log.
        const lasting = kind === 'open' && code === 'ERR_UNAUTHORIZED' ? 'ERR_ROLLBACK' : code
        await expect.poll(() => bobSpace.problems.map(problem => problem.code), { timeout: 5000 }).toContain(lasting)
        await new Promise(resolve => setTimeout(resolve, 500))
        // Half a second of the hurried clock is five.
        expect(Math.max(...traffic.counts.values())).toBeLessThan(60)
        traffic.answer = () => undefined
        // What is refused for good is tried again within half a minute.
        await syncing
        expect(bobSpace.status.local).toEqual({ unsaved: 0, pending: 0, sequenced: 0 })
        expect(bobNote.receipt.state).toBe('proven')
        await expect.poll(() => bobSpace.problems, { timeout: 5000 }).toEqual([])
        expect(annSpace.id).toBe(bobSpace.id)
        expect(annNote.id).toBe(bobNote.id)
        await bob.close()
      })
    }
  }

  it('asking for a pause gets it, within reason', async () => {
    const world = await openWorld({ hurry: HURRY })
    const traffic = listen(world)
    const { ann, bob, bobNote } = await openPair(world)
    await ann.close()
    for (const retryAfter of [5_000, 3_600_000]) {
      refuse(traffic, 'push', 'ERR_RATE_LIMITED', retryAfter)
      type(bobNote, 0, 'x')
      await bobNote.saved()
      traffic.counts.clear()
      await new Promise(resolve => setTimeout(resolve, 400))
      expect(traffic.counts.get('push') ?? 0).toBeLessThanOrEqual(1)
    }
    await bob.close()
  })
})

describe('a relay whose frames are of no use', () => {
  it('is tried again at growing intervals, also where it starts out well', async () => {
    const world = await openWorld({ hurry: HURRY })
    const traffic = listen(world)
    const { ann, bob, annSpace, bobSpace, annNote, bobNote } = await openPair(world)
    world.tamper = message =>
      message.type === 'sync' ? [{ type: 'welcome', version: 1, name: 'x', key: ZERO, challenge: ZERO }] : [message]
    type(bobNote, 0, 'x')
    traffic.counts.clear()
    await new Promise(resolve => setTimeout(resolve, 1000))
    // Two replicas, each with delays of 10 … 20, 20 … 40, 40 … 80 ms and so on.
    expect(traffic.counts.get('open') ?? 0).toBeLessThan(20)
    world.tamper = undefined
    for (const space of [bobSpace, annSpace]) await space.sync({ timeout: world.patience(10_000) })
    expect(annNote.doc().body).toBe('x')
    await ann.close()
    await bob.close()
  })
})

describe('a document that the relay does not take', () => {
  it('does not hold up the others', async () => {
    const world = await openWorld({ hurry: HURRY })
    const traffic = listen(world)
    const { ann, bob, annSpace, bobSpace, annNote, bobNote } = await openPair(world)
    const other = await bobSpace.createDocument<Note>({ title: '', body: '' }, { name: 'other' })
    await settle(bobSpace, annSpace)
    bobSpace.pause()
    type(bobNote, 0, 'refused')
    type(other, 0, 'taken')
    // Refused as long as it comes first, with others behind it.
    traffic.answer = message =>
      message.type === 'push' && message.entries.length > 1 ? refusal(message, 'ERR_INVALID_ENTRY') : undefined
    bobSpace.resume()
    await bobNote.saved()
    await expect.poll(() => bobSpace.problems, { timeout: 5000 }).not.toEqual([])
    await other.receipt.proven({ timeout: world.patience(5000) })
    traffic.answer = () => undefined
    await bobSpace.sync({ timeout: world.patience(10_000) })
    await settle(annSpace)
    expect(bobSpace.problems).toEqual([])
    expect(annNote.doc().body).toBe('refused')
    await ann.close()
    await bob.close()
  })
})

describe('a relay that says nothing', () => {
  it('of entries that it took is asked for the log anew', async () => {
    const world = await openWorld({ hurry: HURRY })
    const traffic = listen(world)
    const { ann, bob, annSpace, bobSpace, annNote, bobNote } = await openPair(world)
    let lost = 0
    world.tamper = message =>
      message.type === 'sync' && message.batch.entries.length > 0 && lost++ < 2 ? [] : [message]
    traffic.counts.clear()
    type(bobNote, 0, 'a')
    await expect.poll(() => lost).toBeGreaterThan(1)
    type(bobNote, 0, 'b')
    for (const space of [bobSpace, annSpace]) await space.sync({ timeout: world.patience(10_000) })
    expect(traffic.counts.get('push') ?? 0).toBeLessThan(40)
    expect(annNote.doc().body).toBe('ba')
    await expect.poll(() => bobSpace.problems).toEqual([])
    await ann.close()
    await bob.close()
  })

  it('to an opening is left, and found again', async () => {
    const world = await openWorld({ hurry: 0.02 })
    const traffic = listen(world)
    const { ann, bob, annSpace, bobSpace, annNote, bobNote } = await openPair(world)
    world.tamper = message => (message.type === 'welcome' ? [message] : [])
    world.cut()
    type(bobNote, 0, 'patience')
    traffic.counts.clear()
    await expect.poll(() => traffic.counts.get('open') ?? 0, { timeout: 8000 }).toBeGreaterThan(4)
    world.tamper = undefined
    for (const space of [bobSpace, annSpace]) await space.sync({ timeout: world.patience(5000) })
    expect(annNote.doc().body).toBe('patience')
    await ann.close()
    await bob.close()
  })

  it('for longer than a heartbeat between the parts of a large body is not left', async () => {
    const world = await openWorld({ hurry: 0.02 })
    const { ann, bob, annSpace, bobSpace, annNote, bobNote } = await openPair(world)
    bobSpace.pause()
    let text = ''
    for (let i = 0; i < 200_000; i++) text += String.fromCharCode(0x4e00 + ((i * 7919) % 20_000))
    type(annNote, 0, text)
    await annSpace.sync({ timeout: world.patience(20_000) })
    const { transport } = world.platform
    const connect = transport.connect.bind(transport)
    let connections = 0
    transport.connect = (url, events) => {
      connections++
      return connect(url, {
        ...events,
        // Half a second for each part; one that says nothing for 800 ms is given up.
        onFrame: frame => void setTimeout(() => events.onFrame(frame), frame.length > 100_000 ? 500 : 0),
      })
    }
    bobSpace.resume()
    await expect.poll(() => bobNote.doc().body.length, { timeout: 15_000 }).toBe(text.length)
    expect(connections).toBeLessThanOrEqual(1)
    await ann.close()
    await bob.close()
  })
})
