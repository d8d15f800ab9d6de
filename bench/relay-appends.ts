import { platformEnvironment } from 'sealog/protocol'
import { DEFAULT_LIMITS, type LogStore } from 'sealog-relay'
import { Gate, NO_METER, nodeSigningKey, nodeVerifier, Relay } from 'sealog-relay/testing'
import { type BenchOptions, type Figure, median } from './measure.ts'
import { AuthoredSpace } from './relay-author.ts'
import { BENCH_LIMITS } from './relay-quotas.ts'
import { type BenchPlaces, type Stores, storeAt } from './relay-stores.ts'
import { Writer } from './relay-writers.ts'
import { bytesOf } from './synthetic-log.ts'

const WRITERS = [1, 10, 100]
const BODIES = [200, 4 * 1024, 64 * 1024]
/** Rounds that count, after one that does not: in each the relay's turn, then those of the bare stores. */
const ROUNDS = 5
/** Entries and bytes of bodies of one round, at most; but two groups at least. */
const ROUND_ENTRIES = 400
const ROUND_BYTES: number = 4 * 1024 * 1024
const ONE_BY_ONE = 40
const NAME = 'relay.test'

/** A call that changed the store. */
type Write = (store: LogStore) => Promise<void>

/**
 * Durable appends, from the frame that asks for one to the frame that acknowledges it. The floor are bare inserts on a
 * store of the same kind: the very rows that the relay stored, in the very transactions, one behind the other; once with
 * the rows of what it signed, which are transactions of their own, and once without.
 */
export async function benchAppends({ say }: BenchOptions, places: BenchPlaces): Promise<readonly Figure[]> {
  const figures: Figure[] = []
  for (const stores of places.stores) {
    for (const writers of WRITERS) {
      for (const length of BODIES) {
        say(`${stores.kind}: ${writers} writers, bodies of ${length} bytes`)
        figures.push(...(await appends(stores, writers, length)))
      }
    }
  }
  return figures
}

async function appends(stores: Stores, writers: number, length: number): Promise<readonly Figure[]> {
  const logs: Write[] = []
  const all: Write[] = []
  const [own, same, bare] = await Promise.all([opened(stores), opened(stores), opened(stores)])
  const relay = await relayOn(recording(own, logs, all))
  const space = new AuthoredSpace({ name: NAME, key: relay.context.signingKey.publicKey })
  const crew = Array.from({ length: writers }, (_, i) => new Writer(relay, space, i))
  await crew[0]?.create()
  for (const writer of crew) await writer.open()

  const each = entriesOfRound(writers, length)
  const rates: { relay: number; same: number; bare: number }[] = []
  for (let round = 0; round <= ROUNDS; round++) {
    for (const writer of crew) writer.prepare(each, length)
    const entries = each * writers
    const rate = async (task: () => Promise<unknown>): Promise<number> => {
      const start = performance.now()
      await task()
      return (1000 * entries) / (performance.now() - start)
    }
    const measured = {
      relay: await rate(() => Promise.all(crew.map(writer => writer.pushAll()))),
      same: await rate(() => replay(same, all.splice(0))),
      bare: await rate(() => replay(bare, logs.splice(0))),
    }
    if (round > 0) rates.push(measured)
  }
  for (const writer of crew) writer.close()
  await relay.settle()
  for (const store of [own, same, bare]) await store.close()

  const name = `${stores.kind}, ${writers} writer${writers === 1 ? '' : 's'}, ${length} B`
  const value = median(rates.map(rate => rate.relay))
  return [
    {
      case: `appends, ${name}: against the same rows`,
      value,
      unit: 'entries/s',
      floor: median(rates.map(rate => rate.same)),
      ratio: median(rates.map(rate => rate.relay / rate.same)),
      ratioAtLeast: 0.5,
    },
    {
      case: `appends, ${name}: against the log's rows alone`,
      value,
      unit: 'entries/s',
      floor: median(rates.map(rate => rate.bare)),
      ratio: median(rates.map(rate => rate.relay / rate.bare)),
    },
  ]
}

/** Of each writer. */
function entriesOfRound(writers: number, length: number): number {
  if (writers === 1) return ONE_BY_ONE
  return Math.max(2, Math.floor(Math.min(ROUND_ENTRIES, ROUND_BYTES / length) / writers))
}

async function opened(stores: Stores): Promise<LogStore> {
  const store = storeAt(stores.fresh())
  await store.open()
  return store
}

async function replay(store: LogStore, writes: readonly Write[]): Promise<void> {
  for (const write of writes) await write(store)
}

/** The store, which keeps what changed it: what belongs to the log, and that with what was signed. */
function recording(store: LogStore, logs: Write[], all: Write[]): LogStore {
  return new Proxy(store, {
    get(target, name, receiver) {
      if (name === 'append') {
        return async (append: Parameters<LogStore['append']>[0]) => {
          await target.append(append)
          const write: Write = other => other.append(append)
          logs.push(write)
          all.push(write)
        }
      }
      if (name === 'putHead') {
        return async (...head: Parameters<LogStore['putHead']>) => {
          await target.putHead(...head)
          all.push(other => other.putHead(...head))
        }
      }
      return Reflect.get(target, name, receiver)
    },
  })
}

async function relayOn(store: LogStore): Promise<Relay> {
  const environment = platformEnvironment()
  const limits = { ...DEFAULT_LIMITS, ...BENCH_LIMITS }
  const log = (): void => {}
  return new Relay({
    name: NAME,
    signingKey: await nodeSigningKey(bytesOf('relay key')),
    verifier: await nodeVerifier(),
    environment,
    store,
    limits,
    log,
    meter: NO_METER,
    gate: new Gate({ name: NAME, limits, environment, log, store }),
    acceptRollback: false,
    turn: () => new Promise(resolve => setImmediate(resolve)),
  })
}
