import type { Environment } from '../environment.ts'
import { asSealogError } from '../errors.ts'
import type { ActorId, DocumentId, SpaceId } from '../ids.ts'
import { retryDelay } from '../relay/retry-delay.ts'
import type { VerifiedEntry } from '../verify/log.ts'
import type { SpaceState } from '../verify/state.ts'
import type { Adoption } from './adopt.ts'
import { checkStretch, isChecked } from './chain-check.ts'
import type { RowChanges } from './document-ledger.ts'
import type { DocumentSet } from './document-set.ts'
import type { SpaceKeys } from './epoch-secrets.ts'
import type { KeptLog } from './kept-log.ts'
import { type ChainTags, KeptTags } from './kept-tags.ts'
import type { Problems } from './problems.ts'
import { keysIn } from './receive.ts'
import type { SpaceChannel } from './space-channel.ts'
import type { ReplicaStore, StoreRow } from './store.ts'
import { TagSource } from './tag-source.ts'
import type { UncheckedChain, UncheckedDocument } from './unchecked.ts'
import { type TakenCheck, UncheckedDocuments } from './unchecked-documents.ts'

/** Changes looked at before the thread is given back. */
const SLICE = 256
/** Between two slices, in milliseconds. */
const PAUSE = 5
/** Entries and changes after which the progress is kept. */
const KEPT_AFTER = 8192
/** For so long a document waits after something of it did not verify or was not served, in milliseconds. */
const RETRY = 30_000

export interface TagAuditOptions {
  readonly space: SpaceId
  readonly channel: SpaceChannel
  readonly store: ReplicaStore
  readonly environment: Environment
  readonly documents: DocumentSet
  readonly problems: Problems
  /** As stored. */
  readonly unchecked: readonly UncheckedDocument[]
  readonly log: Pick<KeptLog, 'view' | 'commit'>
  readonly keys: () => SpaceKeys
  /** Is the audit of what was skipped over? It brings tags that would have to be asked for otherwise. */
  readonly isAudited: () => boolean
  /** The document is not what its authors committed to before: all entries from the first are to be taken. */
  readonly onRefuted: (document: DocumentId) => void
  /** A document was checked. */
  readonly onChecked: () => void
}

/**
 * Checks, in the background, documents that came as a snapshot against every covered tag, not only the last of each
 * actor (DESIGN §6.2). Who tells two stories of itself is found out by it: one in the entries that it sent, another in a
 * snapshot, under a later tag. Until then trust is vouched.
 *
 * The tags come out of the audit of what was skipped, where that goes over them anyway; the rest by `get-chain`. Where a
 * key is missing, or the relay does not serve a chain, the document stays unchecked: nobody is accused by what is not
 * there.
 */
export class TagAudit {
  readonly #options: TagAuditOptions
  readonly #kept: KeptTags
  readonly #source: TagSource
  readonly #register: UncheckedDocuments
  /** Documents that wait for keys. */
  readonly #locked = new Set<DocumentId>()
  /** Documents whose check failed, until it is their turn again: what ends the wait early. */
  readonly #postponed = new Map<DocumentId, () => void>()
  #isRunning = false
  /** Something may be there to check since it last began. */
  #isAwaited = false
  #closed = false

  constructor(options: TagAuditOptions) {
    this.#options = options
    this.#kept = new KeptTags(options.space, options.store)
    this.#source = new TagSource(this.#kept, options.channel)
    this.#register = new UncheckedDocuments({ ...options, kept: this.#kept })
  }

  /** Documents that are not checked yet. */
  get due(): ReadonlyMap<DocumentId, UncheckedDocument> {
    return this.#register.due
  }

  /** The connection ended: in the next one everything is asked for again. */
  reset(): void {
    for (const cancel of this.#postponed.values()) cancel()
    this.#postponed.clear()
  }

  close(): void {
    this.#closed = true
    this.reset()
  }

  // -- When documents come ----------------------------------------------------------------------------------------

  /** See `UncheckedDocuments.replayedRows`. */
  replayedRows(state: SpaceState | undefined, isKnown: (document: DocumentId) => boolean): readonly StoreRow[] {
    return this.#register.replayedRows(state, isKnown)
  }

  /** See `UncheckedDocuments.taking`. @throws SealogError ERR_STORE… */
  taking(adoption: Adoption): Promise<TakenCheck> {
    return this.#register.taking(adoption)
  }

  /** The same is durable. */
  taken(adoption: Adoption, check: TakenCheck): void {
    const { document } = adoption
    this.#locked.delete(document)
    this.#postponed.get(document)?.()
    this.#postponed.delete(document)
    this.#register.taken(adoption, check)
  }

  /** The snapshot was not taken, as this chain of it is another than what was replayed here before. */
  contradicted({ unchecked }: Pick<Adoption, 'unchecked'>, { actor, covered }: UncheckedChain): void {
    if (unchecked !== undefined) this.#accuse(unchecked, actor, covered)
  }

  /** Secrets of epochs came that were not here. */
  keysArrived(): void {
    this.#locked.clear()
    this.reset()
    this.resume()
  }

  // -- What the audit of the log comes by -------------------------------------------------------------------------

  /** Entries were verified that had been skipped. @throws SealogError ERR_STORE… */
  async verified(entries: readonly VerifiedEntry[]): Promise<void> {
    for (const entry of entries) {
      const { document, seq } = entry.header
      const chain = this.#register.chain(entry.actor)
      if (chain === undefined || !this.#register.due.has(document)) continue
      if (seq >= chain.floor.entry && seq <= chain.next.seq) this.#kept.gather(entry)
    }
    if (!this.#kept.isFull || this.#closed) return
    await this.#options.log.commit({ puts: await this.#kept.rows(), deletes: [] })
  }

  /** What belongs to the progress of that audit: to be written with it. @throws SealogError ERR_STORE… */
  progress(): Promise<RowChanges['puts']> {
    return this.#kept.rows()
  }

  // -- The check --------------------------------------------------------------------------------------------------

  /** Goes on where it stopped, but for documents that wait; to be called, however often, when the connection is there. */
  resume(): void {
    if (this.#closed || this.#register.due.size === 0) return
    this.#isAwaited = true
    if (this.#isRunning) return
    this.#isRunning = true
    void this.#runAll().finally(() => {
      this.#isRunning = false
    })
  }

  /** What came while it ran has its turn, too. */
  async #runAll(): Promise<void> {
    while (this.#isAwaited && !this.#closed) {
      this.#isAwaited = false
      await this.#run()
    }
  }

  async #run(): Promise<void> {
    const { channel, environment, problems } = this.#options
    for (const [document] of [...this.#register.due]) {
      if (this.#postponed.has(document)) continue
      const cause = `tags/${document}`
      try {
        await this.#checkDocument(document)
        problems.clear(cause)
      } catch (error) {
        if (this.#closed || !channel.isLive) return
        const failure = asSealogError(error, 'ERR_STORE', 'the check of a document failed')
        const { code, message } = failure
        problems.add(cause, { code, message, since: environment.now(), document })
        this.#postpone(document, retryDelay(environment, RETRY, failure))
      }
    }
  }

  #postpone(document: DocumentId, delay: number): void {
    const cancel = this.#options.environment.schedule(delay, () => {
      this.#postponed.delete(document)
      this.resume()
    })
    this.#postponed.set(document, cancel)
  }

  async #checkDocument(document: DocumentId): Promise<void> {
    const { documents, isAudited, onChecked, onRefuted } = this.#options
    let unchecked = this.#register.due.get(document)
    if (unchecked === undefined || this.#locked.has(document)) return
    if (unchecked.isRefuted) {
      // It is on its way, by all entries; or it would be, if the relay served it. While the own chain has yet to be closed
      // it would be held back: it is fetched when that has happened.
      if (documents.meta(document).clonedAt === undefined) onRefuted(document)
      return
    }
    if (!isAudited()) return
    const budget = { left: SLICE, spent: 0 }
    const left: UncheckedChain[] = []
    // All of them as they were: what is kept meanwhile leaves out those that are done.
    const begun = unchecked.chains
    for (const [i, first] of begun.entries()) {
      let chain = first
      while (!isChecked(chain)) {
        const tags = await this.#source.stretch(document, chain)
        if (this.#register.due.get(document) !== unchecked) return
        const step: UncheckedChain | 'locked' | undefined = await this.#checkStretch(chain, tags, budget, unchecked)
        if (step === undefined) return
        if (step === 'locked') break
        chain = step
        if (budget.spent < KEPT_AFTER || isChecked(chain)) continue
        budget.spent = 0
        unchecked = await this.#register.keep(unchecked, { chains: [...left, chain, ...begun.slice(i + 1)] })
        if (unchecked === undefined) return
      }
      if (!isChecked(chain)) left.push(chain)
    }
    if (this.#closed || this.#register.due.get(document) !== unchecked) return
    if (left.length > 0) {
      this.#locked.add(document)
      await this.#register.keep(unchecked, { chains: left })
      return
    }
    if (!(await this.#register.checked(unchecked))) return
    await documents.release(document)
    onChecked()
  }

  /** @returns the chain as it is left; undefined where there is nothing more to check */
  async #checkStretch(
    begun: UncheckedChain,
    tags: ChainTags,
    budget: { left: number; spent: number },
    unchecked: UncheckedDocument,
  ): Promise<UncheckedChain | 'locked' | undefined> {
    const { documents, keys, log, environment } = this.#options
    const { document } = unchecked
    let chain = begun
    for (;;) {
      const before = budget.left
      const step = await documents.read(document, doc => {
        // It may have been taken anew while this waited for its turn.
        if (this.#closed || this.#register.due.get(document) !== unchecked) return undefined
        return checkStretch(document, doc, chain, tags, keysIn(keys(), log.view.state), budget)
      })
      budget.spent += before - budget.left
      if (step === undefined) return undefined
      if (step.outcome === 'refuted') {
        await this.#refute(unchecked, chain.actor, step.index)
        return undefined
      }
      if (step.outcome === 'locked') return 'locked'
      chain = step.chain
      if (budget.left <= 0) {
        await new Promise<void>(resolve => environment.schedule(PAUSE, resolve))
        budget.left = SLICE
      }
      if (isChecked(chain) || chain.next.seq < tags.first) return chain
    }
  }

  /** The document is given up for all that was sent: that settles what counts. @throws SealogError ERR_STORE… */
  async #refute(unchecked: UncheckedDocument, actor: ActorId, index: number): Promise<void> {
    if ((await this.#register.keep(unchecked, { isRefuted: true })) === undefined) return
    this.#accuse(unchecked, actor, index)
    this.#options.onRefuted(unchecked.document)
  }

  /** The author of this entry has signed one thing in it, and another in later entries, which the snapshot goes by. */
  #accuse({ document, snapshot }: UncheckedDocument, actor: ActorId, index: number): void {
    const { problems, environment } = this.#options
    const since = environment.now()
    problems.add(`tags/${document}/${actor}`, {
      code: 'ERR_TAG',
      message: `entry ${index} commits to a change that contradicts what later entries of its author commit to`,
      since,
      document,
      actor,
      index,
    })
    problems.add(`snapshot/${document}/${snapshot.index}`, {
      code: 'ERR_TAG',
      message: `the snapshot in entry ${snapshot.index} is refused: it is not what entry ${index} commits to`,
      since,
      document,
      actor: snapshot.actor,
      index: snapshot.index,
    })
  }
}
