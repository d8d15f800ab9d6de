import type { Environment } from '../environment.ts'
import type { DocumentSet } from './document-set.ts'
import type { SpaceKeys } from './epoch-secrets.ts'
import type { KeptLog } from './kept-log.ts'
import type { Problems } from './problems.ts'
import { holdsLatestKey, type Standing } from './standing.ts'

/** Delay before a relay whose latest head is too old is asked for another one again, in milliseconds. */
const ASK_AGAIN = 30_000

export interface WriteGateOptions {
  readonly log: Pick<KeptLog, 'view'>
  readonly standing: Pick<Standing, 'isWriter' | 'device' | 'member'>
  readonly keys: () => SpaceKeys
  readonly documents: Pick<DocumentSet, 'cores'>
  readonly problems: Problems
  readonly environment: Environment
  /** Nothing is sealed on a head that is older, in milliseconds. */
  readonly maxHeadAge: number
  /** Asks the relay for its latest head; the answer comes as any other batch. */
  readonly askForHead: () => void
  /** What waits may be tried again. */
  readonly onRetry: () => void
}

/**
 * Whether content may be sealed now: by a writer, under an epoch whose secret was held against its commitments and that
 * nobody knows who should not read on, and on a log that is neither old nor short of what others were shown, as what the
 * relay keeps back may be a removal (DESIGN §4, §7).
 */
export class WriteGate {
  readonly #options: WriteGateOptions
  /** The relay was asked for a later head. */
  #cancelAsk: (() => void) | undefined

  constructor(options: WriteGateOptions) {
    this.#options = options
  }

  /** Shows what keeps it closed, where that is not for the member itself to know. */
  isOpen(): boolean {
    const { log, standing, keys } = this.#options
    const control = log.view.state?.control
    if (control === undefined || !standing.isWriter || this.#isShort()) return false
    return control.rotation !== 'tainted' && holdsLatestKey(control, standing.member, keys()) && this.#isFresh()
  }

  /** Who was made a reader keeps what was not sent: it goes out once it may write again. */
  tellReader(): void {
    const { standing, documents, problems, environment } = this.#options
    const isReader = standing.device !== undefined && !standing.isWriter
    const isHeldBack = isReader && [...documents.cores()].some(core => core.locals.length > 0)
    const message = 'this member may only read now: changes that were not sent stay on this device'
    if (isHeldBack) problems.add('read-only', { code: 'ERR_READ_ONLY', message, since: environment.now() })
    else problems.clear('read-only')
  }

  close(): void {
    this.#cancelAsk?.()
  }

  /** Has the relay signed a longer log to somebody else than it shows here? */
  #isShort(): boolean {
    const { log, problems, environment } = this.#options
    const { anchors, range } = log.view
    const ahead = anchors.find(({ size }) => size > range.size)
    if (ahead === undefined) {
      problems.clear('head-ahead')
      return false
    }
    const message = `the relay shows ${range.size} entries, and signed ${ahead.size} to others: nothing is sent before they are here`
    problems.add('head-ahead', { code: 'ERR_ROLLBACK', message, since: environment.now() })
    return true
  }

  #isFresh(): boolean {
    const { log, problems, environment, maxHeadAge } = this.#options
    const age = environment.now() - (log.view.head?.time ?? 0)
    if (age <= maxHeadAge) {
      problems.clear('head-age')
      return true
    }
    // A log in which nobody writes grows old by itself: that the relay has no later word shows when it is asked.
    if (this.#cancelAsk === undefined) {
      this.#askForHead()
      return false
    }
    const message = `the relay's latest signature is ${Math.round(age / 1000)} seconds old: nothing is sent on it`
    problems.add('head-age', { code: 'ERR_STALE_HEAD', message, since: environment.now() })
    return false
  }

  #askForHead(): void {
    const { environment, askForHead, onRetry } = this.#options
    this.#cancelAsk = environment.schedule(ASK_AGAIN, () => {
      this.#cancelAsk = undefined
      onRetry()
    })
    askForHead()
  }
}
