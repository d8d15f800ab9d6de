import { entrySigningInput, platformEnvironment, type SignatureCheck, type SignatureVerifier } from 'sealog/protocol'
import { DEFAULT_LIMITS, type LogStore } from 'sealog-relay'
import { Gate, NO_METER, nodeSigningKey, nodeVerifier, Relay } from 'sealog-relay/testing'
import { type BenchOptions, type Figure, median } from './measure.ts'
import { AuthoredSpace } from './relay-author.ts'
import { BENCH_LIMITS } from './relay-quotas.ts'
import { type BenchPlaces, type Stores, storeAt } from './relay-stores.ts'
import { Writer } from './relay-writers.ts'
import { bytesOf } from './synthetic-keys.ts'

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

/** What a relay wrote in a round, and what it had to verify before. */
interface Recorded {
  /** What belongs to the log. */
  readonly logs: Write[]
  /** The same, and what was signed. */
  readonly all: Write[]
  readonly checks: SignatureCheck[]
}

/**
 * Durable appends, from the frame that asks for one to the frame that acknowledges it. The floor are bare inserts on a
 * store of the same kind: the very rows that the relay stored, in the very transactions, one behind the other; once with
 * the rows of what it signed, which are transactions of their own, and once without.
 *
 * A group of many writers is few transactions and as many signatures as there are entries, which the budget's floor
 * does not know of: to verify one takes several times as long as to insert its rows. So there is a third floor, which
 * no relay that verifies every entry gets below: the rows, and before each group its signatures, by all cores.
 *
 * Writers are in the process of the relay, as a socket between them would be most of what is measured; what they send
 * is made ahead, and of what they are sent they look at a few bytes.
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
  const recorded: Recorded = { logs: [], all: [], checks: [] }
  const [own, same, bare] = await Promise.all([opened(stores), opened(stores), opened(stores)])
  let signer = new Uint8Array(0)
  const relay = await relayOn(recording(own, recorded, () => signer))
  const { verifier } = relay.context
  const space = new AuthoredSpace({ name: NAME, key: relay.context.signingKey.publicKey })
  signer = space.signer.slice()
  const crew = Array.from({ length: writers }, (_, i) => new Writer(relay, space, i))
  await crew[0]?.create()
  for (const writer of crew) await writer.open()

  const each = entriesOfRound(writers, length)
  const rates: { relay: number; same: number; bare: number; verified: number }[] = []
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
      same: await rate(() => replay(same, recorded.all.splice(0))),
      bare: await rate(() => replay(bare, recorded.logs.splice(0))),
    }
    const signatures = recorded.checks.splice(0)
    const verifying = await rate(() => verifyInGroups(verifier, signatures, writers))
    const verified = 1 / (1 / measured.same + 1 / verifying)
    if (round > 0) rates.push({ ...measured, verified })
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
    {
      case: `appends, ${name}: against the same rows and signatures`,
      value,
      unit: 'entries/s',
      floor: median(rates.map(rate => rate.verified)),
      ratio: median(rates.map(rate => rate.relay / rate.verified)),
    },
  ]
}

/** As many at once as can come together: one of each writer. */
async function verifyInGroups(
  verifier: SignatureVerifier,
  checks: readonly SignatureCheck[],
  size: number,
): Promise<void> {
  for (let start = 0; start < checks.length; start += size) {
    const verdicts = await verifier.verifyAll(checks.slice(start, start + size))
    if (!verdicts.every(holds => holds)) throw new Error('the relay stored an entry with a wrong signature')
  }
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

/** The store, which keeps what changed it. @param signer of all entries */
function recording(store: LogStore, { logs, all, checks }: Recorded, signer: () => Uint8Array): LogStore {
  return new Proxy(store, {
    get(target, name, receiver) {
      if (name === 'append') {
        return async (append: Parameters<LogStore['append']>[0]) => {
          await target.append(append)
          const write: Write = other => other.append(append)
          logs.push(write)
          all.push(write)
          const publicKey = signer()
          for (const { hash, signature } of append.entries)
            checks.push({ publicKey, message: entrySigningInput(hash), signature })
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
