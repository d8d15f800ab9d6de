import type { SignatureVerifier } from '../crypto/sign.ts'
import type { Environment } from '../environment.ts'
import { hasCode, SealogError } from '../errors.ts'
import type { DocumentSet } from './document-set.ts'
import { type Compared, compareHead } from './heads.ts'
import type { KeptLog } from './kept-log.ts'
import { bareNote } from './notes.ts'
import type { Problems } from './problems.ts'
import type { SpaceChannel } from './space-channel.ts'

export interface HeardHeadsOptions {
  readonly log: KeptLog
  readonly channel: SpaceChannel
  readonly verifier: SignatureVerifier
  readonly documents: Pick<DocumentSet, 'exclusive'>
  readonly problems: Problems
  readonly environment: Pick<Environment, 'now'>
  /** The relay contradicted itself. */
  readonly onContradiction: (evidence: Uint8Array) => Promise<void>
}

/** The relay's words to others, held one by one against what it said here (DESIGN §5.5). */
export class HeardHeads {
  readonly #options: HeardHeadsOptions
  #comparing: Promise<void> = Promise.resolve()

  constructor(options: HeardHeadsOptions) {
    this.#options = options
  }

  /**
   * @param note as the relay signed it for somebody else
   * @throws SealogError ERR_CHECKPOINT… where it is not the relay's word about this space; ERR_PROOF where the relay
   * does not show that the two are one log; ERR_FROZEN where it contradicted itself
   */
  compare(note: Uint8Array): Promise<void> {
    // One at a time, so that what comes of an earlier one is never shown after what comes of a later one.
    const compared = this.#comparing.then(() => this.#compare(note, false))
    this.#comparing = compared.catch(() => {})
    return compared
  }

  /** @param isAwaited everything has come that the relay had when the head came */
  async #compare(note: Uint8Array, isAwaited: boolean): Promise<void> {
    const { log, channel, documents, problems, environment, onContradiction } = this.#options
    const head = bareNote(note, log.view)
    const compared = await this.#outcome(head)
    log.heard(head)
    const evidence = compared.evidence ?? log.suspect(undefined)
    if (evidence !== undefined) await onContradiction(evidence)
    if (log.evidence !== undefined) throw new SealogError('ERR_FROZEN', 'the relay signed two logs')
    if (compared.refused !== undefined) {
      const { code, message } = compared.refused
      problems.add('head', { code, message, since: environment.now() })
      throw compared.refused
    }
    problems.clear('head')
    const { anchor } = compared
    if (anchor === undefined) return
    // What the relay sent before it signed this head may still be on its way here, and is no rollback.
    if (!isAwaited) await channel.barrier().catch(() => {})
    // A log that grew past it in the meantime was not held against it.
    const isKept = isAwaited && (await documents.exclusive(() => log.keepAnchor(anchor)))
    if (!isKept) await this.#compare(note, true)
  }

  /** With what there is against it: it may contradict other words than the view. */
  async #outcome(head: Uint8Array): Promise<Compared & { readonly refused?: SealogError }> {
    const { log, channel, verifier } = this.#options
    try {
      return await compareHead(head, log.view, log.note, channel, verifier)
    } catch (error) {
      if (hasCode(error, 'ERR_PROOF')) return { refused: error }
      throw error
    }
  }
}
