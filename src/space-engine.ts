import type { Stopped } from './crdt/document-meta.ts'
import { DocumentSet } from './crdt/document-set.ts'
import type { Replicate } from './crdt/holdings.ts'
import { addStopped, clearStopped, type Problem, Problems } from './crdt/problems.ts'
import { keysIn } from './crdt/receive.ts'
import { SpaceSync } from './crdt/space-sync.ts'
import type { ReplicaStore } from './crdt/store.ts'
import type { SyncLimits } from './crdt/sync-limits.ts'
import { publicKeyOf, type SignatureVerifier } from './crypto/sign.ts'
import type { Environment } from './environment.ts'
import { asSealogError, SealogError } from './errors.ts'
import { type ActorId, DIRECTORY_DOCUMENT, type DocumentId, type SpaceId } from './ids.ts'
import { OpenDocuments } from './open-documents.ts'
import type { RelayClient } from './relay/client.ts'
import { admissionBody } from './space-admission.ts'
import { writersOf } from './space-authors.ts'
import type { LoadedSpace } from './space-loading.ts'
import { SpaceProgress } from './space-progress.ts'
import { Receipts } from './space-receipts.ts'
import { assertWriter, statusOf } from './space-standing.ts'
import type { SpaceStatus } from './space-status.ts'
import { StoreHealth } from './space-storage.ts'
import type { VerifiedEntry } from './verify/log.ts'

export interface SpaceEngineOptions {
  readonly id: SpaceId
  readonly store: ReplicaStore
  readonly client: RelayClient
  readonly environment: Environment
  readonly verifier: SignatureVerifier
  readonly replicate: Replicate
  /** In milliseconds. */
  readonly staleAfter: number
  /** Nothing is sealed on a head that is older, in milliseconds. */
  readonly maxHeadAge: number
  readonly limits: SyncLimits
}

/** What is to be told of a space. */
export interface SpaceNews {
  documents(): void
  members(): void
  status(status: SpaceStatus): void
  problem(problem: Problem): void
  frozen(evidence: Uint8Array): void
  /** There may be a new head. */
  head(): void
  closed(): void
}

/**
 * What runs behind a space that is open: its documents, its sync with the relay, and those who wait for either. Brings
 * them together and passes on what happens; `Space` is what applications see of it.
 */
export class SpaceEngine {
  readonly documents: DocumentSet
  readonly handles: OpenDocuments
  readonly problems: Problems
  readonly progress: SpaceProgress
  readonly sync: SpaceSync
  readonly #options: SpaceEngineOptions
  readonly #news: SpaceNews
  readonly #receipts: Receipts
  readonly #storage: StoreHealth
  #statusQueued = false
  #closing: Promise<void> | undefined

  constructor(options: SpaceEngineOptions, loaded: LoadedSpace, news: SpaceNews) {
    this.#options = options
    this.#news = news
    const { id, environment, store, client, verifier } = options
    this.problems = new Problems(problem => news.problem(problem))
    this.documents = new DocumentSet({
      space: id,
      store,
      random: environment.random,
      devicePublicKey: publicKeyOf(loaded.secrets.device.signing),
      isUsed: document => this.handles.isUsed(document),
      onChanged: (document, batch, source) => this.handles.tell(document, batch, source),
      keysOf: (document, epoch) => keysIn(this.sync.keys, this.sync.view.state)(document, epoch),
      onStopped: (document, stopped) => this.#onStopped(document, stopped),
      onReleased: (_document, actor) => clearStopped(this.problems, actor),
      onFlush: failure => this.#onFlush(failure),
    })
    this.#storage = new StoreHealth({
      documents: this.documents,
      environment,
      onFailure: failure => this.#problem('store', failure),
      onRecovered: () => this.problems.clear('store'),
    })
    this.handles = new OpenDocuments({
      documents: this.documents,
      environment,
      assertWritable: () => this.assertWritable(),
      receipt: core => this.#receipts.of(core),
      writers: core => writersOf(core, this.documents, this.sync),
      onLocalChange: () => this.changed(),
      onDirectoryChange: () => this.#onDirectoryChange(),
      onUsed: document => this.sync.want(document),
    })
    this.sync = new SpaceSync({
      space: id,
      store,
      client,
      environment,
      verifier,
      documents: this.documents,
      problems: this.problems,
      ...loaded,
      replicate: options.replicate,
      limits: options.limits,
      maxHeadAge: options.maxHeadAge,
      admissionBody: (keys, control) => admissionBody(loaded.secrets, control, keys, environment),
      onStore: failure => this.#storage.told(failure),
      onUpdate: () => this.changed(),
      onEntries: entries => this.#onEntries(entries),
      onFrozen: evidence => {
        this.#problem('frozen', new SealogError('ERR_FROZEN', 'the relay contradicted itself: sync has ended'))
        news.frozen(evidence)
      },
    })
    this.progress = new SpaceProgress({
      environment,
      documents: this.documents,
      sync: this.sync,
      problems: this.problems,
      assertOpen: () => this.assertOpen(),
    })
    this.#receipts = new Receipts(this.sync, this.progress)
  }

  /** Reads the documents, and starts to sync. @throws SealogError ERR_STORE… */
  async start(): Promise<void> {
    await this.documents.load()
    await this.documents.open(DIRECTORY_DOCUMENT)
    for (const meta of this.documents.metas()) this.#onStopped(meta.document, meta.stopped)
    this.#listed()
    await this.sync.start()
  }

  get status(): SpaceStatus {
    const { sync, documents } = this
    const { client, environment, staleAfter } = this.#options
    const storage = this.#storage.state
    return statusOf({ sync, documents, connection: client.state, storage, now: environment.now(), staleAfter })
  }

  /** `close` was called. */
  get isClosed(): boolean {
    return this.#closing !== undefined
  }

  /** @throws SealogError ERR_CLOSED */
  assertOpen(): void {
    if (this.isClosed) throw new SealogError('ERR_CLOSED', 'the space was closed')
  }

  /** @throws SealogError ERR_CLOSED, ERR_REMOVED, ERR_READ_ONLY */
  assertWritable(): void {
    this.assertOpen()
    assertWriter(this.sync)
  }

  /** Something that `status` or a waiting caller looks at changed. */
  changed(): void {
    this.progress.changed()
    if (this.#statusQueued) return
    this.#statusQueued = true
    queueMicrotask(() => {
      this.#statusQueued = false
      if (!this.isClosed) this.#news.status(this.status)
    })
  }

  /** Another replica of this device was told this by the relay. What is wrong with it is shown. */
  heard(note: Uint8Array): void {
    if (this.isClosed || !this.sync.isCurrent) return
    this.sync.compareHead(note).then(
      () => this.problems.clear('head'),
      error => {
        const failure = asSealogError(error, 'ERR_PROOF', 'a head could not be compared')
        if (!this.isClosed && failure.code !== 'ERR_OFFLINE') this.#problem('head', failure)
      },
    )
  }

  /** The connection went up or down. */
  connectionChanged(client: RelayClient, cause: SealogError | undefined): void {
    if (client !== this.#options.client) return
    if (cause !== undefined && cause.code !== 'ERR_OFFLINE') this.#problem('connection', cause)
    else if (client.state === 'online') this.problems.clear('connection')
    this.changed()
  }

  /** @throws SealogError ERR_STORE… where own changes could not be stored */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    // Not before `#closing` is set, so that whoever is told sees a closed space.
    await Promise.resolve()
    this.progress.changed()
    this.#storage.close()
    this.handles.close()
    await this.sync.close()
    try {
      await this.documents.close()
    } finally {
      this.#news.closed()
    }
  }

  // -- What happens -----------------------------------------------------------------------------------------------

  #problem(cause: string, error: SealogError): void {
    const since = this.#options.environment.now()
    this.problems.add(cause, { code: error.code, message: error.message, since })
  }

  #listed(): void {
    this.sync.listed(this.handles.list().map(({ id }) => id))
  }

  #onDirectoryChange(): void {
    this.#listed()
    this.#news.documents()
  }

  #onStopped(document: DocumentId, stopped: ReadonlyMap<ActorId, Stopped>): void {
    const now = this.#options.environment.now()
    for (const [actor, stop] of stopped) addStopped(this.problems, document, actor, stop, now)
  }

  #onFlush(failure: SealogError | undefined): void {
    this.#storage.told(failure)
    if (failure === undefined) this.sync.push()
    this.changed()
  }

  #onEntries(entries: readonly VerifiedEntry[]): void {
    for (const entry of entries) {
      if (this.documents.core(entry.header.document)?.actor === entry.actor) this.#receipts.proven(entry)
    }
    if (entries.some(({ header }) => header.kind === 'control')) this.#news.members()
    this.#news.head()
  }
}
