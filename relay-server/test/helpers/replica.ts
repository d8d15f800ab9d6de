import {
  advance,
  assertChecks,
  authenticationInput,
  type Connection,
  type ControlState,
  type DocumentId,
  decodeRelayMessage,
  emptyView,
  encodeMessage,
  idBytes,
  keepDocuments,
  type LogView,
  MAX_FRAME_LENGTH,
  nobleVerifier,
  type Reject,
  type RelayMessage,
  type ReplicaMessage,
  rootOf,
  SealogError,
  type SpaceId,
  type Sync,
  signSync,
  type Transport,
  type VerifiedEntry,
  type Welcome,
} from 'sealog/protocol'
import { type Authored, pushEntryOf, type Seen, type TestDevice } from './authoring.ts'

/** A connection that speaks the protocol by hand, and a replica's verification of what comes over it. */
export class TestReplica {
  readonly messages: RelayMessage[] = []
  readonly frames: Uint8Array[] = []
  readonly verified: VerifiedEntry[] = []
  closed: SealogError | undefined
  isClosed = false
  view: LogView | undefined
  readonly #connection: Connection
  #nextRef = 1
  /** Of a sparse replica. */
  #kept: readonly DocumentId[] | undefined
  #followed = 0

  constructor(transport: Transport, url = 'ws://relay.test') {
    this.#connection = transport.connect(url, {
      onOpen: () => {},
      onFrame: frame => {
        if (frame.length > MAX_FRAME_LENGTH) throw new Error(`a frame of ${frame.length} bytes`)
        this.frames.push(frame)
        this.messages.push(decodeRelayMessage(frame))
      },
      onClose: cause => {
        this.isClosed = true
        this.closed = cause
      },
    })
  }

  get welcome(): Welcome {
    const [first] = this.messages
    if (first?.type !== 'welcome') throw new Error('no welcome yet')
    return first
  }

  get syncs(): readonly Sync[] {
    return this.messages.filter(message => message.type === 'sync')
  }

  get rejects(): readonly Reject[] {
    return this.messages.filter(message => message.type === 'reject')
  }

  send(message: ReplicaMessage): void {
    this.sendFrame(encodeMessage(message))
  }

  sendFrame(frame: Uint8Array): void {
    this.#connection.send(frame)
  }

  close(): void {
    this.#connection.close()
  }

  ref(): number {
    return this.#nextRef++
  }

  /** @returns the reference of the request, as all that follow */
  open(space: SpaceId, device: TestDevice, from = 0, wants?: readonly DocumentId[]): number {
    const { name, key, challenge } = this.welcome
    const input = authenticationInput({ name, key }, challenge, space, device.signing)
    const ref = this.ref()
    const signature = signSync(device.seed, input)
    this.#kept = wants
    this.send({ type: 'open', ref, space, from, device: device.signing, signature, wants })
    return ref
  }

  push(space: SpaceId, ...entries: readonly Authored[]): number {
    const ref = this.ref()
    this.send({ type: 'push', ref, space, entries: entries.map(pushEntryOf) })
    return ref
  }

  pull(space: SpaceId): number {
    const ref = this.ref()
    this.send({ type: 'pull', ref, space })
    return ref
  }

  /**
   * Verifies whatever has come since, as a replica does; throws what `advance` throws. A sparse one forgets after each
   * message what it does not keep.
   */
  async follow(space: SpaceId): Promise<LogView> {
    let view = this.view ?? emptyView(space, { name: this.welcome.name, key: this.welcome.key }, [])
    const news = this.messages.slice(this.#followed)
    this.#followed = this.messages.length
    for (const message of news) {
      if (message.type !== 'sync' || message.space !== space) continue
      const advanced = advance(view, message.batch)
      await assertChecks(nobleVerifier, advanced.checks)
      const { state } = advanced.view
      const kept = this.#kept
      const forgets = kept !== undefined && state !== undefined
      view = forgets ? { ...advanced.view, state: keepDocuments(state, kept) } : advanced.view
      this.verified.push(...advanced.entries)
    }
    this.view = view
    return view
  }

  /** What the next entry of this replica has seen. */
  get seen(): Seen {
    if (this.view === undefined) throw new Error('nothing followed yet')
    return { size: this.view.range.size, root: rootOf(this.view.range) }
  }

  /** The epoch in force. */
  get epoch(): number {
    return this.control.epochs.length - 1
  }

  get control(): ControlState {
    const control = this.view?.state?.control
    if (control === undefined) throw new Error('nothing followed yet')
    return control
  }

  get spaceBytes(): Uint8Array {
    if (this.view === undefined) throw new Error('nothing followed yet')
    return idBytes(this.view.space)
  }
}

/** Waits for something that needs the event loop; fails after five seconds. */
export async function until(condition: () => boolean, what = 'the condition'): Promise<void> {
  const end = Date.now() + 5000
  while (!condition()) {
    if (Date.now() > end) throw new SealogError('ERR_TIMEOUT', `waiting for ${what}`)
    await new Promise(resolve => setTimeout(resolve, 2))
  }
}
