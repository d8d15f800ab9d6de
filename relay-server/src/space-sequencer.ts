import {
  type Checkpoint,
  type DocumentId,
  type DocumentRecord,
  hasCode,
  rootAt,
  SealogError,
  type SpaceId,
  type SpaceState,
  type StateMap,
} from 'sealog/protocol'
import { appendOf } from './append.ts'
import { type Broadcast, makeBroadcast } from './broadcast.ts'
import { mayHaveContent } from './content-rights.ts'
import type { RelayContext } from './context.ts'
import { type Judged, type Push, type RefusedEntry, type SpaceView, seenSizesOf } from './judge.ts'
import { judgeVerified } from './judge-verified.ts'
import type { StoredEntry } from './log-store.ts'
import { relayBehind } from './reject.ts'
import type { Restored } from './restored-tail.ts'
import { continueHead, type SignedHead, signHead } from './signed-head.ts'
import type { RecoveredSpace } from './space-recovery.ts'
import { readPart, type SyncPart } from './sync-part.ts'
import { TracedParts } from './traced-parts.ts'
import { withNodes } from './tree-reader.ts'

/** Roots kept at hand: most authors have seen one of the latest sizes. */
const KNOWN_ROOTS = 256

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
}

export interface PushOutcome {
  /** How many entries of the push landed. */
  readonly landed: number
  /** Undefined where all did. */
  readonly refused: RefusedEntry | undefined
}

interface PushRequest {
  readonly push: Push
  readonly origin: { readonly follower: Follower; readonly ref: number } | undefined
  readonly resolve: (outcome: PushOutcome) => void
}

interface SettleRequest {
  readonly needsFreshNote: boolean
  readonly resolve: () => void
}

interface TaskRequest {
  /** Never rejects. */
  readonly task: () => Promise<void>
}

type Request = PushRequest | SettleRequest | TaskRequest

/**
 * Orders the pushes of one space (DESIGN §8): verify, reduce, append in one durable transaction, sign, show. What
 * arrives while a group is under way makes up the next one. After the store failed once nothing is accepted any more;
 * what was signed before can still be read.
 */
export class SpaceSequencer {
  readonly space: SpaceId
  readonly #context: RelayContext
  readonly #followers = new Set<Follower>()
  readonly #roots = new Map<number, Uint8Array>()
  readonly #traced: TracedParts
  readonly #queue: Request[] = []
  #view: SpaceView
  #head: SignedHead | undefined
  /** The largest log that this relay has signed, where that is more than it has: it signs nothing until it has it back. */
  #behind: Checkpoint | undefined
  #failure: SealogError | undefined
  #isRunning = false

  constructor(context: RelayContext, recovered: RecoveredSpace) {
    this.space = recovered.view.space
    this.#context = context
    this.#view = recovered.view
    this.#head = recovered.head
    this.#traced = new TracedParts(context.store, recovered.view.space)
    this.#behind = recovered.behind
  }

  /** Number of entries that are stored. */
  get size(): number {
    return this.#view.range.size
  }

  /** What this relay has signed beyond what it has (DESIGN §5.5); undefined where it has everything it knows of. */
  get behind(): Checkpoint | undefined {
    return this.#behind
  }

  /** @throws SealogError ERR_RELAY_BEHIND where the relay knows that it has lost entries: it says nothing about the rest */
  assertLevel(): void {
    if (this.#behind !== undefined) throw relayBehind(this.size)
  }

  /**
   * This relay has lost entries if `proof` is about a larger log: for it signed that, as the caller has verified. To be
   * called in line, as what it has signed itself in the meantime is no loss.
   */
  fallBehind(proof: Checkpoint): void {
    if (proof.size <= Math.max(this.size, this.#behind?.size ?? 0)) return
    this.#behind = proof
    const { log } = this.#context
    log({ level: 'error', event: 'relay-behind', space: this.space, signed: proof.size, stored: this.size })
  }

  /** Runs what writes to the store by other ways than a push when nothing else of this space does. */
  inLine<T>(run: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#enqueue({
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
   * Appends what was lost and given back, and goes on as if nothing had happened; to be called in line.
   * @param compose judges what was given back on top of the view as it is by then; what it throws changes nothing
   */
  async restore(compose: (view: SpaceView) => Promise<Restored>): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    const { append, entries, judged, head } = await compose(this.#view)
    try {
      await this.#context.store.append(append)
      this.#view = judged.view
      const signed = [this.#head?.checkpoint, this.#behind].filter(checkpoint => checkpoint !== undefined)
      this.#head = await continueHead(this.#context, judged.view, signed, head)
      this.#behind = undefined
      this.#rememberRoot(judged.view.range.size, this.#head.checkpoint.root)
      await this.#show(entries, new Map())
    } catch (error) {
      throw this.#fail(error)
    }
  }

  /** Of all entries that may be shown; undefined where the space has none. */
  get head(): SignedHead | undefined {
    return this.#head
  }

  /** After all entries that may be shown. */
  get state(): SpaceState | undefined {
    return this.#head === undefined ? undefined : this.#view.state
  }

  /** @param origin whose request it is, if it follows the log; its answer is then `onAppended` */
  push(push: Push, origin?: { readonly follower: Follower; readonly ref: number }): Promise<PushOutcome> {
    return new Promise(resolve => this.#enqueue({ push, origin, resolve }))
  }

  /** Resolves when everything asked for before is done, and the note is not older than the limit. */
  settle(): Promise<void> {
    return new Promise(resolve => this.#enqueue({ needsFreshNote: true, resolve }))
  }

  /** Resolves when everything asked for before is done. */
  idle(): Promise<void> {
    return new Promise(resolve => this.#enqueue({ needsFreshNote: false, resolve }))
  }

  follow(follower: Follower): void {
    this.#followers.add(follower)
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
      throw this.#storageError(error)
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
      return await this.#traced.documentsAt(size, { size: this.#view.range.size, state })
    } catch (error) {
      throw this.#storageError(error)
    }
  }

  async #readTraced(from: number, limit: number, carries: (entry: StoredEntry) => boolean): Promise<SyncPart> {
    const { head, state } = this.#shown()
    try {
      return await this.#traced.read({ from, limit, head, latest: { size: this.#view.range.size, state }, carries })
    } catch (error) {
      throw this.#storageError(error)
    }
  }

  #shown(): { readonly head: SignedHead; readonly state: SpaceState } {
    const head = this.#head
    const { state } = this.#view
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
      throw this.#storageError(error)
    }
  }

  /** A part of the body of an entry; undefined where it is not stored. @throws SealogError ERR_RELAY_STORAGE */
  async readBody(index: number, offset: number, length: number): Promise<Uint8Array | undefined> {
    try {
      return await this.#context.store.readBody(this.space, index, offset, length)
    } catch (error) {
      throw this.#storageError(error)
    }
  }

  #enqueue(request: Request): void {
    this.#queue.push(request)
    if (!this.#isRunning) void this.#run()
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    // What arrived together shares the first group too.
    await Promise.resolve()
    while (this.#queue.length > 0) await this.#serve(this.#takeGroup())
    this.#isRunning = false
  }

  #takeGroup(): readonly Request[] {
    const { groupEntries, groupBytes } = this.#context.limits
    let entries = 0
    let bytes = 0
    let count = 0
    for (const request of this.#queue) {
      if ('push' in request) {
        entries += request.push.length
        bytes += lengthOf(request.push)
      }
      if (count > 0 && (entries > groupEntries || bytes > groupBytes)) break
      count++
    }
    return this.#queue.splice(0, count)
  }

  async #serve(group: readonly Request[]): Promise<void> {
    const pushes = group.filter(request => 'push' in request)
    const outcomes = pushes.length > 0 ? await this.#append(pushes) : []
    if (group.some(request => 'needsFreshNote' in request && request.needsFreshNote)) await this.#freshen()
    let next = 0
    for (const request of group) {
      if ('push' in request) request.resolve(outcomes[next++] as PushOutcome)
      else if ('task' in request) await request.task()
      else request.resolve()
    }
  }

  async #append(requests: readonly PushRequest[]): Promise<readonly PushOutcome[]> {
    if (this.#behind !== undefined) {
      const error = relayBehind(this.size)
      return requests.map(() => ({ landed: 0, refused: { position: 0, error } }))
    }
    try {
      if (this.#failure !== undefined) throw this.#failure
      const base = this.#view
      const judged = await this.#judge(requests.map(request => request.push))
      if (judged.accepted.length > 0) {
        const append = appendOf(base, judged)
        await this.#context.store.append(append)
        this.#view = judged.view
        this.#head = await signHead(this.#context, judged.view, this.#head)
        this.#rememberRoot(judged.view.range.size, this.#head.checkpoint.root)
        await this.#show(append.entries, originsOf(requests, judged))
      }
      return requests.map(({ push }, i) => outcomeOf(push, judged.refused[i]))
    } catch (error) {
      const failure = this.#fail(error)
      return requests.map(() => ({ landed: 0, refused: { position: 0, error: failure } }))
    }
  }

  async #judge(pushes: readonly Push[]): Promise<Judged> {
    const { name, signingKey, environment, verifier } = this.#context
    const circumstances = {
      relay: { name, key: signingKey.publicKey },
      // By the time that its notes carry, which never goes back: clients hold an expiry against those.
      now: Math.max(environment.now(), this.#head?.checkpoint.time ?? 0),
      seenRoots: await this.#seenRoots(pushes),
    }
    return judgeVerified(this.#view, pushes, circumstances, verifier)
  }

  async #seenRoots(pushes: readonly Push[]): Promise<ReadonlyMap<number, Uint8Array>> {
    const sizes = [...seenSizesOf(pushes)].filter(size => size <= this.#view.range.size)
    const unknown = sizes.filter(size => !this.#roots.has(size))
    const { store } = this.#context
    const roots = await withNodes(store, this.space, nodeAt => unknown.map(size => rootAt(size, nodeAt)))
    const known = new Map(sizes.map(size => [size, this.#roots.get(size) as Uint8Array]))
    for (const [i, size] of unknown.entries()) known.set(size, roots[i] as Uint8Array)
    for (const [size, root] of known) this.#rememberRoot(size, root)
    return known
  }

  #rememberRoot(size: number, root: Uint8Array): void {
    this.#roots.delete(size)
    this.#roots.set(size, root)
    for (const oldest of this.#roots.keys()) {
      if (this.#roots.size <= KNOWN_ROOTS) break
      this.#roots.delete(oldest)
    }
  }

  /** A new time under the same size, where the note is too old to say that the relay is alive. */
  async #freshen(): Promise<void> {
    const head = this.#head
    if (head === undefined || this.#failure !== undefined || this.#behind !== undefined) return
    if (this.#context.environment.now() - head.checkpoint.time <= this.#context.limits.noteAge) return
    try {
      this.#head = await signHead(this.#context, this.#view, head)
    } catch (error) {
      this.#fail(error)
    }
  }

  async #show(entries: readonly StoredEntry[], origins: ReadonlyMap<Follower, readonly number[]>): Promise<void> {
    for (const follower of this.#followers) this.#endRemoved(follower)
    const broadcast = this.#followers.size > 0 ? await this.#broadcast(entries) : undefined
    for (const follower of [...this.#followers]) {
      try {
        follower.onAppended(broadcast, origins.get(follower) ?? [])
      } catch (error) {
        // One that cannot be told must not keep the others from being told.
        this.#context.log({ level: 'error', event: 'follower-failed', space: this.space, reason: String(error) })
      }
    }
  }

  #endRemoved(follower: Follower): void {
    const removed = this.#view.state?.control.devices.get(follower.device)?.removed
    if (removed !== undefined) follower.onRemoved(removed.index)
  }

  /** The entries are stored and signed whatever happens here: followers can still read them one by one. */
  async #broadcast(entries: readonly StoredEntry[]): Promise<Broadcast | undefined> {
    const from = this.#view.range.size - entries.length
    try {
      return await makeBroadcast(this.#context.store, this.space, from, entries, this.#head as SignedHead)
    } catch (error) {
      this.#fail(error)
      return undefined
    }
  }

  #fail(error: unknown): SealogError {
    if (this.#failure !== undefined) return this.#failure
    const failure = this.#storageError(error)
    this.#failure = failure
    this.#context.log({ level: 'error', event: 'space-stopped', space: this.space, reason: causeOf(failure) })
    return failure
  }

  #storageError(error: unknown): SealogError {
    if (hasCode(error, 'ERR_RELAY_STORAGE')) return error
    return new SealogError('ERR_RELAY_STORAGE', 'the relay cannot use its store', { cause: error })
  }
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
