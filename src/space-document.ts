import type { Attribution } from './crdt/attribution.ts'
import type { Doc, Patch } from './crdt/content.ts'
import type { DocumentInfo } from './crdt/directory.ts'
import type { DocumentCore } from './crdt/document-core.ts'
import type { TextPath } from './crdt/text-authors.ts'
import { SealogError } from './errors.ts'
import { Emitter, type ListenOptions, type Unsubscribe } from './events.ts'
import type { DocumentId } from './ids.ts'
import type { WaitOptions } from './waiting.ts'

/** Where a change came from: this `change()` call, another device, or a document that was put together anew. */
export type ChangeSource = 'change' | 'remote' | 'reload'

export interface ChangeEvent<T> {
  readonly handle: SpaceDocument<T>
  readonly doc: Doc<T>
  /** Empty for `reload`: read `doc` as a whole. */
  readonly patches: Patch[]
  readonly patchInfo: {
    readonly before: Doc<T>
    readonly after: Doc<T>
    readonly source: ChangeSource
  }
}

/** How far the latest own changes of a document have come. */
export interface Receipt {
  /**
   * `unsaved`: only in memory; `pending`: in the local store; `sequenced`: on its way through the relay;
   * `proven`: in the verified log.
   */
  readonly state: 'unsaved' | 'pending' | 'sequenced' | 'proven'
  /** Number of the latest own entry that is proven; undefined before the first in this session. */
  readonly index: number | undefined
  /**
   * Resolves once every change made before this call is proven.
   * @throws SealogError ERR_TIMEOUT, ERR_ABORTED, ERR_CLOSED; what ends `Space.sync`, as it never will be then
   */
  proven(options?: WaitOptions): Promise<void>
}

export interface DocumentEvents<T> {
  change: ChangeEvent<T>
  /** The document's handle was closed. */
  close: { readonly handle: SpaceDocument<T> }
}

/** What a document needs of its space. */
export interface DocumentHost {
  change(core: DocumentCore, fn: (doc: Record<string, unknown>) => void, message: string | undefined): void
  assertWritable(): void
  info(document: DocumentId): DocumentInfo | undefined
  saved(): Promise<void>
  receipt(core: DocumentCore): Receipt
  attribution(core: DocumentCore, path: TextPath | undefined): readonly Attribution[]
  released(document: DocumentId): void
}

/**
 * One open document of a space. Fits where editor bindings expect a handle: `doc`, `change`, `on('change')`.
 */
export class SpaceDocument<T = Record<string, unknown>> {
  readonly id: DocumentId
  readonly #core: DocumentCore
  readonly #host: DocumentHost
  readonly #emitter = new Emitter<DocumentEvents<T>>()
  #closed = false

  /** Made by `Space.createDocument` and `Space.openDocument`. */
  constructor(core: DocumentCore, host: DocumentHost) {
    this.id = core.document
    this.#core = core
    this.#host = host
  }

  /** Name, type and dates from the directory; undefined as long as the directory does not list it. */
  get info(): DocumentInfo | undefined {
    return this.#host.info(this.id)
  }

  /** The document as of now. Treat it as frozen; it is replaced, not changed, by every change. */
  doc(): Doc<T> {
    return this.#core.doc as Doc<T>
  }

  /** Hashes of the latest changes, in hex: equal on two devices exactly when the documents are. */
  heads(): readonly string[] {
    return this.#core.heads()
  }

  /** Is there content? A document that the directory lists may still be on its way. */
  isReady(): boolean {
    return !this.#closed && this.#core.heads().length > 0
  }

  /**
   * The whole document as one `Automerge.save()`, with what is not sent yet: to be kept elsewhere, or to begin another
   * document with (`Space.importDocument`). Also after this device was removed from the space.
   * @throws SealogError ERR_CLOSED, ERR_REENTRANT
   */
  export(): Uint8Array {
    if (this.#closed) throw new SealogError('ERR_CLOSED', 'the document was closed')
    return this.#core.save()
  }

  /**
   * Changes the document: visible at once, durable soon (`saved`), sent when there is a connection.
   * A callback that throws changes nothing.
   * @param fn changes the draft it is given; what it returns is ignored
   * @throws SealogError ERR_CLOSED, ERR_READ_ONLY, ERR_REENTRANT, ERR_GUARD; whatever `fn` throws
   */
  change(fn: (doc: T) => void, options: { readonly message?: string } = {}): void {
    if (typeof fn !== 'function') throw new TypeError('fn: expected a function')
    if (options.message !== undefined && typeof options.message !== 'string') {
      throw new TypeError('message: expected a string')
    }
    if (this.#closed) throw new SealogError('ERR_CLOSED', 'the document was closed')
    this.#host.assertWritable()
    this.#host.change(this.#core, fn as (doc: Record<string, unknown>) => void, options.message)
  }

  /** Resolves when every change made before the call is in the local store. @throws SealogError ERR_STORE… */
  saved(): Promise<void> {
    return this.#host.saved()
  }

  get receipt(): Receipt {
    return this.#host.receipt(this.#core)
  }

  /**
   * Who wrote which stretch of the text at `path`, as of now; without a path, of all texts in the document. Rests on
   * proven entries and own changes alone, never on the actor ids that a document claims; members who were removed keep
   * what they wrote. Empty where no text stands. Reads the whole document, which takes in the
   * order of 100 ms for 100,000 characters.
   * @param path keys and indices from the root on, such as `['body']` or `['tasks', 0, 'title']`
   * @throws SealogError ERR_CLOSED, ERR_CONTENT; ERR_REENTRANT inside `change`; TypeError
   */
  attribution(path?: TextPath): readonly Attribution[] {
    if (path !== undefined && !(Array.isArray(path) && path.every(isStep))) {
      throw new TypeError('path: expected an array of keys and indices')
    }
    if (this.#closed) throw new SealogError('ERR_CLOSED', 'the document was closed')
    return this.#host.attribution(this.#core, path)
  }

  on<Type extends keyof DocumentEvents<T>>(
    type: Type,
    listener: (event: DocumentEvents<T>[Type]) => void,
    options?: ListenOptions,
  ): Unsubscribe {
    return this.#emitter.on(type, listener, options)
  }

  off<Type extends keyof DocumentEvents<T>>(type: Type, listener: (event: DocumentEvents<T>[Type]) => void): void {
    this.#emitter.off(type, listener)
  }

  /** Ends this handle; changes that were made go their way. Idempotent. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#emitter.emit('close', { handle: this })
    this.#emitter.clear()
    this.#host.released(this.id)
  }

  /** Tells the listeners; called by the space. */
  notify(event: Omit<ChangeEvent<T>, 'handle'>): void {
    this.#emitter.emit('change', { ...event, handle: this })
  }
}

function isStep(step: unknown): boolean {
  return typeof step === 'string' || (Number.isSafeInteger(step) && (step as number) >= 0)
}
