import { setImmediate as nextTurn } from 'node:timers/promises'
import * as Automerge from '@automerge/automerge/slim'
import { type LoopbackConnection, type LoopbackRelay, loopbackRelay } from 'sealog-relay/testing'
import { expect, it, type MockInstance, vi } from 'vitest'
import { type ConcurrentTrace, type Edit, readTrace } from '../../examples/demo/traces.ts'
import { DocumentCore } from '../../src/crdt/document-core.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import type { SyncLimits } from '../../src/crdt/sync-limits.ts'
import { defaultVerifier, signingKeyFromSeed } from '../../src/crypto/sign-backend.ts'
import type { Environment } from '../../src/environment.ts'
import { platformEnvironment } from '../../src/environment-platform.ts'
import { Replica } from '../../src/replica.ts'
import type { Space } from '../../src/space.ts'
import type { SpaceDocument } from '../../src/space-document.ts'
import { initializeAutomerge } from '../helpers/automerge.ts'
import { describeShared } from '../helpers/shared.ts'
import { settleKeys } from '../helpers/world.ts'

/** Delays below this are there to gather changes: they end when the test says so, in milliseconds. */
const SHORT_DELAY = 1000
/** Longest wait for one step, in milliseconds. */
const PATIENCE = 20_000
const TIMEOUT = 600_000

// A replica packs what waits into as few entries as it can; here every change becomes an entry of its own.
vi.mock('../../src/crdt/payload.ts', async load => {
  const original = await load<typeof import('../../src/crdt/payload.ts')>()
  const buildChangesPayloads: typeof original.buildChangesPayloads = (source, changes, options) =>
    original.buildChangesPayloads(source, changes, { ...options, maxChanges: 1 })
  return { ...original, buildChangesPayloads }
})

// The same signatures, in a tenth of the time.
vi.mock('../../src/crypto/sign-backend.ts', async load => {
  const original = await load<typeof import('../../src/crypto/sign-backend.ts')>()
  return { ...original, nobleSigningKey: (seed: Uint8Array) => original.signingKeyFromSeed(seed) }
})

interface Note {
  text: string
}

type Who = 0 | 1

/** A transaction, and how many of the other person's its author had seen. */
interface Typing {
  readonly edits: readonly Edit[]
  readonly seen: number
}

/** Who types, in an order in which nothing comes before what it builds on; and what each of the two types. */
interface Script {
  readonly order: readonly Who[]
  readonly parts: readonly [readonly Typing[], readonly Typing[]]
}

/** A person's replica, with its connection and its short delays in the hands of the test. */
interface Device {
  readonly replica: Replica
  readonly connection: () => LoopbackConnection
  /** Ends the delays under way. */
  readonly ring: () => void
}

/** One person at a replica of their own. */
interface Person extends Device {
  readonly who: Who
  readonly space: Space
  readonly note: SpaceDocument<Note>
  readonly part: readonly Typing[]
  /** Numbers of own transactions after which the other person has once seen just these, ascending. */
  readonly stops: readonly number[]
  typed: number
  /** Own transactions in the relay's log. */
  logged: number
  /** Transactions of the other person that this replica has applied. */
  seen: number
  /** Stretches of the log that this replica has applied. */
  applied: number
}

/** What one push brought into the log. */
interface Stretch {
  readonly who: Who
  readonly count: number
}

/**
 * With two people, what the author of a transaction has seen is all of their own and a first part of the other's: one
 * number says it.
 */
function scriptOf(trace: ConcurrentTrace): Script {
  const parts: [Typing[], Typing[]] = [[], []]
  const past: (readonly [number, number])[] = []
  const order = trace.transactions.map(({ agent, parents, edits }): Who => {
    const who = agent === 0 ? 0 : 1
    const seenOf = (author: Who): number => Math.max(0, ...parents.map(parent => past[parent]?.[author] ?? 0))
    const seen = seenOf(otherThan(who))
    if (seenOf(who) !== parts[who].length) throw new Error('a transaction without its own predecessor')
    const typed = parts[who].push({ edits, seen })
    past.push(who === 0 ? [typed, seen] : [seen, typed])
    return who
  })
  return { order, parts }
}

function otherThan(who: Who): Who {
  return who === 0 ? 1 : 0
}

async function until(person: Person, what: string, holds: () => boolean): Promise<void> {
  for (const deadline = Date.now() + PATIENCE; !holds(); await nextTurn()) {
    if (Date.now() < deadline) continue
    throw new Error(`${what} does not come: ${JSON.stringify([person.space.status, person.space.problems])}`)
  }
}

/** Every entry of the log is to be one of the history. */
const NEVER: SyncLimits = {
  skip: { join: Number.POSITIVE_INFINITY, comeback: Number.POSITIVE_INFINITY },
  snapshot: { entries: Number.POSITIVE_INFINITY, bytes: Number.POSITIVE_INFINITY, delay: 0 },
  cosign: { entries: Number.POSITIVE_INFINITY },
}

async function openDevice(relay: LoopbackRelay, name: string): Promise<Device> {
  const connections: LoopbackConnection[] = []
  const connect: LoopbackRelay['connect'] = (url, events) => {
    const connection = relay.connect(url, events)
    connections.push(relay.connections.at(-1) as LoopbackConnection)
    return connection
  }
  const delayed = new Set<() => void>()
  const schedule: Environment['schedule'] = (ms, task) => {
    if (ms < SHORT_DELAY) delayed.add(task)
    return () => delayed.delete(task)
  }
  const environment = { ...platformEnvironment(), schedule }
  const platform = { transport: { connect }, environment, verifier: await defaultVerifier(), limits: NEVER }
  const options = { store: memoryStore(), relay: 'ws://relay.test', profile: { name } }
  return {
    replica: await Replica.open(options, platform),
    connection: () => {
      const [live, ...others] = connections.filter(connection => !connection.isOver)
      if (live === undefined || others.length > 0) throw new Error('expected one connection')
      return live
    },
    ring: () => {
      const due = [...delayed]
      delayed.clear()
      for (const task of due) task()
    },
  }
}

/** Two devices, a space, and in it a note that is empty on both. */
async function meet(devices: readonly [Device, Device], script: Script): Promise<[Person, Person]> {
  const [ann, bob] = devices
  const annSpace = await ann.replica.createSpace({ name: 'friends' })
  const annNote = await annSpace.createDocument<Note>({ text: '' }, { name: 'forever' })
  await annSpace.sync()
  const bobSpace = await bob.replica.joinSpace(await annSpace.invite())
  const bobNote = await bobSpace.openDocument<Note>(annNote.id)
  await annSpace.sync()
  await settleKeys(annSpace)
  await bobSpace.sync()
  const person = (who: Who, space: Space, note: SpaceDocument<Note>): Person => {
    const [part, others] = [script.parts[who], script.parts[otherThan(who)]]
    const stops = [...new Set([...others.map(typing => typing.seen), part.length])].sort((a, b) => a - b)
    return { ...devices[who], who, space, note, part, stops, typed: 0, logged: 0, seen: 0, applied: 0 }
  }
  return [person(0, annSpace, annNote), person(1, bobSpace, bobNote)]
}

/** Delivers everything to everybody until `task` is done. */
async function driven<T>(relay: LoopbackRelay, devices: readonly Device[], task: Promise<T>): Promise<T> {
  const state = { isOver: false }
  void task.finally(() => Object.assign(state, { isOver: true })).catch(() => {})
  while (!state.isOver) {
    for (const { ring } of devices) ring()
    await relay.deliverAll()
  }
  return task
}

/** A push ends where the other person has once seen just so much: whatever is in one push is seen together. */
function pushUpToStops(people: readonly Person[]): MockInstance {
  const pending = DocumentCore.prototype.pending
  const byActor = new Map<string, Person>(people.map(person => [Automerge.getActorId(person.note.doc()), person]))
  return vi.spyOn(DocumentCore.prototype, 'pending').mockImplementation(function (this: DocumentCore) {
    const changes = pending.call(this)
    const person = byActor.get(this.actor)
    if (person === undefined) return changes
    const stop = person.stops.find(count => count > person.logged) ?? person.logged
    return changes.slice(0, stop - person.logged)
  })
}

/**
 * Replays a history of two people such that each transaction is typed on a replica that has applied exactly what its
 * author had seen, and becomes one entry. The order of the log is one of many that the history allows: whoever needs a
 * transaction of the other's makes it come.
 */
class Replay {
  readonly #relay: LoopbackRelay
  readonly #people: readonly [Person, Person]
  readonly #log: Stretch[] = []
  /** Size of the log before the first stretch, after the second and so on. */
  readonly #sizes: number[]

  constructor(relay: LoopbackRelay, people: readonly [Person, Person]) {
    this.#relay = relay
    this.#people = people
    this.#sizes = [people[0].space.status.confirmed.size]
  }

  /** The transactions of this person up to number `count`, unless they typed them already. */
  async type(who: Who, count: number): Promise<void> {
    const person = this.#people[who]
    if (person.typed >= count) return
    const { seen } = person.part[person.typed] as Typing
    while (person.seen < seen) {
      await this.#append(this.#people[otherThan(who)], person.seen + 1)
      await this.#deliver(person)
    }
    this.#type(person)
  }

  /** Everything gets to everybody. */
  async finish(): Promise<void> {
    for (const person of this.#people) await this.#append(person, person.typed)
    for (const person of this.#people) while (person.applied < this.#log.length) await this.#deliver(person)
  }

  /** Brings at least the first `count` transactions of a person into the log. */
  async #append(person: Person, count: number): Promise<void> {
    const connection = person.connection()
    while (person.logged < count) {
      // A replica has one push on its way at a time: the next one waits for the last one's acknowledgement.
      while (this.#log.findLastIndex(({ who }) => who === person.who) >= person.applied) await this.#deliver(person)
      await until(person, 'a push', () => {
        person.ring()
        return connection.queued('toRelay') > 0
      })
      const pushed = person.space.status.local.sequenced
      connection.deliverNext('toRelay')
      await this.#relay.settle()
      this.#log.push({ who: person.who, count: pushed })
      this.#sizes.push((this.#sizes.at(-1) as number) + pushed)
      person.logged += pushed
    }
  }

  /** The next stretch of the log, to a person who types before whatever was typed without it. */
  async #deliver(person: Person): Promise<void> {
    const { who, count } = this.#log[person.applied] as Stretch
    const isOwn = who === person.who
    if (!isOwn) while (person.part[person.typed]?.seen === person.seen) this.#type(person)
    const connection = person.connection()
    await until(person, 'an answer', () => connection.queued('toReplica') > 0)
    connection.deliverNext('toReplica')
    const before = this.#sizes[person.applied] as number
    person.applied++
    if (!isOwn) person.seen += count
    await until(person, 'what was delivered', () => person.space.status.confirmed.size > before)
    // More than that would be more than somebody had seen.
    if (person.space.status.confirmed.size !== this.#sizes[person.applied]) throw new Error('not one stretch')
  }

  #type(person: Person): void {
    const { edits, seen } = person.part[person.typed] as Typing
    if (seen !== person.seen) throw new Error(`typed after ${person.seen} transactions of the other, not after ${seen}`)
    person.note.change(doc => {
      for (const [position, deleted, inserted] of edits) Automerge.splice(doc, ['text'], position, deleted, inserted)
    })
    person.typed++
  }
}

describeShared('a recorded history of two people', ['traces', 'friendsforever.json.gz'], path => {
  it('goes through the whole stack entry by entry, and ends with its text', { timeout: TIMEOUT }, async () => {
    const trace = readTrace(path)
    if (trace.kind !== 'concurrent') throw new Error('expected a history of two people')
    const script = scriptOf(trace)
    await initializeAutomerge()
    const verifier = await defaultVerifier()
    const environment = platformEnvironment()
    const signingKey = signingKeyFromSeed(environment.random(32))
    const relay = loopbackRelay({ environment, delivery: 'manual', verifier, signingKey })
    const devices = [await openDevice(relay, 'Ann'), await openDevice(relay, 'Bob')] as const
    const people = await driven(relay, devices, meet(devices, script))
    await relay.deliverAll()

    const outbox = pushUpToStops(people)
    const before = people[0].space.status.confirmed.size
    const replay = new Replay(relay, people)
    const typed: [number, number] = [0, 0]
    for (const who of script.order) await replay.type(who, ++typed[who])
    await replay.finish()
    outbox.mockRestore()

    for (const { note, space } of people) {
      expect(note.doc().text === trace.endContent).toBe(true)
      expect(space.status.confirmed.size - before).toBe(trace.transactions.length)
      expect(space.problems).toEqual([])
    }
    expect(people[0].note.heads()).toEqual(people[1].note.heads())
    for (const { replica } of devices) await replica.close()
    await relay.close()
  })
})
