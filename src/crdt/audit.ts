import type { SignatureVerifier } from '../crypto/sign.ts'
import type { Environment } from '../environment.ts'
import { asSealogError, SealogError } from '../errors.ts'
import { CONTROL_DOCUMENT } from '../ids.ts'
import { retryDelay } from '../relay/retry-delay.ts'
import { advance } from '../verify/advance.ts'
import { assertChecks } from '../verify/check.ts'
import type { Batch, LogView, VerifiedEntry } from '../verify/log.ts'
import { keepDocuments } from '../verify/tracer.ts'
import type { SpaceChannel } from './space-channel.ts'
import type { Vouched } from './trust.ts'
import { Witness } from './witness.ts'

/** Delay after something did not verify, in milliseconds. */
const RETRY = 30_000
/** Between two stretches, so that an audit takes no more than a share of the thread and of the connection. */
const PAUSE = 20
/**
 * Progress is kept when it is this share of all that was audited: it is written as a whole, with all that is known of
 * the documents. So what is written altogether stays a small multiple of that, and a crash loses no more than a quarter.
 */
const KEPT_SHARE = 0.25

export interface AuditOptions {
  readonly channel: SpaceChannel
  readonly verifier: SignatureVerifier
  readonly environment: Environment
  /** Keep what is learnt of all documents, for a replica that wants them all; otherwise of none. */
  readonly keepsAll: boolean
  /** Entries were verified, in order; what is to be kept of them is durable with the progress at the latest. */
  readonly onVerified: (entries: readonly VerifiedEntry[]) => Promise<void>
  /** Keeps the progress; now and then. */
  readonly onProgress: (vouched: Vouched) => Promise<void>
  /** Every skipped entry was verified, and leads to the state that was skipped to. */
  readonly onDone: (audited: LogView) => void
  /** @param evidence what convicts the relay, where its own signatures do */
  readonly onFault: (error: SealogError, evidence: Uint8Array | undefined) => void
}

/**
 * The background audit of what a fast-forward skipped (DESIGN §5.4): all headers and signatures, through `advance`
 * like everything else, up to the checkpoint that was skipped to. It upgrades trust from vouched to verified.
 */
export class Audit {
  readonly #options: AuditOptions
  readonly #witness: Witness
  #vouched: Vouched
  /** Number of entries up to which the progress was kept. */
  #kept: number
  #isRunning = false
  #stopped = false
  #cancel: () => void = () => {}

  constructor(vouched: Vouched, options: AuditOptions) {
    this.#vouched = vouched
    this.#kept = vouched.audited.range.size
    this.#options = options
    this.#witness = new Witness(vouched.audited, vouched.note)
    this.#witness.heard(vouched.target.note)
  }

  get vouched(): Vouched {
    return this.#vouched
  }

  /** Goes on where it stopped; to be called whenever the connection is there. */
  resume(): void {
    if (this.#isRunning || this.#stopped) return
    this.#isRunning = true
    this.#cancel()
    void this.#run().finally(() => {
      this.#isRunning = false
    })
  }

  stop(): void {
    this.#stopped = true
    this.#cancel()
  }

  async #run(): Promise<void> {
    const { channel, environment, onDone, onFault } = this.#options
    const { target } = this.#vouched
    let batch: Batch | undefined
    try {
      while (!this.#stopped && channel.isLive) {
        const { audited } = this.#vouched
        if (audited.range.size === target.size) {
          this.#stopped = true
          return onDone(audited)
        }
        batch = undefined
        batch = this.#framed(await channel.read(audited.range.size, target.size))
        await this.#take(batch)
        await new Promise<void>(resolve => {
          this.#cancel = environment.schedule(PAUSE, resolve)
        })
      }
    } catch (error) {
      if (this.#stopped || !channel.isLive) return
      const fault = asSealogError(error, 'ERR_STORE', 'the audit failed')
      onFault(fault, batch && this.#witness.suspect(batch))
      this.#cancel = environment.schedule(retryDelay(environment, RETRY, fault), () => this.resume())
    }
  }

  /** The last stretch ends where the checkpoint is that was skipped to: its own note says what it must lead to. */
  #framed(batch: Batch): Batch {
    const { target } = this.#vouched
    const end = batch.from + batch.entries.length
    if (batch.entries.length === 0 || end > target.size) {
      throw new SealogError('ERR_UNEXPECTED', 'a stretch of the log that was not asked for')
    }
    return end < target.size ? batch : { ...batch, note: target.note, consistency: [] }
  }

  async #take(batch: Batch): Promise<void> {
    const { verifier, keepsAll, onVerified, onProgress } = this.#options
    const advanced = advance(this.#vouched.audited, batch)
    await assertChecks(verifier, advanced.checks)
    this.#witness.accepted(advanced.view, batch.note, batch)
    const { state } = advanced.view
    const kept = state === undefined || keepsAll ? state : keepDocuments(state, [CONTROL_DOCUMENT])
    // Without the heads on the way: the last note is the one that was skipped to, and older than they are.
    const anchors = advanced.view.anchors.filter(({ size }) => size <= this.#vouched.target.size)
    const audited = { ...advanced.view, state: kept, head: undefined, anchors }
    await onVerified(advanced.entries)
    this.#vouched = { ...this.#vouched, audited }
    const { size } = audited.range
    if (size - this.#kept < size * KEPT_SHARE) return
    await onProgress(this.#vouched)
    this.#kept = size
  }
}
