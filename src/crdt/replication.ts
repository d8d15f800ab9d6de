import type { SignatureVerifier } from '../crypto/sign.ts'
import type { Environment } from '../environment.ts'
import type { DocumentId, MemberId } from '../ids.ts'
import type { LogView, VerifiedEntry } from '../verify/log.ts'
import type { SpaceState } from '../verify/state.ts'
import { HELD_BACK } from './adoption-plan.ts'
import { DocumentFetches } from './document-fetches.ts'
import type { DocumentSet } from './document-set.ts'
import type { SpaceKeys } from './epoch-secrets.ts'
import { Holdings, type Replicate } from './holdings.ts'
import type { KeptLog } from './kept-log.ts'
import { type LockedDocuments, lockedRow } from './locked-row.ts'
import { isWhole, LogAudit } from './log-audit.ts'
import { LogSkip } from './log-skip.ts'
import type { Problems } from './problems.ts'
import { isReadable } from './readable.ts'
import { spaceKey } from './rows.ts'
import type { SkipLimits } from './skip.ts'
import type { SpaceChannel } from './space-channel.ts'
import type { ReplicaStore } from './store.ts'
import { TagAudit } from './tag-audit.ts'
import { takeDocument } from './take-document.ts'
import type { Vouched } from './trust.ts'
import type { UncheckedDocument } from './unchecked.ts'

export interface ReplicationOptions {
  readonly log: KeptLog
  readonly store: ReplicaStore
  readonly channel: SpaceChannel
  readonly verifier: SignatureVerifier
  readonly environment: Environment
  readonly documents: DocumentSet
  readonly problems: Problems
  readonly replicate: Replicate
  readonly limits: SkipLimits
  /** As stored: undefined where the replica has every document. */
  readonly held: ReadonlySet<DocumentId> | undefined
  readonly vouched: Vouched | undefined
  /** Documents that were found to be locked before. */
  readonly locked: LockedDocuments
  /** Documents that came as a snapshot and were not checked to the end, as stored. */
  readonly unchecked: readonly UncheckedDocument[]
  readonly keys: () => SpaceKeys
  readonly self: () => { readonly member: MemberId; readonly device: number | undefined }
  /** Gets the secrets of the epochs in this view, which these entries led to. */
  readonly gatherKeys: (view: LogView, entries: readonly VerifiedEntry[]) => Promise<void>
  /** Is this replica about to be admitted? Then it has no keys when the log arrives: documents come afterwards. */
  readonly isJoining: boolean
  /** Control entries that were skipped over, or other news. */
  readonly onEntries: (entries: readonly VerifiedEntry[]) => void
  /** Is this device in the log, under its own keys? */
  readonly isAdmitted: () => boolean
  /** The own chain in a document is closed: own changes have yet to be carried over. */
  readonly onRetired: (document: DocumentId) => void
  /** A document arrived; what is held back may go on. */
  readonly onAdopted: () => Promise<void>
  readonly onEvidence: (evidence: Uint8Array) => void
  readonly onUpdate: () => void
}

/**
 * What a replica has of a space's documents, and how it gets what it lacks: by fast-forward where much was missed, and
 * document by document where it does not have all (DESIGN §5.3, §5.4).
 */
export class Replication {
  readonly #options: ReplicationOptions
  readonly #holdings: Holdings
  readonly #skip: LogSkip
  readonly #audit: LogAudit
  readonly #fetches: DocumentFetches
  readonly #tags: TagAudit
  #closed = false

  constructor(options: ReplicationOptions) {
    this.#options = options
    const { log, onUpdate } = options
    const view = (): LogView => log.view
    const holdings = new Holdings({ ...options, isNew: log.view.state === undefined })
    this.#holdings = holdings
    const tags = new TagAudit({
      ...options,
      space: log.view.space,
      isAudited: () => this.vouched === undefined,
      onRefuted: document => this.#fetches.replay(document),
      onChecked: () => {
        this.fetchMissing()
        onUpdate()
      },
    })
    this.#tags = tags
    this.#audit = new LogAudit({ ...options, holdings, tags, onListed: documents => this.#found(documents) })
    this.#skip = new LogSkip({
      ...options,
      holdings,
      tags,
      isVouched: () => this.#audit.vouched !== undefined,
      onSkipped: vouched => this.#audit.skipped(vouched),
    })
    this.#fetches = new DocumentFetches({
      ...options,
      view,
      adopt: (document, state, adoption) => takeDocument(document, state, adoption, { ...options, holdings, tags }),
      onLacking: document => this.refetch(document),
      onLocked: (document, birthEpoch) => {
        holdings.lock(document, birthEpoch)
        this.#keepLocked()
        onUpdate()
      },
      onFree: () => this.#goOn(),
    })
  }

  // -- What is here -----------------------------------------------------------------------------------------------

  /** Undefined where the replica has all documents. */
  get held(): ReadonlySet<DocumentId> | undefined {
    return this.#holdings.held
  }

  /** Everything that is wanted is here, as far as can be told. */
  get isComplete(): boolean {
    return this.#holdings.isComplete(this.vouched !== undefined || this.unchecked.size > 0)
  }

  /** What a fast-forward of the log rests on, until it was audited. */
  get vouched(): Vouched | undefined {
    return this.#audit.vouched
  }

  /** Documents that came as a snapshot, until they are held against every entry that it covers. */
  get unchecked(): ReadonlyMap<DocumentId, UncheckedDocument> {
    return this.#tags.due
  }

  isKnown(document: DocumentId): boolean {
    return this.#holdings.isKnown(document)
  }

  /** Is it known that this member may not read the document? */
  isLocked(document: DocumentId): boolean {
    return this.#holdings.isLocked(document)
  }

  /** The state without what this replica does not keep. */
  keep(state: SpaceState): SpaceState {
    return this.#holdings.keep(state)
  }

  // -- The log ----------------------------------------------------------------------------------------------------

  /** From where on the log is wanted: where a skip is to come first, only its end. */
  get openFrom(): number {
    return this.#skip.openFrom
  }

  /** Of which documents the relay is to send bodies unasked; undefined for all. */
  get wants(): readonly DocumentId[] | undefined {
    return this.#holdings.asked
  }

  /** @param claimed size of the log that the relay speaks of @returns whether the space is to be opened anew */
  skip(claimed: number): Promise<boolean> {
    return this.#skip.skip(claimed)
  }

  /** Every entry of the relay's log is here: goes on with the audit of what was skipped, and with documents. */
  resume(): void {
    this.#skip.caughtUp()
    this.#goOn()
  }

  #goOn(): void {
    this.fetchMissing()
    // What people wait for comes first.
    if (this.#fetches.isBusy || !this.#options.isAdmitted()) return
    this.#audit.resume()
    this.#tags.resume()
  }

  /** What was on its way is lost. */
  reset(): void {
    this.#fetches.reset()
    this.#tags.reset()
  }

  close(): void {
    this.#closed = true
    this.#fetches.close()
    this.#audit.close()
    this.#tags.close()
  }

  // -- What is wanted ---------------------------------------------------------------------------------------------

  /** Somebody opened this document, or wrote to it. */
  want(document: DocumentId): void {
    if (this.isKnown(document)) return
    this.#holdings.want(document)
    this.fetchMissing()
  }

  /** Asks for a document once more, as what came first could not be taken. */
  refetch(document: DocumentId): void {
    this.#holdings.drop(document)
    this.want(document)
  }

  /** Entries came in; a replica of everything wants the documents that they are about. */
  noticed(entries: readonly VerifiedEntry[]): void {
    if (!this.#holdings.isGrowing) return
    for (const { header } of entries) this.#holdings.want(header.document)
  }

  /** The directory lists these. */
  listed(documents: Iterable<DocumentId>): void {
    if (!this.#holdings.isGrowing) return
    for (const document of documents) this.#holdings.want(document)
    this.fetchMissing()
  }

  /** The log itself names these, now that all of it was read. */
  #found(documents: readonly DocumentId[]): void {
    this.listed(documents)
    this.fetchMissing()
    this.#tags.resume()
  }

  /** Secrets of epochs came that were not here: what was locked may not be any more. */
  keysArrived(): void {
    const { keys } = this.#options
    this.#holdings.unlock((document, birthEpoch) => isReadable(keys(), document, birthEpoch))
    this.#keepLocked()
    this.#tags.keysArrived()
    this.#fetches.keysArrived()
    this.fetchMissing()
  }

  /** Offline, too, a document that is locked is to be shown as that. Where it cannot be stored, the log shows it again. */
  #keepLocked(): void {
    const { log } = this.#options
    if (this.#closed) return
    log.commit({ puts: [lockedRow(log.view.space, this.#holdings.locked)], deletes: [] }).catch(() => {})
  }

  // -- Documents --------------------------------------------------------------------------------------------------

  /** Asks for what is wanted and not here; a few at a time. */
  fetchMissing(): void {
    const { channel, documents, isAdmitted } = this.#options
    // Not before the own device is in the log: to speak as that one, the space is opened anew.
    if (this.#closed || !channel.isLive || !isAdmitted()) return
    const { missing, held } = this.#holdings
    if (missing.length === 0 && held !== undefined) this.#becomeFull()
    for (const document of missing) this.#fetches.fetch(document)
    for (const { document, stopped } of documents.metas()) {
      if (this.isKnown(document)) this.#fetches.fetchParked(document, stopped)
    }
  }

  /** A replica of everything that lacks nothing any more needs no tracers. */
  #becomeFull(): void {
    const { log, channel, documents } = this.#options
    const { state, space } = log.view
    if (!this.#holdings.isGrowing || this.vouched !== undefined || state === undefined || !isWhole(state)) return
    // What is refuted comes anew.
    if (this.unchecked.size > 0) return
    // What is held back is not here yet: it comes as a whole once the own chain is closed.
    for (const { clonedAt } of documents.metas()) if (clonedAt === HELD_BACK) return
    channel.enqueue(async () => {
      if (this.#holdings.held === undefined || this.#holdings.missing.length > 0 || this.unchecked.size > 0) return
      const deletes = [spaceKey(space, 'skeleton')]
      await documents.exclusive(() => log.commit({ puts: [], deletes }))
      this.#holdings.hold(undefined)
      channel.open()
    })
  }
}
