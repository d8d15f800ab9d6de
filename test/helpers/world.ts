import { type LyingRelay, type LyingRelayOptions, loopbackRelay, memoryLogStore } from 'sealog-relay/testing'
import type { ReplicaStore } from '../../src/crdt/store.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import type { SyncLimits } from '../../src/crdt/sync-limits.ts'
import { defaultVerifier } from '../../src/crypto/sign-backend.ts'
import type { Environment } from '../../src/environment.ts'
import { platformEnvironment } from '../../src/environment-platform.ts'
import { hasCode } from '../../src/errors.ts'
import type { SpaceId } from '../../src/ids.ts'
import { decodeRelayMessage, decodeReplicaMessage, encodeMessage } from '../../src/relay/message-codec.ts'
import type { RelayMessage, ReplicaMessage } from '../../src/relay/messages.ts'
import type { Transport } from '../../src/relay/transport.ts'
import { Replica } from '../../src/replica.ts'
import type { ReplicaOptions, ReplicaPlatform } from '../../src/replica-options.ts'
import type { Space } from '../../src/space.ts'
import type { SpaceDocument } from '../../src/space-document.ts'
import type { WaitOptions } from '../../src/waiting.ts'
import { initializeAutomerge } from './automerge.ts'

export interface Note {
  title: string
  body: string
}

export interface WorldOptions {
  /** Delays of the replicas, as a share of the real ones. */
  readonly hurry?: number
  /** In place of an honest relay. */
  readonly relay?: (options: LyingRelayOptions) => LyingRelay
  /** When fast-forward, snapshots and cosignatures are worth it; by default as in life. */
  readonly limits?: SyncLimits
  /** What lies between the replicas and the relay. */
  readonly network?: (inner: Transport, environment: Environment) => Transport
}

/** Replicas and a relay in one process. */
export interface World {
  readonly platform: ReplicaPlatform
  /** A timeout of these real milliseconds, as the replicas' hurried clock counts them. */
  patience(ms: number): number
  open(
    name: string,
    store?: ReplicaStore,
    options?: Pick<ReplicaOptions, 'replicate' | 'staleAfter' | 'maxHeadAge'>,
  ): Promise<Replica>
  /** What an honest relay keeps, all in clear to whoever runs it. */
  readonly relayStore: ReturnType<typeof memoryLogStore>
  /** From now on all clocks show so many milliseconds more. */
  later(ms: number): void
  /** Closes all replicas. */
  close(): Promise<void>
  /** How many messages of this type replicas have sent. */
  count(type: ReplicaMessage['type']): number
  /** Number of entries that the relay has of a space. */
  logSize(space: SpaceId): Promise<number>
  /** Breaks all connections and lets nobody in, until `up`. */
  down(): void
  up(): void
  cut(): void
  /** Frames to replicas are lost on the way. */
  mute: boolean
  /** What becomes of a message from the relay on its way to a replica; nothing: it is lost. */
  tamper: ((message: RelayMessage) => readonly RelayMessage[]) | undefined
}

export async function openWorld({ hurry = 1, limits, relay: open, network }: WorldOptions = {}): Promise<World> {
  await initializeAutomerge()
  const platformClock = platformEnvironment()
  let ahead = 0
  const real = { ...platformClock, now: () => platformClock.now() + ahead }
  const environment = { ...real, schedule: (ms: number, task: () => void) => real.schedule(ms * hurry, task) }
  const verifier = await defaultVerifier()
  const store = memoryLogStore()
  const lying = open?.({ environment: real, verifier })
  const relay = lying ?? loopbackRelay({ environment: real, store, verifier })
  const outer = network?.(relay, environment) ?? relay
  const sent = new Map<ReplicaMessage['type'], number>()
  const replicas: Replica[] = []
  const transport: Transport = {
    connect: (url, events) => {
      const connection = outer.connect(url, {
        ...events,
        onOpen: () => events.onOpen(),
        onClose: cause => events.onClose(cause),
        onFrame: frame => {
          if (world.mute) return
          const { tamper } = world
          const frames = tamper === undefined ? [frame] : tamper(decodeRelayMessage(frame)).map(encodeMessage)
          for (const each of frames) events.onFrame(each)
        },
      })
      return {
        ...connection,
        send: frame => {
          const { type } = decodeReplicaMessage(frame)
          sent.set(type, (sent.get(type) ?? 0) + 1)
          connection.send(frame)
        },
      }
    },
  }
  const platform: ReplicaPlatform = { transport, environment, verifier, ...(limits === undefined ? {} : { limits }) }
  const world: World = {
    platform,
    patience: ms => ms / hurry,
    relayStore: store,
    later: ms => {
      ahead += ms
    },
    mute: false,
    tamper: undefined,
    open: async (name, replicaStore = memoryStore(), options = {}) => {
      const profile = { name, device: `${name}'s laptop` }
      const replica = await Replica.open(
        { store: replicaStore, relay: 'ws://relay.test', profile, ...options },
        platform,
      )
      replicas.push(replica)
      return replica
    },
    close: async () => {
      for (const replica of replicas) await replica.close().catch(() => {})
    },
    count: type => sent.get(type) ?? 0,
    logSize: async space => lying?.log(space).length ?? (await store.readSpace(space))?.size ?? 0,
    down: () => relay.stop(),
    up: () => relay.restart(),
    cut: () => relay.cut(),
  }
  return world
}

/** A space of Ann's with one note, which Bob has joined. */
export interface Pair {
  readonly ann: Replica
  readonly bob: Replica
  readonly annSpace: Space
  readonly bobSpace: Space
  readonly annNote: SpaceDocument<Note>
  readonly bobNote: SpaceDocument<Note>
}

export async function openPair(world: World, stores: { ann?: ReplicaStore; bob?: ReplicaStore } = {}): Promise<Pair> {
  const timeout = world.patience(30_000)
  const ann = await world.open('Ann', stores.ann)
  const annSpace = await ann.createSpace({ name: 'Field notes', timeout })
  const annNote = await annSpace.createDocument<Note>({ title: 'Day 1', body: '' }, { name: 'Day 1' })
  const link = await annSpace.invite({ timeout })
  const bob = await world.open('Bob', stores.bob)
  const bobSpace = await bob.joinSpace(link, { timeout })
  await annSpace.sync({ timeout })
  await settleKeys(annSpace, { timeout })
  await bobSpace.sync({ timeout })
  const bobNote = await bobSpace.openDocument<Note>(annNote.id)
  return { ann, bob, annSpace, bobSpace, annNote, bobNote }
}

/**
 * Starts the epoch that a join through an instant invite makes due, so that replicas do not do it at a moment of their
 * own: from then on the log grows by what the test does.
 * @param space of a member who has seen the join
 */
export async function settleKeys(space: Space, options: WaitOptions = {}): Promise<void> {
  await space.rotateKeys(options).catch(error => {
    // It was there already, by the same member.
    if (!hasCode(error, 'ERR_RATE_LIMITED')) throw error
  })
}

/** Brings several spaces to the same state. */
export async function settle(...spaces: readonly Space[]): Promise<void> {
  for (const space of spaces) await space.sync({ timeout: 300_000 })
  for (const space of spaces) await space.sync({ timeout: 300_000 })
}
