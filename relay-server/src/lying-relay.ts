import {
  type Connection,
  type ConnectionEvents,
  equalBytes,
  generateSeed,
  nobleSigningKey,
  nobleVerifier,
  type PushEntry,
  type RelayMessage,
  type SignatureVerifier,
  type SpaceId,
  toUtf8,
} from 'sealog/protocol'
import { type JournalStore, journalStore } from './journal-store.ts'
import type { Lie, Moment, Teller, Telling } from './lie.ts'
import { LIES } from './lies.ts'
import type { StoredEntry } from './log-store.ts'
import { type LoopbackOptions, type LoopbackRelay, loopbackRelay } from './loopback.ts'
import { type Hearing, type Listener, LyingConnection } from './lying-connection.ts'
import { refusedOf } from './refused-entries.ts'

export type LyingRelayOptions = Omit<LoopbackOptions, 'store'>

export interface LieOptions {
  /** Who is lied to; default: everybody. */
  readonly to?: (listener: Listener) => boolean
  /** When; default: at every occasion. Only a `sync` has a moment. */
  readonly when?: readonly Moment[]
  /** The lie is told this often, then the truth again; default: until `honest`. */
  readonly times?: number
}

export interface BranchOptions {
  readonly space: SpaceId
  /** Who is shown the branch; everybody else stays where they are. */
  readonly to: (listener: Listener) => boolean
  /** How many entries of the log it begins with, or fewer, up to the end of a group commit; default: all. */
  readonly size?: number
}

/** A lie that was told. */
export interface Told {
  readonly lie: string
  /** Undefined for what is said before a space is opened. */
  readonly listener: Listener | undefined
  /** Undefined for what is no `sync`. */
  readonly moment: Moment | undefined
}

/** A relay with the true key of a relay, and no scruples. What it was handed, it keeps: lies are for replicas only. */
export interface LyingRelay extends LoopbackRelay {
  /** All entries of a space, as the relay was given them. */
  log(space: SpaceId): readonly StoredEntry[]
  /** Every lie so far, in order. */
  readonly told: readonly Told[]
  /**
   * Tells this lie from now on, wherever there is occasion, besides those that it tells already; a message takes one.
   * @param lie the name of one of `LIES`, or one of your own
   * @throws TypeError for another name
   */
  lie(lie: string | Lie, options?: LieOptions): void
  /**
   * From now on there are two logs of a space. All connections break, and whoever is meant by `to` gets, and writes to,
   * the second one. Both are served by the book and signed with the same key; with fewer entries than somebody has seen
   * it is a relay that was put back to an old backup.
   */
  branch(options: BranchOptions): Promise<void>
  /** Tells the truth again, and shows everybody the first log; where there were two, all connections break. */
  honest(): void
}

interface ActiveLie {
  readonly lie: Lie
  readonly options: LieOptions
  told: number
}

interface Branch {
  readonly options: BranchOptions
  readonly relay: LoopbackRelay
  readonly journal: JournalStore
}

/** How the bytes begin that a device signs to open a space (protocol.md §8.2). */
const AUTHENTICATION: Uint8Array = toUtf8('sealog/v1/authenticate\0')

/** Everything that it is handed stays in memory, as it has to go back to any of it. */
export function lyingRelay(options: LyingRelayOptions): LyingRelay {
  const { environment, name = 'relay.test', verifier = nobleVerifier } = options
  const signingKey = options.signingKey ?? nobleSigningKey(generateSeed(environment.random))
  const otherKey = nobleSigningKey(generateSeed(environment.random))
  const journal = journalStore()
  const main = loopbackRelay({ ...options, name, signingKey, store: journal })
  const connections = new Set<LyingConnection>()
  const told: Told[] = []
  const pushed = new Map<SpaceId, readonly PushEntry[]>()
  let lies: ActiveLie[] = []
  let branches: Branch[] = []

  function branchOf(listener: Listener): Branch | undefined {
    return branches.findLast(({ options: { space, to } }) => space === listener.space && to(listener))
  }

  function connect(url: string, events: ConnectionEvents): Connection {
    const connection = new LyingConnection({
      main,
      url,
      events: {
        onOpen: () => events.onOpen(),
        onFrame: frame => events.onFrame(frame),
        onClose: cause => {
          connections.delete(connection)
          events.onClose(cause)
        },
      },
      branchFor: listener => branchOf(listener)?.relay,
      onPush: ({ space, entries }) => pushed.set(space, [...(pushed.get(space) ?? []), ...entries]),
      tell,
    })
    connections.add(connection)
    return { send: frame => connection.send(frame), close: () => connection.close() }
  }

  async function tell(
    message: RelayMessage,
    hearing: Hearing | undefined,
    moment: Moment | undefined,
  ): Promise<Telling | undefined> {
    for (const active of lies) {
      const { to, when, times = Number.POSITIVE_INFINITY } = active.options
      if (active.told >= times) continue
      if (to !== undefined && (hearing === undefined || !to(hearing))) continue
      if (when !== undefined && moment !== undefined && !when.includes(moment)) continue
      const telling = await active.lie.tell(message, tellerFor(hearing))
      if (telling === undefined) continue
      active.told++
      const listener = hearing && { space: hearing.space, device: hearing.device }
      told.push({ lie: active.lie.name, listener, moment })
      return telling
    }
    return undefined
  }

  function tellerFor(hearing: Hearing | undefined): Teller {
    const space = hearing?.space ?? ('' as SpaceId)
    const own = hearing && branchOf(hearing)
    const other = own === undefined ? branches.find(({ options }) => options.space === space)?.journal : journal
    const elsewhere = journal.spaces.find(each => each !== space)
    const { entries, notes, readWraps } = own?.journal ?? journal
    const log = entries(space)
    return {
      space,
      relayName: name,
      signingKey,
      otherKey,
      log,
      otherBranch: other?.entries(space) ?? [],
      otherSpace: elsewhere === undefined ? [] : journal.entries(elsewhere),
      refused: refusedOf(pushed.get(space) ?? [], log),
      wrapsOf: index => readWraps(space, index),
      position: hearing?.position ?? 0,
      asked: hearing?.asked,
      notes: notes(space),
    }
  }

  async function settle(): Promise<void> {
    await main.settle()
    for (const { relay } of branches) await relay.settle()
    for (const connection of [...connections]) await connection.settle()
  }

  async function deliverAll(): Promise<number> {
    let count = 0
    for (let before = -1; before < count; ) {
      before = count
      for (const relay of [main, ...branches.map(branch => branch.relay)]) count += await relay.deliverAll()
      await settle()
    }
    return count
  }

  return {
    name,
    key: main.key,
    get connections() {
      return main.connections
    },
    log: space => journal.entries(space),
    told,
    connect,
    deliverNext: direction =>
      [main, ...branches.map(branch => branch.relay)].some(relay => relay.deliverNext(direction)),
    deliverAll,
    settle,
    cut: () => main.cut(),
    stop() {
      main.stop()
      for (const { relay } of branches) relay.stop()
    },
    restart() {
      main.restart()
      for (const { relay } of branches) relay.restart()
    },
    async close() {
      await main.close()
      for (const { relay } of branches) await relay.close()
    },
    lie(named, lieOptions = {}) {
      const lie = typeof named === 'string' ? LIES.find(each => each.name === named) : named
      if (lie === undefined) throw new TypeError(`lie: there is none called ${named}`)
      lies.push({ lie, options: lieOptions, told: 0 })
    },
    async branch(branchOptions) {
      const copy = await journal.copy(branchOptions.space, branchOptions.size)
      const relay = loopbackRelay({
        ...options,
        name,
        signingKey,
        store: copy,
        verifier: trusting(verifier),
      })
      branches = [...branches, { options: branchOptions, relay, journal: copy }]
      main.cut()
    },
    honest() {
      lies = []
      if (branches.length === 0) return
      for (const { relay } of branches) relay.stop()
      branches = []
      main.cut()
    },
  }
}

/** Whoever was let in by the first relay is let in by all of them: the challenge that was signed is the first one's. */
function trusting(verifier: SignatureVerifier): SignatureVerifier {
  const isAuthentication = (message: Uint8Array): boolean =>
    equalBytes(message.subarray(0, AUTHENTICATION.length), AUTHENTICATION)
  return {
    backend: verifier.backend,
    verify: async check => isAuthentication(check.message) || verifier.verify(check),
    verifyAll: checks => verifier.verifyAll(checks),
  }
}
