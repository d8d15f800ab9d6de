import { type BenchOptions, type Figure, MissingInput, median } from './measure.ts'
import { AuthoredSpace } from './relay-author.ts'
import { Client } from './relay-client.ts'
import { type Host, startHost } from './relay-host.ts'
import type { BenchPlaces } from './relay-stores.ts'

const PROCESSES = [1, 2, 3]
const WRITERS = 30
const BODY = 200
const PUSHES = 30
const ROUNDS = 3

/** Several processes of one relay on one PostgreSQL; a writer talks to one of them, whichever space is his. */
export async function benchProcesses({ say, only }: BenchOptions, places: BenchPlaces): Promise<readonly Figure[]> {
  const postgres = places.stores.find(({ kind }) => kind === 'postgres')
  if (postgres === undefined) {
    const message = 'several processes need PostgreSQL, which was not found'
    if (only !== undefined) throw new MissingInput(message)
    say(`left out: ${message}`)
    return []
  }
  const figures: Figure[] = []
  for (const [name, count] of [
    ['one space', 1],
    [`${WRITERS} spaces`, WRITERS],
  ] as const) {
    let single: number | undefined
    for (const processes of PROCESSES) {
      say(`${processes} processes, ${name}`)
      const place = postgres.fresh()
      const data = places.folder()
      const hosts: Host[] = []
      // The first one makes the key that all of them have.
      for (let i = 0; i < processes; i++) hosts.push(await startHost(data, place))
      const value = await throughput(hosts, count)
      await Promise.all(hosts.map(host => host.stop()))
      single ??= value
      figures.push({
        case: `appends, postgres, ${processes} process${processes === 1 ? '' : 'es'}, ${name}`,
        value,
        unit: 'entries/s',
        floor: single,
      })
    }
  }
  return figures
}

/** Of writers that each have one push under way. @returns entries per second */
async function throughput(hosts: readonly Host[], count: number): Promise<number> {
  const hostOf = (number: number): Host => hosts[number % hosts.length] as Host
  const spaces = Array.from({ length: count }, () => new AuthoredSpace(hostOf(0).relay))
  const creator = await Client.connect(hostOf(0).url)
  for (const space of spaces) await creator.create(space)
  await creator.close()
  const clients: { readonly client: Client; readonly space: AuthoredSpace; readonly writer: number }[] = []
  for (let writer = 0; writer < WRITERS; writer++) {
    const client = await Client.connect(hostOf(writer).url)
    const space = spaces[writer % count] as AuthoredSpace
    await client.open(space)
    clients.push({ client, space, writer })
  }
  const rates: number[] = []
  for (let round = 0; round <= ROUNDS; round++) {
    for (const { client, space, writer } of clients) client.prepare(space, writer, PUSHES, BODY)
    const start = performance.now()
    await Promise.all(clients.map(({ client }) => client.pushAll()))
    if (round > 0) rates.push((1000 * WRITERS * PUSHES) / (performance.now() - start))
  }
  await Promise.all(clients.map(({ client }) => client.close()))
  return median(rates)
}
