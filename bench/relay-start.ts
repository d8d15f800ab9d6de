import { type BenchOptions, type Figure, median } from './measure.ts'
import { AuthoredSpace } from './relay-author.ts'
import { Client } from './relay-client.ts'
import { fillSpace } from './relay-fill.ts'
import { startHost } from './relay-host.ts'
import { type BenchPlaces, type StorePlace, type Stores, storeAt } from './relay-stores.ts'

const ROUNDS = 5
const SPACES = 1000
/** Entries of each of them. */
const SHORT = 10
const LONG = 1_000_000
/** A log that is long, but not very. */
const BASE = 1000
/** What varies by itself from start to start. */
const TOLERANCE = 1.5

interface Prepared {
  readonly data: string
  readonly place: StorePlace
  /** One of the spaces. */
  readonly space: AuthoredSpace
  readonly size: number
}

/** From the start of the process until a device has the first space open: nothing of it may grow with the log. */
export async function benchStart({ say }: BenchOptions, places: BenchPlaces): Promise<readonly Figure[]> {
  const figures: Figure[] = []
  for (const stores of places.stores) {
    const { kind } = stores
    say(`${kind}: ${SPACES} spaces of ${SHORT} entries`)
    const one = await prepared(stores, places, 1, SHORT)
    const many = await prepared(stores, places, SPACES, SHORT)
    figures.push(await compared(`start with ${SPACES} spaces, against one, ${kind}`, many, one))
    say(`${kind}: one space of ${LONG.toLocaleString('en')} entries, which takes a while to make`)
    const base = await prepared(stores, places, 1, BASE)
    const long = await prepared(stores, places, 1, LONG)
    const name = `start with ${LONG.toLocaleString('en')} entries, against ${BASE.toLocaleString('en')}, ${kind}`
    figures.push(await compared(name, long, base))
  }
  return figures
}

async function prepared(stores: Stores, places: BenchPlaces, spaces: number, size: number): Promise<Prepared> {
  const data = places.folder()
  const place = stores.fresh()
  // The first start makes the relay's key, which every genesis names.
  const host = await startHost(data, place)
  await host.stop()
  const store = storeAt(place)
  await store.open()
  const made = Array.from({ length: spaces }, () => new AuthoredSpace(host.relay))
  for (const space of made) await fillSpace(store, space, size)
  await store.close()
  const result = { data, place, space: made[made.length >> 1] as AuthoredSpace, size }
  // Whoever opens it first has it signed.
  await timeOf(result)
  return result
}

async function compared(name: string, larger: Prepared, smaller: Prepared): Promise<Figure> {
  const pairs: { readonly value: number; readonly floor: number }[] = []
  for (let round = 0; round < ROUNDS; round++) pairs.push({ value: await timeOf(larger), floor: await timeOf(smaller) })
  return {
    case: name,
    value: median(pairs.map(pair => pair.value)),
    unit: 'ms',
    floor: median(pairs.map(pair => pair.floor)),
    ratio: median(pairs.map(pair => pair.value / pair.floor)),
    ratioAtMost: TOLERANCE,
  }
}

async function timeOf({ data, place, space, size }: Prepared): Promise<number> {
  const start = performance.now()
  const host = await startHost(data, place)
  const client = await Client.connect(host.url)
  await client.open(space, size)
  const took = performance.now() - start
  await client.close()
  await host.stop()
  return took
}
