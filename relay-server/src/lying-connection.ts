import {
  type Connection,
  type ConnectionEvents,
  decodeRelayMessage,
  decodeReplicaMessage,
  encodeMessage,
  entryHash,
  type Open,
  type Push,
  type RelayMessage,
  type ReplicaMessage,
  type SpaceId,
  type Sync,
  type Transport,
  toHex,
} from 'sealog/protocol'
import { checkpointOf, type Moment, type Telling } from './lie.ts'

/** Whom a relay talks to. */
export interface Listener {
  readonly space: SpaceId
  /** Ed25519 key of the device that opened the space, 32 bytes. */
  readonly device: Uint8Array
}

/** One space on one connection. */
export interface Hearing extends Listener {
  /** How many entries were sent to the listener so far. */
  readonly position: number
  /** The request that the message answers; undefined for what comes unasked, and on a channel that is no more. */
  readonly asked: EntryRequest | undefined
}

export interface LyingConnectionOptions {
  readonly main: Transport
  readonly url: string
  readonly events: ConnectionEvents
  /** The branch that somebody is shown who opens a space; undefined: the one that the relay began with. */
  readonly branchFor: (listener: Listener) => Transport | undefined
  /** Hears of everything that is pushed. */
  readonly onPush: (push: Push) => void
  /** What is said in place of a message; undefined: the message. */
  readonly tell: (
    message: RelayMessage,
    hearing: Hearing | undefined,
    moment: Moment | undefined,
  ) => Promise<Telling | undefined>
}

/** What is answered with something from anywhere in the log, or from beside it. */
type EntryRequest = Extract<ReplicaMessage, { type: 'skip' | 'get-document' | 'get-chain' | 'get-keys' | 'read' }>
const REQUESTS: ReadonlySet<string> = new Set<EntryRequest['type']>([
  'skip',
  'get-document',
  'get-chain',
  'get-keys',
  'read',
])

interface Channel {
  readonly device: Uint8Array
  readonly openRef: number
  /** Undefined: the main one. */
  readonly branch: Connection | undefined
  /** Leaf hashes, in hex, of what the replica pushed on this connection. */
  readonly pushed: Set<string>
  /** Requests for single entries, until they are answered, by reference. */
  readonly asked: Map<number, EntryRequest>
  position: number
  isCatchingUp: boolean
}

/**
 * One connection of a replica to a relay that may not say what is true: it knows who listens to what, sends each space
 * to the branch of the log that its listener is shown, and has every message from the relay told in its turn.
 */
export class LyingConnection {
  readonly #options: LyingConnectionOptions
  readonly #main: Connection
  readonly #branches = new Map<Transport, Connection>()
  readonly #channels = new Map<SpaceId, Channel>()
  #tail: Promise<void> = Promise.resolve()
  #isOver = false

  constructor(options: LyingConnectionOptions) {
    this.#options = options
    const { main, url, events } = options
    this.#main = main.connect(url, {
      onOpen: () => {
        if (!this.#isOver) events.onOpen()
      },
      onFrame: frame => this.#enqueue(() => this.#pass(decodeRelayMessage(frame))),
      onClose: cause =>
        this.#enqueue(async () => {
          this.#end()
          events.onClose(cause)
        }),
    })
  }

  /** Resolves when everything that came so far is told. */
  async settle(): Promise<void> {
    for (let tail: Promise<void> | undefined; tail !== this.#tail; ) {
      tail = this.#tail
      await tail
    }
  }

  send(frame: Uint8Array): void {
    if (this.#isOver) return
    const message = readRequest(frame)
    if (message?.type === 'open') this.#onOpen(message)
    const channel = message && 'space' in message ? this.#channels.get(message.space) : undefined
    if (message?.type === 'push') {
      this.#options.onPush(message)
      for (const { header } of message.entries) channel?.pushed.add(toHex(entryHash(header)))
    } else if (message !== undefined && isEntryRequest(message)) channel?.asked.set(message.ref, message)
    const route = channel?.branch ?? this.#main
    route.send(frame)
  }

  close(): void {
    if (this.#isOver) return
    for (const branch of this.#branches.values()) branch.close()
    // The main one says when it is over.
    this.#main.close()
  }

  #onOpen({ space, device, ref, from }: Open): void {
    const before = this.#channels.get(space)
    const branch = this.#connected(this.#options.branchFor({ space, device }))
    if (before !== undefined && before.branch !== branch) {
      const former = before.branch ?? this.#main
      former.send(encodeMessage({ type: 'leave', space }))
    }
    const pushed = before?.pushed ?? new Set<string>()
    const asked = new Map<number, EntryRequest>()
    this.#channels.set(space, { device, openRef: ref, branch, pushed, asked, position: from, isCatchingUp: true })
  }

  #connected(transport: Transport | undefined): Connection | undefined {
    if (transport === undefined) return undefined
    const known = this.#branches.get(transport)
    if (known !== undefined) return known
    const connection = transport.connect(this.#options.url, {
      onOpen: () => {},
      onFrame: frame => {
        const message = decodeRelayMessage(frame)
        // The replica was greeted already: whoever is behind it, to the replica it is one relay.
        if (message.type !== 'welcome') this.#enqueue(() => this.#pass(message))
      },
      onClose: () => this.close(),
    })
    this.#branches.set(transport, connection)
    return connection
  }

  #enqueue(task: () => Promise<void>): void {
    this.#tail = this.#tail.then(async () => {
      if (!this.#isOver) await task()
    })
  }

  async #pass(message: RelayMessage): Promise<void> {
    const channel = 'space' in message ? this.#channels.get(message.space) : undefined
    const asked = channel && 'ref' in message ? channel.asked.get(message.ref) : undefined
    const isAnswer = asked !== undefined
    if (isAnswer && !('more' in message && message.more)) channel?.asked.delete(asked.ref)
    const moment = channel && message.type === 'sync' && !isAnswer ? momentOf(channel, message) : undefined
    const hearing = channel && 'space' in message ? { ...channel, space: message.space, asked } : undefined
    const told = (await this.#options.tell(message, hearing, moment)) ?? [message]
    for (const each of told) {
      if (this.#isOver) return
      if (channel !== undefined && !isAnswer && 'type' in each && each.type === 'sync') {
        channel.position = each.batch.from + each.batch.entries.length
      }
      this.#options.events.onFrame('type' in each ? encodeMessage(each) : each)
    }
  }

  #end(): void {
    this.#isOver = true
    for (const branch of this.#branches.values()) branch.close()
  }
}

function momentOf(channel: Channel, { ref, batch }: Sync): Moment {
  const end = batch.from + batch.entries.length
  const isCatchUp = channel.isCatchingUp || ref === channel.openRef
  if (isCatchUp) {
    channel.isCatchingUp = end < checkpointOf(batch).size
    return 'catch-up'
  }
  return batch.entries.some(({ header }) => channel.pushed.has(toHex(entryHash(header)))) ? 'acknowledgement' : 'live'
}

function isEntryRequest(message: ReplicaMessage): message is EntryRequest {
  return REQUESTS.has(message.type)
}

/** What is no request is the relay's business. */
function readRequest(frame: Uint8Array): ReplicaMessage | undefined {
  try {
    return decodeReplicaMessage(frame)
  } catch {
    return undefined
  }
}
