import { toHex } from '../bytes.ts'
import { hasCode, SealogError } from '../errors.ts'
import type { ActorId, DocumentId } from '../ids.ts'
import { retryDelay } from '../relay/retry-delay.ts'
import { assertChecks } from '../verify/check.ts'
import { type ProvenDocument, verifyDocument } from '../verify/document-proof.ts'
import { decodeDocumentHead } from '../verify/records.ts'
import { knownDocument } from '../verify/state.ts'
import { type Adoption, prepareAdoption, SnapshotContradicted, SnapshotRefused } from './adopt.ts'
import { HELD_BACK } from './adoption-plan.ts'
import type { DocumentFetchesOptions } from './document-fetches-options.ts'
import type { Stopped } from './document-meta.ts'
import { helpfulSnapshot } from './helpful-snapshot.ts'
import { isReadable } from './readable.ts'
import { isCongested } from './refusals.ts'
import type { RecordsAnswer } from './relay-questions.ts'

/** Documents that are asked for at a time: each is put together in memory. */
const FETCHES = 2
/** A document that takes longer shows as a problem, and keeps no other from being asked for, in milliseconds. */
const LATE = 30_000
/** Stands for no snapshot in a `get-document`. */
const ALL_ENTRIES = 2
/** Delay before a document is asked for again that the relay did not serve, in milliseconds. */
const RETRY = 5_000

/** A document as the relay served it. */
interface Prepared {
  readonly proven: ProvenDocument
  /** Undefined where the log has nothing of it, or nothing that can be opened. */
  readonly adoption: Adoption | undefined
  /** The epoch in which it was born, where this replica has no key of that. */
  readonly lockedIn: number | undefined
}

/**
 * Gets documents from the relay, one by one, each with proof (DESIGN §5.4): a few at a time, so that one that is slow,
 * withheld or spoilt by a wrong snapshot keeps no other from coming.
 */
export class DocumentFetches {
  readonly #options: DocumentFetchesOptions
  /** With the snapshot that was asked for what parked actors wrote, where the document is here otherwise. */
  readonly #fetching = new Map<DocumentId, string | undefined>()
  /** Leaf hashes, in hex, of snapshots that were asked for what parked actors wrote. */
  readonly #tried = new Set<string>()
  /** Those of them for which a key was missing. */
  readonly #locked = new Set<string>()
  /** Documents that were put together from all entries, as a snapshot left something open. */
  readonly #replayed = new Set<DocumentId>()
  /** Documents that are to be put together from all entries. */
  readonly #whole = new Set<DocumentId>()
  /** Which snapshot to ask for, of documents whose latest was wrong. */
  readonly #snapshots = new Map<DocumentId, number>()
  /** Of those that are on their way: they have been for long. */
  readonly #late = new Set<DocumentId>()
  readonly #timers = new Set<() => void>()
  /** Documents that the relay refused to serve: the others come first, and then they are asked for again. */
  readonly #postponed = new Set<DocumentId>()
  #cancelRetry: () => void = () => {}

  constructor(options: DocumentFetchesOptions) {
    this.#options = options
  }

  /** Is anything on its way that may be here soon? */
  get isBusy(): boolean {
    return this.#fetching.size > this.#late.size
  }

  close(): void {
    this.#cancelRetry()
  }

  /** What was on its way is lost. */
  reset(): void {
    for (const hash of this.#fetching.values()) if (hash !== undefined) this.#tried.delete(hash)
    this.#fetching.clear()
    this.#postponed.clear()
    this.#late.clear()
    for (const cancel of this.#timers) cancel()
    this.#timers.clear()
  }

  /** Secrets of epochs came that were not here: what did not help for want of them may now. */
  keysArrived(): void {
    for (const hash of this.#locked) this.#tried.delete(hash)
    this.#locked.clear()
  }

  /** Asks for a document that is not here. */
  fetch(document: DocumentId): void {
    this.#fetch(document, this.#whole.has(document) ? ALL_ENTRIES : (this.#snapshots.get(document) ?? 0))
  }

  /** A snapshot of the document is not what the log commits to, or may not be: all entries from the first settle it. */
  replay(document: DocumentId): void {
    this.#whole.add(document)
    this.#options.onLacking(document)
  }

  /** Asks for what parked actors wrote in a document that is here otherwise, where a snapshot may have it. */
  fetchParked(document: DocumentId, stopped: ReadonlyMap<ActorId, Stopped>): void {
    const helpful = helpfulSnapshot(knownDocument(this.#options.view().state, document), stopped, this.#tried)
    if (helpful !== undefined) this.#fetch(document, helpful.choice, helpful.hash)
  }

  /** @param hash of the snapshot in hex, where the document is here, but for what parked actors wrote */
  #fetch(document: DocumentId, snapshot: number, hash?: string): void {
    const isBusy = this.#fetching.size - this.#late.size >= FETCHES
    if (isBusy || this.#fetching.has(document) || this.#postponed.has(document)) return
    this.#fetching.set(document, hash)
    if (hash !== undefined) this.#tried.add(hash)
    const cancel = this.#options.environment.schedule(LATE, () => {
      this.#timers.delete(cancel)
      this.#isLate(document)
    })
    this.#timers.add(cancel)
    const inTime = (): void => {
      cancel()
      this.#timers.delete(cancel)
      this.#late.delete(document)
    }
    this.#options.channel.recordsInTurn(
      { type: 'get-document', document, snapshot },
      answer => {
        inTime()
        return this.#arrived(document, snapshot, answer, hash)
      },
      error => {
        inTime()
        this.#notServed(document, error, hash)
      },
    )
  }

  /** The relay may be slow, or never answer: whoever waits is told, and the others come meanwhile. */
  #isLate(document: DocumentId): void {
    const { environment, problems, onUpdate } = this.#options
    this.#late.add(document)
    const message = 'the relay has not served this document yet'
    problems.add(`document/${document}`, { code: 'ERR_TIMEOUT', message, since: environment.now(), document })
    onUpdate()
    this.#options.onFree()
  }

  async #arrived(
    document: DocumentId,
    snapshot: number,
    answer: RecordsAnswer,
    hash: string | undefined,
  ): Promise<void> {
    const { channel, problems, onUpdate } = this.#options
    const over = channel.guard()
    try {
      const prepared = await this.#prepare(document, snapshot, answer)
      if (over()) return prepared.adoption?.discard()
      if (prepared.lockedIn !== undefined) this.#options.onLocked(document, prepared.lockedIn)
      else if (hash === undefined) await this.#adoptInTurn(document, snapshot, prepared)
      else await this.#supply(document, prepared, hash)
      problems.clear(`document/${document}`)
      // Opened anew meanwhile, the relay does not know that bodies of this document are wanted.
      if (over()) return channel.open()
    } catch (error) {
      if (error instanceof SnapshotRefused) this.#refuseSnapshot(document, error, hash)
      else if (error instanceof SnapshotContradicted) this.replay(document)
      // The store, or a conversation that is over, is not about this document.
      else if (!(error instanceof SealogError) || error.code.startsWith('ERR_STORE') || over()) throw error
      // What the relay says of it does not hold: the others have nothing to do with that, nor has the log.
      else return this.#notServed(document, error, hash)
      if (hash === undefined) this.#snapshots.set(document, Math.min(ALL_ENTRIES, snapshot + 1))
    } finally {
      this.#fetching.delete(document)
    }
    onUpdate()
    this.#options.onFree()
  }

  /** @throws SnapshotRefused; SealogError where the relay's answers do not fit together */
  async #prepare(document: DocumentId, snapshot: number, answer: RecordsAnswer): Promise<Prepared> {
    const { channel, verifier, keys, view } = this.#options
    const proven = verifyDocument(view(), document, decodeDocumentHead(answer.head), answer.records)
    await assertChecks(verifier, proven.checks)
    const { record } = proven
    if (record !== undefined && !isReadable(keys(), document, record.birthEpoch)) {
      return { proven, adoption: undefined, lockedIn: record.birthEpoch }
    }
    return {
      proven,
      lockedIn: undefined,
      adoption:
        record &&
        (await prepareAdoption(proven, record, {
          channel,
          keys: keys(),
          snapshot,
          actor: this.#options.documents.ownActor(document),
        })),
    }
  }

  /** What parked actors wrote may be in the snapshot; where that contradicts what they wrote before, they stay parked. */
  async #supply(document: DocumentId, { adoption }: Prepared, hash: string): Promise<void> {
    adoption?.discard()
    if (adoption?.snapshot === undefined) return
    try {
      await this.#options.documents.supply(document, adoption.snapshot.payload)
    } catch (error) {
      if (hasCode(error, 'ERR_KEY')) this.#locked.add(hash)
      else if (!hasCode(error, 'ERR_CONTENT')) throw error
    }
  }

  /** @throws SnapshotContradicted; SealogError ERR_STORE… */
  async #adoptInTurn(document: DocumentId, snapshot: number, { proven, adoption }: Prepared): Promise<void> {
    const { documents, onAdopted } = this.#options
    await documents.exclusive(() => this.#options.adopt(document, proven.state, adoption))
    this.#fetching.delete(document)
    this.#snapshots.delete(document)
    // What is held back is fetched once more, and in the same way.
    if (snapshot === ALL_ENTRIES && documents.meta(document).clonedAt !== HELD_BACK) this.#whole.delete(document)
    const used = adoption?.snapshot && proven.record?.snapshots.at(-1 - snapshot)
    if (used !== undefined) this.#tried.add(toHex(used.hash))
    await onAdopted()
    if (used !== undefined) this.#replayIfLacking(document)
  }

  /**
   * Somebody builds on what is not in the snapshot, although all that it covers is here: then its author may have found
   * changes for the tags that are not those that everybody took. All entries from the first settle it.
   */
  #replayIfLacking(document: DocumentId): void {
    const { stopped } = this.#options.documents.meta(document)
    const isLacking = [...stopped.values()].some(({ code }) => code === 'ERR_DEPENDENCY')
    if (!isLacking || this.#replayed.has(document)) return
    this.#replayed.add(document)
    this.replay(document)
  }

  /** The author signed a snapshot that is not what the tags commit to: another one will do, or all entries. */
  #refuseSnapshot(document: DocumentId, refused: SnapshotRefused, hash: string | undefined): void {
    const { environment, problems } = this.#options
    const { entry, error } = refused
    if (error.code === 'ERR_KEY' && hash !== undefined) this.#locked.add(hash)
    // Withheld, or lost, as a key may be: nobody's fault that is known, and no problem once the document came otherwise.
    if (error.code === 'ERR_BODY' || error.code === 'ERR_KEY') {
      const { code, message } = error
      problems.add(`document/${document}`, { code, message, since: environment.now(), document })
      return
    }
    problems.add(`snapshot/${document}/${entry.index}`, {
      code: error.code,
      message: `the snapshot in entry ${entry.index} is refused: it is not what the log commits to`,
      since: environment.now(),
      document,
      actor: entry.actor,
      index: entry.index,
    })
  }

  #notServed(document: DocumentId, error: SealogError, hash: string | undefined): void {
    const { environment, problems, onUpdate } = this.#options
    const { code, message } = error
    // Then it is not about this document: the others would be refused as well.
    const isBusy = isCongested(error)
    this.#fetching.delete(document)
    if (hash !== undefined) this.#tried.delete(hash)
    problems.add(`document/${document}`, { code, message, since: environment.now(), document })
    if (this.#postponed.size === 0) {
      this.#cancelRetry()
      const delay = isBusy ? retryDelay(environment, RETRY, error) : RETRY
      this.#cancelRetry = environment.schedule(delay, () => {
        this.#postponed.clear()
        this.#options.onFree()
      })
    }
    this.#postponed.add(document)
    onUpdate()
    if (!isBusy) this.#options.onFree()
  }
}
