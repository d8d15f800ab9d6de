import {
  type Checkpoint,
  type DocumentId,
  type DocumentRecord,
  hasCode,
  type Note,
  SealogError,
  type SpaceId,
  type SpaceState,
  type StateMap,
} from 'sealog/protocol'
import { type Broadcast, makeBroadcast } from './broadcast.ts'
import { mayHaveContent } from './content-rights.ts'
import type { RelayContext } from './context.ts'
import type { Judged, Push, RefusedEntry, SpaceView } from './judge.ts'
import type { LogEnd } from './log-end.ts'
import type { StoredEntry } from './log-store.ts'
import { nextGroup, type Waiting } from './push-queue.ts'
import { relayBehind } from './reject.ts'
import type { Restored } from './restored-tail.ts'
import type { SignedHead } from './signed-head.ts'
import { readPart, type SyncPart } from './sync-part.ts'
import { TracedParts } from './traced-parts.ts'

/** Milliseconds after which somebody who finds the store failing may try again. */
const RETRY_AFTER = 1000

/** Whom a stretch of the log is for. */
export interface Reader {
  /** Number of the device that reads. */
  readonly device: number
  /** Of a sparse reader: the documents whose bodies it gets, as it does tracers. */
  readonly wants: ReadonlySet<DocumentId> | undefined
}

/** Somebody who follows the log. */
export interface Follower {
  /** Number of the device that reads. */
  readonly device: number
  /**
   * The device may read up to and including the entry `index`, which removed it. Comes before that entry is shown, and
   * may come again.
   */
  onRemoved(index: number): void
  /**
   * The log grew; `broadcast` is undefined where the new entries must be read one by one.
   * @param refs requests of this follower that the new entries answer, in order
   */
  onAppended(broadcast: Broadcast | undefined, refs: readonly number[]): void
  /** Nothing more comes: the store failed. The space can be opened anew, and is then as the store has it. */
  onFailed(error: SealogError): void
}

export interface PushOutcome {
  /** How many entries of the push landed. */
  readonly landed: number
  /** Undefined where all did. */
  readonly refused: RefusedEntry | undefined
}

interface PushRequest extends Waiting {
  readonly push: Push
  readonly origin: { readonly follower: Follower; readonly ref: number } | undefined
  readonly resolve: (outcome: PushOutcome) => void
}

interface SettleRequest extends Waiting {
  readonly needs: 'order' | 'others' | 'fresh note'
  readonly resolve: () => void
}

interface TaskRequest extends Waiting {
  /** Never rejects. */
  readonly task: () => Promise<void>
}

const NO_PUSH: Waiting = { by: undefined, entries: 0, bytes: 0 }

type Request = PushRequest | SettleRequest | TaskRequest

/**
 * Orders the pushes of one space (DESIGN §8): verify, reduce, append in one durable transaction, sign, show. What
 * arrives while a group is under way makes up the next one. After the store failed once this sequencer is over: nothing
 * is accepted any more, its followers are told, and whoever asks for the space next gets one that begins with what the
 * store has.
 */
export class SpaceSequencer {
  readonly space: SpaceId
  readonly #context: RelayContext
  readonly #end: LogEnd
  readonly #onFailed: (error: SealogError) => void
  readonly #followers = new Set<Follower>()
  readonly #traced: TracedParts
  #queue: Request[] = []
  #failure: SealogError | undefined
  #isRunning = false
  #isFollowing = false

  /** @param onFailed called once, when nothing is accepted any more */
  constructor(context: RelayContext, end: LogEnd, onFailed: (error: SealogError) => void) {
    this.space = end.view.space
    this.#context = context
    this.#end = end
    this.#onFailed = onFailed
    this.#traced = new TracedParts(context.store, this.space)
  }

  /** Number of entries that are stored. */
  get size(): number {
    return this.#end.view.range.size
  }

  /** Bytes that are stored. */
  get bytes(): number {
    return this.#end.bytes
  }

  /** What this relay has signed beyond what it has (DESIGN §5.5); undefined where it has everything it knows of. */
  get behind(): Checkpoint | undefined {
    return this.#end.behind
  }

  /** @throws SealogError ERR_RELAY_BEHIND where the relay knows that it has lost entries: it says nothing about the rest */
  assertLevel(): void {
    if (this.behind !== undefined) throw relayBehind(this.size)
  }

  /** Did the operator give up what this note is about, as far as it is not stored? */
  hasAbandoned(checkpoint: Checkpoint): boolean {
    return this.#end.hasAbandoned(checkpoint)
  }

  /**
   * This relay has lost entries if the note is about a larger log: for it signed that, as the caller has verified.
   * @throws SealogError ERR_RELAY_STORAGE
   */
  fallBehind(note: Note): Promise<void> {
    return this.inLine(() => this.#orFail(() => this.#end.fallBehind(note)))
  }

  /** Runs what writes to the store by other ways than a push when nothing else of this space does. */
  inLine<T>(run: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#enqueue({
        ...NO_PUSH,
        async task() {
          try {
            resolve(await run())
          } catch (error) {
            reject(error)
          }
        },
      })
    })
  }

  /**
   * Appends what was lost and given back, and goes on as if nothing had happened.
   * @param compose judges what was given back on top of the view as it is by then; what it throws changes nothing
   */
  restore(compose: (view: SpaceView) => Promise<Restored>): Promise<void> {
    return this.inLine(async () => {
      if (this.#failure !== undefined) throw this.#failure
      const restored = await compose(this.#end.view)
      try {
        await this.#orFail(() => this.#end.restore(restored))
        this.#announce()
      } finally {
        await this.#showGrowth(new Map())
      }
    })
  }

  /** Of all entries that may be shown; undefined where the space has none. */
  get head(): SignedHead | undefined {
    return this.#end.head
  }

  /** After all entries that may be shown. */
  get state(): SpaceState | undefined {
    return this.head === undefined ? undefined : this.#end.view.state
  }

  /** @param origin whose request it is, if it follows the log; its answer is then `onAppended` */
  push(push: Push, origin?: { readonly follower: Follower; readonly ref: number }): Promise<PushOutcome> {
    // A device with many sockets is one author; whoever follows nothing creates the space.
    const by = origin === undefined ? 'genesis' : origin.follower.device
    return new Promise(resolve => {
      this.#enqueue({ push, origin, resolve, by, entries: push.length, bytes: lengthOf(push) })
    })
  }

  /** Resolves when everything asked for before is done, and the note is not older than the limit. */
  settle(): Promise<void> {
    return new Promise(resolve => this.#enqueue({ ...NO_PUSH, needs: 'fresh note', resolve }))
  }

  /** Resolves when everything asked for before is done, and what other processes appended before is here. */
  level(): Promise<void> {
    return new Promise(resolve => this.#enqueue({ ...NO_PUSH, needs: 'others', resolve }))
  }

  /** Resolves when everything asked for before is done. */
  idle(): Promise<void> {
    return new Promise(resolve => this.#enqueue({ ...NO_PUSH, needs: 'order', resolve }))
  }

  /** Another process appended, or may have. */
  onGrown(): void {
    if (this.#isFollowing || this.#failure !== undefined) return
    this.#isFollowing = true
    const resolve = (): void => {}
    this.#enqueue({ ...NO_PUSH, needs: 'others', resolve })
  }

  /** Accepts and shows nothing any more, as what is stored turned out to be wrong. */
  stop(error: SealogError): void {
    this.#fail(error)
  }

  follow(follower: Follower): void {
    if (this.#failure === undefined) this.#followers.add(follower)
    else follower.onFailed(this.#failure)
  }

  unfollow(follower: Follower): void {
    this.#followers.delete(follower)
  }

  /** Does content travel to this device in what everybody gets? */
  sharesContent(device: number): boolean {
    return mayHaveContent(this.#shown().state.control, device)
  }

  /**
   * A stretch from `from` towards `limit` with the current note.
   * @param reader default: somebody who may have all of it
   * @throws SealogError ERR_RELAY_STORAGE
   */
  async readPart(from: number, limit: number, reader?: Reader): Promise<SyncPart> {
    const { head } = this.#shown()
    const wants = reader?.wants
    const hasContent = reader === undefined || this.sharesContent(reader.device)
    const carries = ({ isControl, isSnapshot, document }: StoredEntry): boolean =>
      isControl || (hasContent && !isSnapshot && wants?.has(document) === true)
    if (wants !== undefined) return this.#readTraced(from, limit, carries)
    try {
      return await readPart(this.#context.store, this.space, from, limit, head, hasContent ? undefined : { carries })
    } catch (error) {
      throw storageError(error)
    }
  }

  /** The same for an audit: with tracers, and bodies of control entries only. @throws SealogError ERR_RELAY_STORAGE */
  readForAudit(from: number, limit: number): Promise<SyncPart> {
    return this.#readTraced(from, limit, entry => entry.isControl)
  }

  /** The documents as they were after the first `size` entries, at most all. @throws SealogError ERR_RELAY_STORAGE */
  async documentsAt(size: number): Promise<StateMap<DocumentRecord>> {
    const { state } = this.#shown()
    try {
      return await this.#traced.documentsAt(size, { size: this.size, state })
    } catch (error) {
      throw storageError(error)
    }
  }

  async #readTraced(from: number, limit: number, carries: (entry: StoredEntry) => boolean): Promise<SyncPart> {
    const { head, state } = this.#shown()
    try {
      return await this.#traced.read({ from, limit, head, latest: { size: this.size, state }, carries })
    } catch (error) {
      throw storageError(error)
    }
  }

  #shown(): { readonly head: SignedHead; readonly state: SpaceState } {
    const { head } = this
    const { state } = this.#end.view
    if (head === undefined || state === undefined) {
      throw new SealogError('ERR_UNKNOWN_SPACE', 'the space has no entries')
    }
    return { head, state }
  }

  /** Is the entry at `index`, below the size, a control entry? @throws SealogError ERR_RELAY_STORAGE */
  async isControl(index: number): Promise<boolean> {
    try {
      const range = { from: index, to: index + 1, inlineLength: -1, maxBytes: 0 }
      const [entry] = await this.#context.store.readEntries(this.space, range)
      return entry?.isControl === true
    } catch (error) {
      throw storageError(error)
    }
  }

  /** A part of the body of an entry; undefined where it is not stored. @throws SealogError ERR_RELAY_STORAGE */
  async readBody(index: number, offset: number, length: number): Promise<Uint8Array | undefined> {
    try {
      return await this.#context.store.readBody(this.space, index, offset, length)
    } catch (error) {
      throw storageError(error)
    }
  }

  #enqueue(request: Request): void {
    this.#queue.push(request)
    if (!this.#isRunning) void this.#run()
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    while (this.#queue.length > 0) {
      // What arrives together shares a group, and what is for other spaces gets its turn between two.
      await this.#context.turn()
      await this.#serve(this.#takeGroup())
    }
    this.#isRunning = false
  }

  #takeGroup(): readonly Request[] {
    const { groupEntries, groupBytes } = this.#context.limits
    const { group, rest } = nextGroup(this.#queue, { entries: groupEntries, bytes: groupBytes })
    this.#queue = [...rest]
    return group
  }

  async #serve(group: readonly Request[]): Promise<void> {
    const pushes = group.filter(request => 'push' in request)
    const outcomes = pushes.length > 0 ? await this.#append(pushes) : []
    const needs = new Set(group.map(request => ('needs' in request ? request.needs : 'order')))
    if (needs.has('fresh note')) await this.#refresh(() => this.#end.freshen())
    else if (needs.has('others') && this.#context.store.isShared) await this.#refresh(() => this.#end.follow())
    let next = 0
    for (const request of group) {
      if ('push' in request) request.resolve(outcomes[next++] as PushOutcome)
      else if ('task' in request) await request.task()
      else request.resolve()
    }
  }

  async #append(requests: readonly PushRequest[]): Promise<readonly PushOutcome[]> {
    const { environment, meter } = this.#context
    const begun = environment.now()
    const { size, bytes } = this
    try {
      if (this.#failure !== undefined) throw this.#failure
      const judged = await this.#end.append(requests.map(request => request.push))
      if (judged.accepted.length > 0) {
        meter.appended(judged.accepted.length, Math.max(0, this.bytes - bytes), (environment.now() - begun) / 1000)
        this.#announce()
      }
      await this.#showGrowth(originsOf(requests, judged))
      return requests.map(({ push }, i) => outcomeOf(push, judged.refused[i]))
    } catch (error) {
      const isBehind = hasCode(error, 'ERR_RELAY_BEHIND')
      const refusal = isBehind ? error : this.#fail(error)
      // What others appended may have been taken over before it turned out.
      if (isBehind && this.size > size) await this.#showGrowth(new Map())
      return requests.map(() => ({ landed: 0, refused: { position: 0, error: refusal } }))
    }
  }

  async #refresh(run: () => Promise<unknown>): Promise<void> {
    this.#isFollowing = false
    if (this.#failure !== undefined) return
    try {
      await run()
      await this.#showGrowth(new Map())
    } catch (error) {
      this.#fail(error)
    }
  }

  async #showGrowth(origins: ReadonlyMap<Follower, readonly number[]>): Promise<void> {
    const { entries, isWhole } = this.#end.takeGrowth()
    if (entries.length === 0 && isWhole && origins.size === 0) return
    for (const follower of this.#followers) this.#endRemoved(follower)
    const isShared = isWhole && entries.length > 0 && this.#followers.size > 0
    const broadcast = isShared ? await this.#broadcast(entries) : undefined
    this.#context.meter.shown(this.#followers.size)
    for (const follower of [...this.#followers]) {
      try {
        follower.onAppended(broadcast, origins.get(follower) ?? [])
      } catch (error) {
        // One that cannot be told must not keep the others from being told.
        this.#context.log({ level: 'error', event: 'follower-failed', space: this.space, reason: String(error) })
      }
    }
  }

  /** Whoever misses it hears of the entries with the next announcement, or when somebody asks. */
  #announce(): void {
    if (!this.#context.store.isShared) return
    this.#context.store.announce(this.space).catch(error => {
      this.#context.log({ level: 'warn', event: 'announcement-failed', space: this.space, reason: String(error) })
    })
  }

  #endRemoved(follower: Follower): void {
    const removed = this.#end.view.state?.control.devices.get(follower.device)?.removed
    if (removed !== undefined) follower.onRemoved(removed.index)
  }

  /** The entries are stored and signed whatever happens here: followers can still read them one by one. */
  async #broadcast(entries: readonly StoredEntry[]): Promise<Broadcast | undefined> {
    const from = this.size - entries.length
    try {
      return await makeBroadcast(this.#context.store, this.space, from, entries, this.#shown().head)
    } catch (error) {
      this.#fail(error)
      return undefined
    }
  }

  async #orFail<T>(run: () => Promise<T>): Promise<T> {
    if (this.#failure !== undefined) throw this.#failure
    try {
      return await run()
    } catch (error) {
      if (hasCode(error, 'ERR_RELAY_BEHIND')) throw error
      throw this.#fail(error)
    }
  }

  #fail(error: unknown): SealogError {
    if (this.#failure !== undefined) return this.#failure
    const failure = storageError(error)
    this.#failure = failure
    this.#context.log({ level: 'error', event: 'space-stopped', space: this.space, reason: causeOf(failure) })
    this.#onFailed(failure)
    for (const follower of [...this.#followers]) follower.onFailed(failure)
    this.#followers.clear()
    return failure
  }
}

/** As clients are told that the store failed: they try again. */
export function storageError(cause: unknown): SealogError {
  if (hasCode(cause, 'ERR_RELAY_STORAGE')) return cause
  return new SealogError('ERR_RELAY_STORAGE', 'the relay cannot use its store', {
    cause,
    details: { retryAfter: RETRY_AFTER },
  })
}

/** Requests of followers that landed whole; the others are answered by a refusal. */
function originsOf(requests: readonly PushRequest[], judged: Judged): ReadonlyMap<Follower, readonly number[]> {
  const origins = new Map<Follower, readonly number[]>()
  for (const [i, { origin }] of requests.entries()) {
    if (origin === undefined || judged.refused[i] !== undefined) continue
    origins.set(origin.follower, [...(origins.get(origin.follower) ?? []), origin.ref])
  }
  return origins
}

function outcomeOf(push: Push, refused: RefusedEntry | undefined): PushOutcome {
  return { landed: refused?.position ?? push.length, refused }
}

function lengthOf(push: Push): number {
  let bytes = 0
  for (const entry of push) {
    if ('body' in entry) bytes += entry.encoded.length + entry.body.length + (entry.wraps?.bytes?.length ?? 0)
  }
  return bytes
}

function causeOf(error: SealogError): string {
  return error.cause instanceof Error ? error.cause.message : error.message
}
