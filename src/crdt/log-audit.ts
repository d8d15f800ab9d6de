import type { SignatureVerifier } from '../crypto/sign.ts'
import type { Environment } from '../environment.ts'
import { asSealogError, hasCode } from '../errors.ts'
import type { DocumentId } from '../ids.ts'
import { emptyView, isCurrent, type LogView } from '../verify/log.ts'
import { documentsOf, type SpaceState } from '../verify/state.ts'
import { Audit } from './audit.ts'
import type { Holdings, Replicate } from './holdings.ts'
import type { KeptLog } from './kept-log.ts'
import type { Problems } from './problems.ts'
import { spaceKey } from './rows.ts'
import type { SpaceChannel } from './space-channel.ts'
import type { TagAudit } from './tag-audit.ts'
import { encodeTrustRow, type Vouched } from './trust.ts'

export interface LogAuditOptions {
  readonly log: KeptLog
  readonly holdings: Holdings
  readonly channel: SpaceChannel
  readonly verifier: SignatureVerifier
  readonly environment: Environment
  readonly problems: Problems
  readonly replicate: Replicate
  /** As stored. */
  readonly vouched: Vouched | undefined
  /** Who makes use of the headers that are read. */
  readonly tags: Pick<TagAudit, 'verified' | 'progress'>
  /** The log has these documents. */
  readonly onListed: (documents: readonly DocumentId[]) => void
  readonly onEvidence: (evidence: Uint8Array) => void
  readonly onUpdate: () => void
}

/**
 * What somebody answers for until it was audited (DESIGN §5.4): reads the headers of a log that was skipped, and now and
 * then those of one that was verified, where only they can name the documents that are missing.
 */
export class LogAudit {
  readonly #options: LogAuditOptions
  #vouched: Vouched | undefined
  /** How far the audit had come when that was stored last. */
  #storedProgress: number
  #audit: Audit | undefined
  #closed = false

  constructor(options: LogAuditOptions) {
    this.#options = options
    this.#vouched = options.vouched
    this.#storedProgress = options.vouched?.audited.range.size ?? 0
  }

  /** What a fast-forward rests on; undefined once every entry was verified. */
  get vouched(): Vouched | undefined {
    return this.#vouched
  }

  /** A fast-forward rests on this from now on, and it is stored. */
  skipped(vouched: Vouched): void {
    this.#vouched = vouched
    this.#storedProgress = vouched.audited.range.size
  }

  close(): void {
    this.#closed = true
    this.#audit?.stop()
  }

  /** Goes on, where there is anything to read. */
  resume(): void {
    const isSurvey = this.#vouched === undefined
    const due = this.#audit?.vouched ?? this.#vouched ?? this.#survey()
    if (due === undefined || this.#closed) return
    const { channel, verifier, environment, replicate, problems, tags, onEvidence, onUpdate } = this.#options
    this.#audit ??= new Audit(due, {
      channel,
      verifier,
      environment,
      keepsAll: replicate === 'all',
      onVerified: async entries => (isSurvey ? undefined : tags.verified(entries)),
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

  // -- What was skipped -------------------------------------------------------------------------------------------

  async #keepProgress(vouched: Vouched): Promise<void> {
    const { space, range } = vouched.audited
    // A space that is closed may be removed by now: nothing of it must come back.
    if (this.#closed) return
    this.#vouched = vouched
    // The row grows with the state: stored with every stretch, it would cost the square of that.
    if (range.size < vouched.target.size && range.size - this.#storedProgress < range.size / 8) return
    const { log, tags } = this.#options
    const puts = [[spaceKey(space, 'trust'), encodeTrustRow(vouched)] as const, ...(await tags.progress())]
    await log.commit({ puts, deletes: [] })
    this.#storedProgress = range.size
  }

  /** Every skipped entry was verified: nothing rests on anybody's word any more. */
  async #audited({ space, state }: LogView): Promise<void> {
    const { log, problems, environment, replicate, tags, onListed, onUpdate } = this.#options
    if (this.#closed) return
    try {
      await log.commit({ puts: await tags.progress(), deletes: [spaceKey(space, 'trust')] })
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
    onListed(replicate === 'all' && state !== undefined ? documentsIn(state) : [])
    onUpdate()
  }

  // -- What nothing here names --------------------------------------------------------------------------------------

  /**
   * All documents that anything here names have come, and yet the state has more: only the log itself can name them.
   * So its headers are read once more, up to where this replica has verified them.
   */
  #survey(): Vouched | undefined {
    const { log, holdings } = this.#options
    const { view, note } = log
    const { space, relay, state, head } = view
    const isDue = holdings.isGrowing && holdings.missing.length === 0
    if (!isDue || head === undefined || note === undefined || state === undefined) return undefined
    // What is locked never comes: a survey finds nothing more than the first one did.
    if (!isCurrent(view) || isWhole(state) || holdings.locked.size > 0) return undefined
    const { size, root } = head
    const audited = emptyView(space, relay, [{ size, root, note }])
    return { target: { size, note }, by: 'inviter', audited, note: undefined }
  }

  #surveyed({ state }: LogView): void {
    const { problems, onListed, onUpdate } = this.#options
    this.#audit = undefined
    problems.clear('audit')
    onListed(state === undefined ? [] : documentsIn(state))
    onUpdate()
  }
}

/** Is everything of the documents known, and not only that there is more? */
export function isWhole(state: SpaceState): boolean {
  try {
    for (const _ of documentsOf(state));
    return true
  } catch (error) {
    if (hasCode(error, 'ERR_PROOF')) return false
    throw error
  }
}

function documentsIn(state: SpaceState): readonly DocumentId[] {
  return [...documentsOf(state)].map(({ document }) => document)
}
