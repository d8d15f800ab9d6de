import * as Automerge from '@automerge/automerge/slim'
import { fromHex } from '../bytes.ts'
import { SealogError } from '../errors.ts'
import type { ActorId, DocumentId } from '../ids.ts'
import type { ChangeTip } from './chain-place.ts'
import { type AnyDoc, changeCount, type PatchBatch, withoutChanges } from './content.ts'
import type { FileRow } from './file-row.ts'
import { inspect } from './guard.ts'
import { GuardedContent, type Taken } from './guarded-content.ts'
import type { LocalChange } from './local-row.ts'

/** Most bytes of one change: what fits into a body that every space takes (16 MiB), with room for padding. */
export const MAX_CHANGE_LENGTH: number = 15 * 1024 * 1024

export interface LocalEdit extends PatchBatch {
  /** Undefined where the callback changed nothing. */
  readonly change: LocalChange | undefined
}

export interface DocumentCoreOptions {
  readonly document: DocumentId
  readonly actor: ActorId
  readonly content: GuardedContent
  /** Own changes that no proven entry holds, ascending. */
  readonly locals: readonly LocalChange[]
  /** Own change that the proven log ends with. */
  readonly tip: ChangeTip | undefined
  /** Changes in the last saved form. */
  readonly savedCount: number
}

/** One open document: the Automerge document, and which own changes are still on their way into the log. */
export class DocumentCore {
  readonly document: DocumentId
  #actor: ActorId
  #content: GuardedContent
  #tip: ChangeTip | undefined
  #locals: LocalChange[]
  /** Of `#locals`, from this place on nothing is in the store yet. */
  #unsavedFrom: number
  #savedCount: number
  /** Number of proven changes at which a saved form was found not to load; 0 where that never happened. */
  #unsaveableAt = 0
  /** While a callback of `change` runs: what the document was before, and is until that returns. */
  #headsBefore: Automerge.Heads | undefined
  /** Of a document that was given up. */
  #lastHeads: Automerge.Heads | undefined

  constructor(options: DocumentCoreOptions) {
    this.document = options.document
    this.#actor = options.actor
    this.#content = options.content
    this.#tip = options.tip
    this.#locals = [...options.locals]
    this.#unsavedFrom = this.#locals.length
    this.#savedCount = options.savedCount
  }

  get actor(): ActorId {
    return this.#actor
  }

  get doc(): AnyDoc {
    return this.#content.doc
  }

  /**
   * Hashes of the latest changes, in hex. Inside a callback of `change` those before it, without asking Automerge: that
   * would commit what was edited so far as a change of its own.
   */
  heads(): Automerge.Heads {
    return [...(this.#lastHeads ?? this.#headsBefore ?? Automerge.getHeads(this.doc))]
  }

  /** @throws SealogError ERR_REENTRANT inside a callback of `change` */
  save(): Uint8Array {
    if (this.isChanging) throw new SealogError('ERR_REENTRANT', 'the document is being changed')
    return Automerge.save(this.doc)
  }

  /** Is a callback of `change` running? To have Automerge save the document now would cut that change in two. */
  get isChanging(): boolean {
    return this.#headsBefore !== undefined
  }

  get locals(): readonly LocalChange[] {
    return this.#locals
  }

  /** The own change that the proven log ends with. */
  get tip(): ChangeTip | undefined {
    return this.#tip
  }

  /** Is saving it anew worth the while? Own changes that are not proven never go into the saved form. */
  isCompactionDue(least: number, share: number): boolean {
    const proven = changeCount(this.doc) - this.#locals.length
    if (this.#unsaveableAt > 0 && proven < 2 * this.#unsaveableAt) return false
    return proven - this.#savedCount > Math.max(least, share * this.#savedCount)
  }

  /**
   * One local change. A callback that throws, or content that the guard refuses, leaves everything as it was.
   * @param time Unix time in milliseconds; Automerge keeps seconds
   * @throws SealogError ERR_REENTRANT, ERR_GUARD, ERR_LIMIT; whatever the callback throws
   */
  change(fn: (doc: Record<string, unknown>) => void, time: number, message: string | undefined): LocalEdit {
    if (this.isChanging) throw new SealogError('ERR_REENTRANT', 'change() inside change() of the same document')
    this.#headsBefore = Automerge.getHeads(this.doc)
    try {
      return this.#change(fn, time, message)
    } finally {
      this.#headsBefore = undefined
    }
  }

  #change(fn: (doc: Record<string, unknown>) => void, time: number, message: string | undefined): LocalEdit {
    const before = this.doc
    let patches: Automerge.Patch[] = []
    const next = Automerge.change(
      before,
      {
        time: Math.floor(time / 1000),
        ...(message === undefined ? {} : { message }),
        patchCallback: batch => {
          patches = batch
        },
      },
      doc => {
        fn(doc)
      },
    )
    // Automerge hands back the same object where nothing was changed.
    const bytes = next === before ? undefined : Automerge.getLastLocalChange(next)
    if (bytes === undefined) return { before, doc: before, patches: [], change: undefined }
    const last = this.#locals.at(-1) ?? this.#tip
    const seq = (last?.seq ?? 0) + 1
    const change: LocalChange = { seq, hash: this.#inspect(next, bytes, seq, last?.hash), bytes }
    this.#locals.push(change)
    return { before, doc: next, patches, change }
  }

  /** @returns the hash of the change just made. @throws SealogError ERR_GUARD, ERR_LIMIT, after it was taken back */
  #inspect(next: AnyDoc, bytes: Uint8Array, nextSeq: number, previousHash: Uint8Array | undefined): Uint8Array {
    try {
      if (bytes.length > MAX_CHANGE_LENGTH) {
        throw new SealogError('ERR_LIMIT', `a change of ${bytes.length} bytes`, {
          details: { limit: MAX_CHANGE_LENGTH },
        })
      }
      const inspected = inspect(bytes, { actor: this.#actor, nextSeq, previousHash, encoding: 'raw' })
      const hash = inspected.changes[0]?.hash
      if (hash === undefined) throw new SealogError('ERR_GUARD', 'a change without a hash')
      this.#content.edited(next, inspected, hash)
      return fromHex(hash)
    } catch (error) {
      // What a change depends on is all that was there before it.
      const [head = ''] = Automerge.getHeads(next)
      this.#content.restore(Automerge.getBackend(next).getChangeMetaByHash(head)?.deps ?? [], next)
      throw error
    }
  }

  /**
   * Judges the content of proven entries, of others or of a clone, and applies what may be applied.
   * @param tips latest change of each actor that wrote entries
   */
  take(rows: readonly FileRow[], tips: ReadonlyMap<ActorId, ChangeTip>): Taken {
    return this.#content.take(rows, tips)
  }

  /** Applies changes that were checked elsewhere. @returns undefined where they are not as announced */
  trust(rows: readonly FileRow[]): PatchBatch | undefined {
    return this.#content.trust(rows)
  }

  /** Own changes that are not in the store yet. */
  unsaved(): readonly LocalChange[] {
    return this.#locals.slice(this.#unsavedFrom)
  }

  /** Own changes in the store that no proven entry holds. */
  pending(): readonly LocalChange[] {
    return this.#locals.slice(0, this.#unsavedFrom)
  }

  /** These changes, up to `seq`, are in the store now. */
  markSaved(seq: number): void {
    while (this.#unsavedFrom < this.#locals.length && (this.#locals[this.#unsavedFrom] as LocalChange).seq <= seq) {
      this.#unsavedFrom++
    }
  }

  /** Own changes up to `tip` are in the proven log now. */
  markProven(tip: ChangeTip): void {
    this.#tip = tip
    const kept = this.#locals.filter(change => change.seq > tip.seq)
    const dropped = this.#locals.length - kept.length
    this.#locals = kept
    this.#unsavedFrom = Math.max(0, this.#unsavedFrom - dropped)
  }

  /** All proven content, so many changes, is in one saved form now. */
  markCompacted(count: number): void {
    this.#savedCount = count
  }

  /** The saved form does not load: it is not tried again before the document has doubled. */
  markUnsaveable(): void {
    this.#unsaveableAt = changeCount(this.doc) - this.#locals.length
  }

  /** Seq of the latest own change, 0 without any. */
  get lastOwnSeq(): number {
    return this.#locals.at(-1)?.seq ?? this.#tip?.seq ?? 0
  }

  /** The document without own changes that are not proven. */
  proven(): GuardedContent {
    return new GuardedContent(this.#actor, withoutChanges(this.doc, this.#locals, this.#actor))
  }

  /**
   * Puts another document in this one's place, under a new incarnation.
   * @param stored number of the own changes that are in the store already
   */
  replace(content: GuardedContent, actor: ActorId, locals: readonly LocalChange[], stored: number): PatchBatch {
    const before = this.doc
    this.#actor = actor
    this.#content = content
    this.#tip = undefined
    this.#locals = [...locals]
    this.#unsavedFrom = stored
    return { before, doc: content.doc, patches: [] }
  }

  /**
   * Puts what came by fast-forward in this one's place: all of the log up to now, with those own changes on top that it
   * does not hold.
   * @param tip own change that the log ends with
   */
  reload(content: GuardedContent, tip: ChangeTip | undefined, savedCount: number): PatchBatch {
    const before = this.doc
    this.#content = content
    if (tip !== undefined) this.markProven(tip)
    this.#savedCount = savedCount
    return { before, doc: content.doc, patches: [] }
  }

  /**
   * The same, where what was here was refuted, and own changes that built on it go with it.
   * @param kept own changes that are on top of the content, of those that were not proven
   */
  setBack(content: GuardedContent, tip: ChangeTip | undefined, kept: readonly LocalChange[]): PatchBatch {
    const before = this.doc
    this.#content = content
    this.#tip = tip
    const isKept = new Set(kept)
    this.#unsavedFrom = this.#locals.slice(0, this.#unsavedFrom).filter(change => isKept.has(change)).length
    this.#locals = [...kept]
    this.#savedCount = 0
    return { before, doc: content.doc, patches: [] }
  }

  /** Gives up the memory; what was shown last can still be read. */
  free(): void {
    if (this.#lastHeads !== undefined) return
    this.#lastHeads = Automerge.getHeads(this.doc)
    Automerge.free(this.doc)
  }
}
