import type { SignatureVerifier } from '../crypto/sign.ts'
import type { Environment } from '../environment.ts'
import { hasCode, type SealogError } from '../errors.ts'
import type { DocumentId, MemberId } from '../ids.ts'
import type { Sync } from '../relay/log-messages.ts'
import { advance } from '../verify/advance.ts'
import { assertChecks } from '../verify/check.ts'
import type { Advanced, Batch, LogView, VerifiedEntry } from '../verify/log.ts'
import { type Absorbed, absorb } from './absorb.ts'
import { auditRows } from './delivery-audits.ts'
import type { DocumentSet } from './document-set.ts'
import type { SpaceKeys } from './epoch-secrets.ts'
import { confirmationRow, type Freshness } from './freshness.ts'
import { suspectFork } from './heads.ts'
import type { KeptLog } from './kept-log.ts'
import { bareNote, claimedSize } from './notes.ts'
import { addStopped, type Problems } from './problems.ts'
import { recentRows } from './recent-rows.ts'
import type { Replication } from './replication.ts'
import type { SpaceChannel } from './space-channel.ts'

export interface InboundOptions {
  readonly log: KeptLog
  readonly channel: SpaceChannel
  readonly verifier: SignatureVerifier
  readonly documents: DocumentSet
  readonly replication: Pick<Replication, 'skip' | 'isKnown' | 'keep' | 'held'>
  readonly freshness: Freshness
  readonly problems: Problems
  readonly environment: Pick<Environment, 'now'>
  readonly keys: () => SpaceKeys
  readonly member: () => MemberId
  /** Gets the secrets of the epochs in this view, which these entries led to. */
  readonly gatherKeys: (view: LogView, entries: readonly VerifiedEntry[]) => Promise<void>
  /** The relay contradicted itself. */
  readonly onContradiction: (evidence: Uint8Array) => Promise<void>
  /** The own chain in a document is closed. */
  readonly onRetired: (document: DocumentId) => void
  /** The batch counts from now on: within the step that makes it visible. */
  readonly onKept: (view: LogView, entries: readonly VerifiedEntry[]) => void
}

/**
 * How a batch comes in: the one path for catch-up, live broadcast and acknowledgement (DESIGN §5.3). Why what is shown may
 * be believed is what `take` does, from top to bottom:
 *
 * 1. whole: bodies that were too long to travel with it come first, unverified like the rest;
 * 2. verified: `advance` holds note, leaves, root, `seen`, reducer, state root, coverage and bodies against the view, and
 *    changes nothing; what does not hold is refused whole, and is evidence where the relay's own signatures say so;
 * 3. signed: every signature that it rests on is checked;
 * 4. readable: the secrets of its epochs, each held against what the log commits to, before anything is opened;
 * 5. alone, as nothing else may move rows, bookkeeping and open documents meanwhile:
 *    judged (tag, guard), then durable, in one transaction, and only then visible.
 *
 * Whatever fails before the transaction leaves view, store and documents as they were, but for secrets of epochs, each of
 * which stands on its own; the conversation starts over. Whatever fails behind it takes nothing of the batch back.
 */
export class Inbound {
  readonly #options: InboundOptions
  #unknown: SealogError | undefined

  constructor(options: InboundOptions) {
    this.#options = options
  }

  /** Why a batch could not be read that the relay signed: what is in it is of a later version. */
  get unknown(): SealogError | undefined {
    return this.#unknown
  }

  /**
   * @returns the entries that count from now on; undefined where the space is opened anew instead, or the conversation
   * has started over
   * @throws SealogError with the code of the step that failed
   */
  async take(message: Sync): Promise<readonly VerifiedEntry[] | undefined> {
    const { log, channel, verifier, documents, replication, gatherKeys } = this.#options
    const over = channel.guard()
    if (await this.#isSkipped(message.batch, over)) return undefined
    const batch = await channel.withLargeBodies(message.batch, document => replication.isKnown(document))
    const before = log.view
    const advanced = await this.#advanceOrSuspect(batch, over)
    await assertChecks(verifier, advanced.checks)
    if (over()) return undefined
    await gatherKeys(advanced.view, advanced.entries)
    if (over()) return undefined
    await documents.exclusive(async () => {
      // A head may have come in since, to which these entries have to lead as well.
      await this.#keep(log.view === before ? advanced : this.#advance(batch), batch)
    })
    return advanced.entries
  }

  /** Where much was missed, a fast-forward takes the place of the batch. */
  async #isSkipped(batch: Batch, over: () => boolean): Promise<boolean> {
    const { log, channel, replication } = this.#options
    if (await replication.skip(claimedSize(batch))) {
      if (!over()) channel.open()
      return true
    }
    // Only the end was asked for, as a skip was to come first.
    const isOnlyEnd = batch.from > log.view.range.size && log.view.state === undefined
    if (isOnlyEnd) channel.open()
    return isOnlyEnd
  }

  // -- Verified -----------------------------------------------------------------------------------------------------

  /** What does not fit is refused; and where the relay itself proves that it has gone on from another log, that is all. */
  async #advanceOrSuspect(batch: Batch, over: () => boolean): Promise<Advanced> {
    const { log, channel, onContradiction } = this.#options
    try {
      return this.#advance(batch)
    } catch (error) {
      const isFork = hasCode(error, 'ERR_ROOT_MISMATCH') || hasCode(error, 'ERR_PROOF')
      if (isFork && log.evidence === undefined) {
        const evidence = await suspectFork(batch.note, log.view, log.note, channel)
        if (evidence !== undefined && !over()) await onContradiction(evidence)
      }
      throw error
    }
  }

  #advance(batch: Batch): Advanced {
    const { log, onContradiction } = this.#options
    try {
      return advance(log.view, batch)
    } catch (error) {
      if (hasCode(error, 'ERR_UPGRADE')) this.#unknown = error
      const evidence = log.suspect(batch)
      if (evidence !== undefined) void onContradiction(evidence)
      throw error
    }
  }

  // -- Durable, then visible ----------------------------------------------------------------------------------------

  async #keep(advanced: Advanced, batch: Batch): Promise<void> {
    const { log, documents, replication, freshness, keys, member } = this.#options
    // What is owed to the store about documents comes before anything new.
    await documents.settle()
    const note = bareNote(batch.note, advanced.view)
    const { state } = advanced.view
    const view = { ...advanced.view, state: state && replication.keep(state) }
    const before = log.view.state?.control
    const absorbed = absorb({ ...advanced, view }, note, documents, keys(), replication.held, before)
    const recent = recentRows(view.space, batch)
    const confirmed = freshness.after(advanced.entries, view, member())
    const puts = [
      ...absorbed.puts,
      ...recent.puts,
      ...(state === undefined ? [] : auditRows(view.space, state.control, advanced.entries)),
      ...(confirmed === undefined ? [] : [confirmationRow(view.space, confirmed)]),
    ]
    await log.keep(view, note, { puts, deletes: [...absorbed.deletes, ...recent.deletes] }, batch)
    if (confirmed !== undefined) freshness.keep(confirmed)
    this.#publish(view, absorbed, advanced.entries)
    await documents.settle()
  }

  /** Synchronous: nobody sees half of it. */
  #publish(view: LogView, absorbed: Absorbed, entries: readonly VerifiedEntry[]): void {
    const { documents, problems, environment, onRetired, onKept } = this.#options
    for (const { entry, stopped } of absorbed.stopped) {
      addStopped(problems, entry.header.document, entry.actor, stopped, environment.now())
    }
    for (const [document, update] of absorbed.updates) documents.applied(document, update)
    for (const document of absorbed.retired) onRetired(document)
    onKept(view, entries)
  }
}
