import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { type BenchOptions, type Figure, median } from './measure.ts'
import { AuthoredSpace } from './relay-author.ts'
import { Client } from './relay-client.ts'
import { type Host, startHost } from './relay-host.ts'
import type { BenchPlaces } from './relay-stores.ts'

const BODY = 200
const WARM_UP = 30
const PUSHES = 300
const SUBSCRIBERS = 1000
const FAN_OUTS = 15
const IDLE = 2000
/** Connections that are made at once. */
const AT_ONCE = 50
/** How long others flood their own space before anything is measured, in milliseconds. */
const FLOOD_LEAD = 500

/** From one device to the other, over real sockets and with everything durable in between. */
export async function benchLatency({ say }: BenchOptions, places: BenchPlaces): Promise<readonly Figure[]> {
  const figures: Figure[] = []
  for (const { kind, fresh } of places.stores) {
    say(`${kind}: ${PUSHES} pushes, one after the other`)
    const host = await startHost(places.folder(), fresh())
    const space = new AuthoredSpace(host.relay)
    const [writer, peer] = [await Client.connect(host.url), await Client.connect(host.url)]
    await writer.create(space)
    await writer.open(space)
    await peer.open(space)
    const acknowledged: number[] = []
    const shown: number[] = []
    writer.prepare(space, 0, WARM_UP + PUSHES, BODY)
    for (let i = 0; i < WARM_UP + PUSHES; i++) {
      const start = performance.now()
      const arrival = peer.reach(peer.position + 1).then(() => performance.now() - start)
      const [own, other] = await Promise.all([writer.pushNext(), arrival])
      if (i < WARM_UP) continue
      acknowledged.push(own)
      shown.push(other)
    }
    figures.push(...quantiles(`push to acknowledgement, ${kind}`, acknowledged))
    figures.push(...quantiles(`push to the other device, ${kind}`, shown))
    await Promise.all([writer.close(), peer.close()])
    await host.stop()
  }
  return figures
}

/** One entry to a thousand readers of its space. */
export async function benchFanOut({ say }: BenchOptions, places: BenchPlaces): Promise<readonly Figure[]> {
  say(`${SUBSCRIBERS} subscribers of one space`)
  const { host, space, writer } = await hosted(places)
  const readers = await connected(host, [space], SUBSCRIBERS)
  const took: number[] = []
  const first: number[] = []
  for (let i = 0; i < 3 + FAN_OUTS; i++) {
    writer.prepare(space, 0, 1, BODY)
    const size = writer.position + 1
    const start = performance.now()
    const arrivals = readers.map(reader => reader.reach(size).then(() => performance.now() - start))
    await writer.pushNext()
    const times = await Promise.all(arrivals)
    if (i < 3) continue
    first.push(Math.min(...times))
    took.push(Math.max(...times))
  }
  await Promise.all([writer, ...readers].map(client => client.close()))
  await host.stop()
  return [
    { case: `push to the first of ${SUBSCRIBERS} subscribers`, value: median(first), unit: 'ms' },
    { case: `push to the last of ${SUBSCRIBERS} subscribers`, value: median(took), unit: 'ms' },
    {
      case: `messages to ${SUBSCRIBERS} subscribers`,
      value: (1000 * SUBSCRIBERS) / median(took),
      unit: 'messages/s',
    },
  ]
}

/** What an authenticated socket costs that has a space open and says nothing. */
export async function benchSockets({ say }: BenchOptions, places: BenchPlaces): Promise<readonly Figure[]> {
  say(`${IDLE} sockets that do nothing`)
  const { host, space, writer } = await hosted(places)
  // The first ones bring what all of them share.
  const warm = await connected(host, [space], 100)
  const before = await host.measure()
  const idle = await connected(host, [space], IDLE)
  const after = await host.measure()
  await Promise.all([writer, ...warm, ...idle].map(client => client.close()))
  await host.stop()
  return [
    { case: 'idle socket, objects and buffers', value: (after.held - before.held) / IDLE, unit: 'bytes' },
    { case: 'idle socket, memory of the process', value: (after.resident - before.resident) / IDLE, unit: 'bytes' },
  ]
}

/** Acknowledgements in a quiet space, while another one of the same relay is written to as fast as it takes it. */
export async function benchNeighbours({ say }: BenchOptions, places: BenchPlaces): Promise<readonly Figure[]> {
  const figures: Figure[] = []
  for (const { kind, fresh } of places.stores) {
    say(`${kind}: a quiet space beside one that is flooded`)
    const host = await startHost(places.folder(), fresh())
    const { space, writer } = await createdOn(host)
    writer.prepare(space, 0, WARM_UP + 2 * PUSHES, BODY)
    for (let i = 0; i < WARM_UP; i++) await writer.pushNext()
    const alone = await spaced(writer)
    const flood = await startFlood(host)
    const beside = await spaced(writer)
    await flood.stop()
    await writer.close()
    await host.stop()
    for (const [name, part] of [
      ['p50', 0.5],
      ['p99', 0.99],
    ] as const) {
      figures.push({
        case: `a quiet space beside a flooded one, ${name}, ${kind}`,
        value: quantile(beside, part),
        unit: 'ms',
        floor: quantile(alone, part),
      })
    }
  }
  return figures
}

/** Pushes that leave each other room. */
async function spaced(writer: Client): Promise<readonly number[]> {
  const took: number[] = []
  for (let i = 0; i < PUSHES; i++) {
    took.push(await writer.pushNext())
    await new Promise(resolve => setTimeout(resolve, 2))
  }
  return took
}

/** Many writers of one space, in a process of their own, so that they do not slow down who is measured. */
async function startFlood({ url, relay }: Host): Promise<{ stop(): Promise<void> }> {
  const program = fileURLToPath(new URL('./relay-flood-process.js', import.meta.url))
  const { name, key } = relay
  const child = fork(program, ['--url', url, '--name', name, '--key', Buffer.from(key).toString('hex')])
  await once(child, 'message')
  await new Promise(resolve => setTimeout(resolve, FLOOD_LEAD))
  return {
    async stop() {
      const ended = once(child, 'exit')
      child.disconnect()
      await ended
    },
  }
}

interface Hosted {
  readonly host: Host
  readonly space: AuthoredSpace
  /** Has it open. */
  readonly writer: Client
}

async function hosted(places: BenchPlaces): Promise<Hosted> {
  const [sqlite] = places.stores
  if (sqlite === undefined) throw new Error('there is no store')
  const host = await startHost(places.folder(), sqlite.fresh())
  return { host, ...(await createdOn(host)) }
}

async function createdOn(host: Host): Promise<{ readonly space: AuthoredSpace; readonly writer: Client }> {
  const space = new AuthoredSpace(host.relay)
  const writer = await Client.connect(host.url)
  await writer.create(space)
  await writer.open(space)
  return { space, writer }
}

async function connected(host: Host, spaces: readonly AuthoredSpace[], count: number): Promise<readonly Client[]> {
  const clients: Client[] = []
  while (clients.length < count) {
    const next = Array.from({ length: Math.min(AT_ONCE, count - clients.length) }, async (_, i) => {
      const client = await Client.connect(host.url)
      await client.open(spaces[i % spaces.length] as AuthoredSpace)
      return client
    })
    clients.push(...(await Promise.all(next)))
  }
  return clients
}

function quantiles(name: string, values: readonly number[]): readonly Figure[] {
  return [
    { case: `${name}, p50`, value: quantile(values, 0.5), unit: 'ms' },
    { case: `${name}, p99`, value: quantile(values, 0.99), unit: 'ms' },
  ]
}

function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] as number
}
