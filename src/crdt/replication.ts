import type { SignatureVerifier } from '../crypto/sign.ts'
import type { Environment } from '../environment.ts'
import { asSealogError, hasCode, SealogError } from '../errors.ts'
import { CONTROL_DOCUMENT, DIRECTORY_DOCUMENT, type DocumentId, type MemberId } from '../ids.ts'
import { MAX_WANTS } from '../relay/messages.ts'
import { emptyView, isCurrent, type LogView, type VerifiedEntry } from '../verify/log.ts'
import { documentsOf, findDocument, type SpaceState } from '../verify/state.ts'
import { keepDocuments } from '../verify/tracer.ts'
import type { Adoption } from './adopt.ts'
import { HELD_BACK } from './adoption-plan.ts'
import { Audit } from './audit.ts'
import { DocumentFetches, isReadable } from './document-fetches.ts'
import type { DocumentSet } from './document-set.ts'
import type { SpaceKeys } from './epoch-secrets.ts'
import { historyRows } from './history-rows.ts'
import { type LockedDocuments, lockedRow } from './locked-row.ts'
import type { Problems } from './problems.ts'
import { recentKeys } from './recent-rows.ts'
import { spaceKey } from './rows.ts'
import { isSkipDue, type SkipLimits, type SkippedAhead, skipAhead } from './skip.ts'
import type { SpaceChannel } from './space-channel.ts'
import type { StoreRow } from './store.ts'
import { encodeTrustRow, type Vouched } from './trust.ts'
import { documentRows, replacedViewRows } from './view-rows.ts'

/** Which documents a replica keeps: all of the space, or those that were opened on it. */
export type Replicate = 'all' | 'opened'

export interface ReplicationOptions {
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
  readonly view: () => LogView
  readonly note: () => Uint8Array | undefined
  readonly keys: () => SpaceKeys
  readonly self: () => { readonly member: MemberId; readonly device: number | undefined }
  /** Gets the secrets of the epochs in this view, which these entries led to. */
  readonly gatherKeys: (view: LogView, entries: readonly VerifiedEntry[]) => Promise<void>
  /** Is this replica about to be admitted? Then it has no keys when the log arrives: documents come afterwards. */
  readonly isJoining: boolean
  /** Makes rows durable, and then this view the one that counts. */
  readonly replaceView: (view: LogView, note: Uint8Array, change: RowChange) => Promise<void>
  readonly commit: (change: RowChange) => Promise<void>
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

export interface RowChange {
  readonly puts: readonly StoreRow[]
  readonly deletes: readonly Uint8Array[]
}

/**
 * What a replica has of a space's documents, and how it gets what it lacks: by fast-forward where much was missed, and
 * document by document where it does not have all (DESIGN §5.3, §5.4).
 */
export class Replication {
  readonly #options: ReplicationOptions
  #held: Set<DocumentId> | undefined
  readonly #wanted = new Set<DocumentId>([DIRECTORY_DOCUMENT])
  /** Documents from before the time that this member may read, with the epoch of which it would take the key. */
  readonly #locked = new Map<DocumentId, number>()
  readonly #fetches: DocumentFetches
  #vouched: Vouched | undefined
  /** How far the audit had come when that was stored last. */
  #storedProgress = 0
  /** Of what was skipped; or a survey, of a log that is verified already, for documents that nothing here names. */
  #audit: Audit | undefined
  /** A skip did not verify: the log is replayed instead. */
  #skipFailed = false
  #closed = false

  constructor(options: ReplicationOptions) {
    this.#options = options
    const { held, view, replicate, isJoining } = options
    // A replica that begins with the first entry knows all that there is of these two, which is nothing.
    const isNew = view().state === undefined
    this.#held = held === undefined ? undefined : new Set(held)
    if (isNew && replicate === 'opened') this.#held = new Set([CONTROL_DOCUMENT, DIRECTORY_DOCUMENT])
    if (isNew && isJoining) this.#held = new Set([CONTROL_DOCUMENT])
    for (const [document, birthEpoch] of options.locked) this.#locked.set(document, birthEpoch)
    this.#vouched = options.vouched
    this.#storedProgress = options.vouched?.audited.range.size ?? 0
    this.#fetches = new DocumentFetches({
      ...options,
      adopt: (document, state, adoption) => this.#adopt(document, state, adoption),
      onLacking: document => this.refetch(document),
      onLocked: (document, birthEpoch) => {
        this.#locked.set(document, birthEpoch)
        this.#keepLocked()
        options.onUpdate()
      },
      onFree: () => this.resume(),
    })
  }

  /** Undefined where the replica has all documents. */
  get held(): ReadonlySet<DocumentId> | undefined {
    return this.#held
  }

  /** Of which documents the relay is to send bodies unasked: as many as a message may name, what came last first. */
  get wants(): readonly DocumentId[] | undefined {
    return this.#held && [...this.#held].slice(-MAX_WANTS)
  }

  get vouched(): Vouched | undefined {
    return this.#vouched
  }

  /**
   * Everything that is wanted is here. Where trust is vouched, that is what the directory lists: which other documents
   * there are, the audit will show.
   */
  get isComplete(): boolean {
    if (this.#held === undefined) return true
    // Its key comes to every member, with the next epoch at the latest.
    if (this.#locked.has(DIRECTORY_DOCUMENT)) return false
    const isPartial = this.#options.replicate === 'opened' || this.#vouched !== undefined || this.#locked.size > 0
    return this.#missing().length === 0 && isPartial
  }

  /** Is it known that this member may not read the document? */
  isLocked(document: DocumentId): boolean {
    return this.#locked.has(document)
  }

  /** Secrets of epochs came that were not here: what was locked may not be any more. */
  keysArrived(): void {
    // Each is fetched as a whole, so those whose key is not among them stay where they are.
    for (const [document, birthEpoch] of this.#locked) {
      if (isReadable(this.#options.keys(), document, birthEpoch)) this.#locked.delete(document)
    }
    this.#keepLocked()
    this.fetchMissing()
  }

  /** Offline, too, a document that is locked is to be shown as that. Where it cannot be stored, the log shows it again. */
  #keepLocked(): void {
    const { commit, view } = this.#options
    if (!this.#closed) commit({ puts: [lockedRow(view().space, this.#locked)], deletes: [] }).catch(() => {})
  }

  isKnown(document: DocumentId): boolean {
    return this.#held?.has(document) ?? true
  }

  /** The state without what this replica does not keep. */
  keep(state: SpaceState): SpaceState {
    return this.#held === undefined ? state : keepDocuments(state, this.#held)
  }

  /** Somebody opened this document, or wrote to it. */
  want(document: DocumentId): void {
    if (this.isKnown(document)) return
    this.#wanted.add(document)
    this.fetchMissing()
  }

  /** Asks for a document once more, as what came first could not be taken. */
  refetch(document: DocumentId): void {
    this.#held?.delete(document)
    this.want(document)
  }

  /** Entries came in; a replica of everything wants the documents that they are about. */
  noticed(entries: readonly VerifiedEntry[]): void {
    if (this.#held === undefined || this.#options.replicate !== 'all') return
    for (const { header } of entries) this.#wanted.add(header.document)
  }

  /** The directory lists these. */
  listed(documents: Iterable<DocumentId>): void {
    if (this.#held === undefined || this.#options.replicate !== 'all') return
    for (const document of documents) this.#wanted.add(document)
    this.fetchMissing()
  }

  close(): void {
    this.#closed = true
    this.#fetches.close()
    this.#audit?.stop()
  }

  /** What was on its way is lost. */
  reset(): void {
    this.#fetches.reset()
  }

  // -- The log as a whole -----------------------------------------------------------------------------------------

  /** From where on the log is wanted: where a skip is to come first, only its end. */
  get openFrom(): number {
    const view = this.#options.view()
    const isDue =
      !this.#skipFailed && view.state === undefined && isSkipDue({ view, claimed: 0, limits: this.#options.limits })
    return isDue ? (view.anchors.at(-1)?.size ?? 0) : view.range.size
  }

  /**
   * Skips ahead where that is due. Whatever is wrong with it is shown, and the log is replayed instead.
   * @param claimed size of the log that the relay speaks of
   * @returns whether the view is another now; then the space is to be opened anew
   */
  async skip(claimed: number): Promise<boolean> {
    const { channel, verifier, limits, environment, problems, self } = this.#options
    const view = this.#options.view()
    if (this.#skipFailed || this.#vouched !== undefined || !isSkipDue({ view, claimed, limits })) return false
    const over = channel.guard()
    try {
      const skipped = await skipAhead({ channel, verifier, view, claimed, limits, ...self() })
      if (over()) return true
      if (skipped === undefined) {
        this.#skipFailed = true
        return false
      }
      await this.#options.gatherKeys(skipped.view, skipped.entries)
      const note = this.#options.note()
      const vouched = vouchedFor(view, note, skipped.view, skipped.note, skipped.by)
      const isKept = await this.#options.documents.exclusive(async () => {
        // A head may have come in since, which the log that is skipped to has to lead to as well.
        if (this.#options.view() !== view) return false
        await this.#keepSkipped(skipped, vouched)
        return true
      })
      if (!isKept) return true
      problems.clear('skip')
      this.#options.onEntries(skipped.entries)
      return true
    } catch (error) {
      if (over()) return true
      const { code, message } = asSealogError(error, 'ERR_STORE', 'fast-forward failed')
      if (code.startsWith('ERR_STORE')) throw error
      this.#skipFailed = true
      problems.add('skip', { code, message, since: environment.now() })
      return false
    }
  }

  async #keepSkipped({ view, note, entries }: SkippedAhead, vouched: Vouched): Promise<void> {
    const before = this.#options.view().state?.control
    const held = new Set([CONTROL_DOCUMENT])
    const control = view.state && findDocument(view.state, CONTROL_DOCUMENT)
    const puts: StoreRow[] = [
      ...replacedViewRows(view, note, held, before),
      ...historyRows(view.space, entries, before?.count ?? 0),
      ...(control === undefined ? [] : documentRows(view.space, control)),
      [spaceKey(view.space, 'trust'), encodeTrustRow(vouched)],
    ]
    const deletes = recentKeys(view.space, this.#options.view().range.size)
    await this.#options.replaceView(view, note, { puts, deletes })
    this.#vouched = vouched
    this.#storedProgress = vouched.audited.range.size
    this.#held = held
    for (const { document } of this.#options.documents.metas()) this.#wanted.add(document)
  }

  /** Goes on with the audit of what was skipped, and with documents that are missing. */
  resume(): void {
    this.fetchMissing()
    // What people wait for comes first.
    if (this.#fetches.isBusy || !this.#options.isAdmitted()) return
    const isSurvey = this.#vouched === undefined
    const due = this.#audit?.vouched ?? this.#vouched ?? this.#survey()
    if (due === undefined) return
    const { channel, verifier, environment, replicate, problems, onEvidence, onUpdate } = this.#options
    this.#audit ??= new Audit(due, {
      channel,
      verifier,
      environment,
      keepsAll: replicate === 'all',
      onProgress: async vouched => (isSurvey ? undefined : this.#keepProgress(vouched)),
      onDone: audited => void (isSurvey ? this.#surveyed(audited) : this.#audited(audited)),
      onFault: (error, evidence) => {
        problems.add('audit', { code: error.code, message: error.message, since: environment.now() })
        if (evidence !== undefined) onEvidence(evidence)
        onUpdate()
      },
    })
    this.#audit.resume()
  }

  /**
   * All documents that anything here names have come, and yet the state has more: only the log itself can name them.
   * So its headers are read once more, up to where this replica has verified them.
   */
  #survey(): Vouched | undefined {
    const { replicate, view, note } = this.#options
    const { space, relay, state, head } = view()
    const target = note()
    const isDue = replicate === 'all' && this.#held !== undefined && this.#missing().length === 0
    if (!isDue || head === undefined || target === undefined || state === undefined) return undefined
    // What is locked never comes: a survey finds nothing more than the first one did.
    if (!isCurrent(view()) || isWhole(state) || this.#locked.size > 0) return undefined
    const { size, root } = head
    const audited = emptyView(space, relay, [{ size, root, note: target }])
    return { target: { size, note: target }, by: 'inviter', audited, note: undefined }
  }

  #surveyed({ state }: LogView): void {
    this.#audit = undefined
    this.#options.problems.clear('audit')
    if (state !== undefined) this.listed([...documentsOf(state)].map(({ document }) => document))
    this.#options.onUpdate()
  }

  async #keepProgress(vouched: Vouched): Promise<void> {
    const { space, range } = vouched.audited
    // A space that is closed may be removed by now: nothing of it must come back.
    if (this.#closed) return
    this.#vouched = vouched
    // The row grows with the state: stored with every stretch, it would cost the square of that.
    if (range.size < vouched.target.size && range.size - this.#storedProgress < range.size / 8) return
    await this.#options.commit({ puts: [[spaceKey(space, 'trust'), encodeTrustRow(vouched)]], deletes: [] })
    this.#storedProgress = range.size
  }

  /** Every skipped entry was verified: nothing rests on anybody's word any more. */
  async #audited(audited: LogView): Promise<void> {
    const { commit, problems, environment, onUpdate } = this.#options
    if (this.#closed) return
    try {
      await commit({ puts: [], deletes: [spaceKey(audited.space, 'trust')] })
    } catch (error) {
      const { code, message } = asSealogError(error, 'ERR_STORE', 'the store failed')
      problems.add('audit', { code, message, since: environment.now() })
      // The next one begins where this one ended.
      this.#audit = undefined
      return
    }
    this.#vouched = undefined
    this.#audit = undefined
    problems.clear('audit')
    if (this.#options.replicate === 'all' && audited.state !== undefined) {
      this.listed([...documentsOf(audited.state)].map(({ document }) => document))
    }
    this.fetchMissing()
    onUpdate()
  }

  // -- Documents --------------------------------------------------------------------------------------------------

  #missing(): readonly DocumentId[] {
    return [...this.#wanted].filter(document => !this.isKnown(document) && !this.#locked.has(document))
  }

  /** Asks for what is wanted and not here; a few at a time. */
  fetchMissing(): void {
    const { channel } = this.#options
    // Not before the own device is in the log: to speak as that one, the space is opened anew.
    if (this.#closed || !channel.isLive || !this.#options.isAdmitted()) return
    const missing = this.#missing()
    if (missing.length === 0 && this.#held !== undefined) this.#becomeFull()
    for (const document of missing) this.#fetches.fetch(document)
    for (const { document, stopped } of this.#options.documents.metas()) {
      if (this.isKnown(document)) this.#fetches.fetchParked(document, stopped)
    }
  }

  async #adopt(document: DocumentId, state: SpaceState, adoption: Adoption | undefined): Promise<void> {
    const { documents, replaceView, note } = this.#options
    const view = this.#options.view()
    const held = new Set(this.#held).add(document)
    const next: LogView = { ...view, state: keepDocuments(state, held) }
    const record = findDocument(state, document)
    const plan = adoption && (await documents.adopting(adoption))
    const puts = [
      ...replacedViewRows(next, note(), held, view.state?.control),
      ...(record === undefined ? [] : documentRows(view.space, record)),
      ...(plan?.puts ?? []),
    ]
    await replaceView(next, note() as Uint8Array, { puts, deletes: plan?.deletes ?? [] })
    this.#held = held
    if (adoption !== undefined && plan !== undefined) await documents.adopted(adoption, plan)
    if (plan?.isClosed) this.#options.onRetired(document)
  }

  /** A replica of everything that lacks nothing any more needs no tracers. */
  #becomeFull(): void {
    const { channel, documents, replicate, view } = this.#options
    const { state, space } = view()
    if (replicate !== 'all' || this.#vouched !== undefined || state === undefined || !isWhole(state)) return
    // What is held back is not here yet: it comes as a whole once the own chain is closed.
    for (const { clonedAt } of documents.metas()) if (clonedAt === HELD_BACK) return
    channel.enqueue(async () => {
      if (this.#held === undefined || this.#missing().length > 0) return
      const deletes = [spaceKey(space, 'skeleton')]
      await documents.exclusive(() => this.#options.commit({ puts: [], deletes }))
      this.#held = undefined
      channel.open()
    })
  }
}

function isWhole(state: SpaceState): boolean {
  try {
    for (const _ of documentsOf(state));
    return true
  } catch (error) {
    if (hasCode(error, 'ERR_PROOF')) return false
    throw error
  }
}

/** The audit goes from what was verified before to the checkpoint that was skipped to. */
function vouchedFor(
  before: LogView,
  note: Uint8Array | undefined,
  after: LogView,
  target: Uint8Array,
  by: Vouched['by'],
): Vouched {
  const { size } = after.range
  const head = after.head
  if (head === undefined) throw new SealogError('ERR_UNEXPECTED', 'a skip without a checkpoint')
  const anchors = [...before.anchors.filter(anchor => anchor.size < size), { size, root: head.root, note: target }]
  return { target: { size, note: target }, by, audited: { ...before, anchors, head: undefined }, note }
}
