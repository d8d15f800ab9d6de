import type { SignatureVerifier } from '../crypto/sign.ts'
import type { Environment } from '../environment.ts'
import { asSealogError, SealogError } from '../errors.ts'
import { CONTROL_DOCUMENT, type MemberId } from '../ids.ts'
import type { LogView, VerifiedEntry } from '../verify/log.ts'
import { findDocument } from '../verify/state.ts'
import type { DocumentSet } from './document-set.ts'
import { historyRows } from './history-rows.ts'
import type { Holdings } from './holdings.ts'
import type { KeptLog } from './kept-log.ts'
import type { Problems } from './problems.ts'
import { recentKeys } from './recent-rows.ts'
import { spaceKey } from './rows.ts'
import { isSkipDue, type SkipLimits, type SkippedAhead, skipAhead } from './skip.ts'
import type { SpaceChannel } from './space-channel.ts'
import type { StoreRow } from './store.ts'
import type { TagAudit } from './tag-audit.ts'
import { encodeTrustRow, type Vouched } from './trust.ts'
import { documentRows, replacedViewRows } from './view-rows.ts'

export interface LogSkipOptions {
  readonly log: KeptLog
  readonly holdings: Holdings
  readonly tags: Pick<TagAudit, 'replayedRows'>
  readonly channel: SpaceChannel
  readonly verifier: SignatureVerifier
  readonly documents: Pick<DocumentSet, 'exclusive' | 'metas'>
  readonly limits: SkipLimits
  readonly problems: Problems
  readonly environment: Pick<Environment, 'now'>
  readonly self: () => { readonly member: MemberId; readonly device: number | undefined }
  /** Gets the secrets of the epochs in this view, which these entries led to. */
  readonly gatherKeys: (view: LogView, entries: readonly VerifiedEntry[]) => Promise<void>
  /** An earlier skip is not audited yet. */
  readonly isVouched: () => boolean
  /** The log of the skip counts from now on: by whom it is vouched. */
  readonly onSkipped: (vouched: Vouched) => void
  /** The control entries on the way. */
  readonly onEntries: (entries: readonly VerifiedEntry[]) => void
}

/** Fast-forward of the log as a whole, where more was missed than is worth replaying at once (DESIGN §5.4). */
export class LogSkip {
  readonly #options: LogSkipOptions
  /** A skip did not verify: the log is replayed instead. */
  #hasFailed = false

  constructor(options: LogSkipOptions) {
    this.#options = options
  }

  /** From where on the log is wanted: where a skip is to come first, only its end. */
  get openFrom(): number {
    const { log, limits } = this.#options
    const { view } = log
    const isDue = !this.#hasFailed && view.state === undefined && isSkipDue({ view, claimed: 0, limits })
    return isDue ? (view.anchors.at(-1)?.size ?? 0) : view.range.size
  }

  /**
   * Skips ahead where that is due. Whatever is wrong with it is shown, and the log is replayed instead.
   * @param claimed size of the log that the relay speaks of
   * @returns whether the view is another now; then the space is to be opened anew
   * @throws SealogError ERR_STORE…
   */
  async skip(claimed: number): Promise<boolean> {
    const { log, channel, verifier, limits, environment, problems, self, isVouched } = this.#options
    const { view, note } = log
    if (this.#hasFailed || isVouched() || !isSkipDue({ view, claimed, limits })) return false
    const over = channel.guard()
    try {
      const skipped = await skipAhead({ channel, verifier, view, claimed, limits, ...self() })
      if (over()) return true
      if (skipped === undefined) {
        this.#hasFailed = true
        return false
      }
      await this.#take(skipped, view, note)
      return true
    } catch (error) {
      if (over()) return true
      const { code, message } = asSealogError(error, 'ERR_STORE', 'fast-forward failed')
      if (code.startsWith('ERR_STORE')) throw error
      this.#hasFailed = true
      problems.add('skip', { code, message, since: environment.now() })
      return false
    }
  }

  /** All entries of the log are here, by whatever way: that one of the ways failed is nobody's concern any more. */
  caughtUp(): void {
    this.#options.problems.clear('skip')
  }

  async #take(skipped: SkippedAhead, before: LogView, note: Uint8Array | undefined): Promise<void> {
    const { log, documents, problems, gatherKeys, onEntries } = this.#options
    await gatherKeys(skipped.view, skipped.entries)
    const vouched = vouchedFor(before, note, skipped)
    const isKept = await documents.exclusive(async () => {
      // A head may have come in since, which the log that is skipped to has to lead to as well.
      if (log.view !== before) return false
      await this.#keep(skipped, vouched)
      return true
    })
    if (!isKept) return
    problems.clear('skip')
    onEntries(skipped.entries)
  }

  async #keep({ view, note, entries }: SkippedAhead, vouched: Vouched): Promise<void> {
    const { log, holdings, tags, documents, onSkipped } = this.#options
    const before = log.view.state?.control
    const held = new Set([CONTROL_DOCUMENT])
    const control = view.state && findDocument(view.state, CONTROL_DOCUMENT)
    const puts: StoreRow[] = [
      ...replacedViewRows(view, note, held, before),
      ...historyRows(view.space, entries, before?.count ?? 0),
      ...(control === undefined ? [] : documentRows(view.space, control)),
      [spaceKey(view.space, 'trust'), encodeTrustRow(vouched)],
      ...tags.replayedRows(log.view.state, document => holdings.isKnown(document)),
    ]
    await log.keep(view, note, { puts, deletes: recentKeys(view.space, log.view.range.size) }, undefined)
    onSkipped(vouched)
    holdings.hold(held)
    for (const { document } of documents.metas()) holdings.want(document)
  }
}

/** The audit goes from what was verified before to the checkpoint that was skipped to. */
function vouchedFor(before: LogView, note: Uint8Array | undefined, { view, note: target, by }: SkippedAhead): Vouched {
  const { head, range } = view
  const { size } = range
  if (head === undefined) throw new SealogError('ERR_UNEXPECTED', 'a skip without a checkpoint')
  const anchors = [...before.anchors.filter(anchor => anchor.size < size), { size, root: head.root, note: target }]
  return { target: { size, note: target }, by, audited: { ...before, anchors, head: undefined }, note }
}
