import { setTimeout as sleep } from 'node:timers/promises'
// Brings the WASM along, which replicas on a platform of one's own do not do.
import '@automerge/automerge'
import {
  decodeRelayMessage,
  defaultVerifier,
  type Environment,
  platformEnvironment,
  type SignatureVerifier,
  type Transport,
} from 'sealog/protocol'
import { memoryStore, Replica } from 'sealog/testing'
import { type LoopbackRelay, loopbackRelay } from 'sealog-relay/testing'
import { type Figure, median, timed } from './measure.ts'

const ADDRESS = 'ws://relay.test'
/** Of these, the median is reported. */
const MEASURED_JOINS = 5
/** Entries that have to lie between two rotations of one member, where there is no reason for one on record. */
const ROTATION_DISTANCE = 16
/** Longest wait for anything, in milliseconds. */
const PATIENCE = 60_000

type Space = Awaited<ReturnType<Replica['createSpace']>>

interface Traffic {
  messages: number
  up: number
  down: number
  /** Of it, wraps with their proofs. */
  keys: number
}

interface Party {
  readonly replica: Replica
  readonly traffic: Traffic
}

/**
 * A space that grows to so many devices, each a replica that joins by an instant invite, over a relay in this process;
 * then one who is approved, and a rotation that all are given. Of a large space most devices are away: what they would
 * do at the same time, each on a machine of its own, is not to be waited for here.
 * @param present devices that stay
 */
export async function benchJoins(devices: number, present: number): Promise<readonly Figure[]> {
  const environment = platformEnvironment()
  const verifier = await defaultVerifier()
  const relay = loopbackRelay({ environment, verifier })
  const parties: Party[] = []
  const enter = async (): Promise<Party> => {
    const party = await open(relay, environment, verifier)
    parties.push(party)
    return party
  }
  try {
    const founder = await enter()
    const space = await founder.replica.createSpace({ name: 'bench' })
    const instant: Joined[] = []
    for (let count = 1; count < devices - 1; count++) {
      const link = await space.invite()
      const party = await enter()
      instant.push(await join(party, () => party.replica.joinSpace(link)))
      if (parties.length > present) await leave(parties, party)
    }
    const link = await space.invite({ kind: 'approved' })
    const guest = await enter()
    const approved = await join(guest, async () => {
      const joining = guest.replica.joinSpace(link)
      await until(() => space.requests().length > 0)
      await space.approve(space.requests()[0]?.id ?? 0)
      return joining
    })
    const name = (what: string): string => `${devices} devices, end to end: ${what}`
    return [
      ...joinFigures(name('join, instant'), instant.slice(-MEASURED_JOINS)),
      ...joinFigures(name('join, approved'), [approved]),
      ...(await benchRotation(name, founder, space, guest, approved.space)),
    ]
  } finally {
    for (const { replica } of parties) await replica.close()
    await relay.close()
  }
}

async function benchRotation(
  name: (what: string) => string,
  founder: Party,
  space: Space,
  guest: Party,
  joined: Space,
): Promise<readonly Figure[]> {
  // What the joins have made due is done first; then this one is for its own sake.
  const note = await space.createDocument<{ count: number }>({ count: 0 }, { name: 'note' })
  for (let i = 0; i < ROTATION_DISTANCE; i++) {
    note.change(doc => {
      doc.count = i
    })
    await space.sync()
  }
  await joined.sync()
  const epochs = await epochsOf(joined)
  const [author, other] = [{ ...founder.traffic }, { ...guest.traffic }]
  const time = await timed(async () => {
    await space.rotateKeys()
    note.change(doc => {
      doc.count = -1
    })
    await space.sync()
    await joined.sync()
  })
  if ((await epochsOf(joined)) <= epochs) throw new Error('no new epoch has arrived')
  return [
    { case: name('rotate, write, and read that elsewhere'), value: time, unit: 'ms' },
    { case: name('of it, up from its author'), value: founder.traffic.up - author.up, unit: 'bytes' },
    { case: name('of it, down to another device'), value: guest.traffic.down - other.down, unit: 'bytes' },
    { case: name('of it, wrap and proof'), value: guest.traffic.keys - other.keys, unit: 'bytes' },
  ]
}

async function epochsOf(space: Space): Promise<number> {
  return (await space.history()).filter(({ type }) => type === 'rotate').length
}

interface Joined {
  readonly space: Space
  readonly time: number
  readonly traffic: Traffic
}

async function join({ traffic }: Party, task: () => Promise<Space>): Promise<Joined> {
  const start = performance.now()
  const space = await task()
  return { space, time: performance.now() - start, traffic: { ...traffic } }
}

function joinFigures(name: string, joins: readonly Joined[]): readonly Figure[] {
  const of = (read: (joined: Joined) => number): number => median(joins.map(read))
  return [
    { case: name, value: of(({ time }) => time), unit: 'ms' },
    { case: `${name}: messages`, value: of(({ traffic }) => traffic.messages), unit: 'messages' },
    { case: `${name}: up`, value: of(({ traffic }) => traffic.up), unit: 'bytes' },
    { case: `${name}: down`, value: of(({ traffic }) => traffic.down), unit: 'bytes' },
  ]
}

async function leave(parties: Party[], party: Party): Promise<void> {
  parties.splice(parties.indexOf(party), 1)
  await party.replica.close()
}

async function until(isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + PATIENCE
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error('nothing came')
    await sleep(1)
  }
}

async function open(relay: LoopbackRelay, environment: Environment, verifier: SignatureVerifier): Promise<Party> {
  const traffic: Traffic = { messages: 0, up: 0, down: 0, keys: 0 }
  const platform = { transport: metered(relay, traffic), environment, verifier }
  const replica = await Replica.open({ store: memoryStore(), relay: ADDRESS }, platform)
  return { replica, traffic }
}

function metered(inner: Transport, traffic: Traffic): Transport {
  return {
    connect: (url, events) => {
      const connection = inner.connect(url, {
        ...events,
        onFrame: frame => {
          traffic.messages++
          traffic.down += frame.length
          if (decodeRelayMessage(frame).type === 'keys') traffic.keys += frame.length
          events.onFrame(frame)
        },
      })
      return {
        close: () => connection.close(),
        send: frame => {
          traffic.messages++
          traffic.up += frame.length
          connection.send(frame)
        },
      }
    },
  }
}
