import { attribute, type KnownWriters } from './crdt/attribution.ts'
import type { PatchBatch } from './crdt/content.ts'
import {
  addToDirectory,
  archiveInDirectory,
  type DocumentInfo,
  findInDirectory,
  readDirectory,
} from './crdt/directory.ts'
import { type DocumentCore, MAX_CHANGE_LENGTH } from './crdt/document-core.ts'
import type { DocumentSet } from './crdt/document-set.ts'
import { buildImport } from './crdt/import-payload.ts'
import type { Environment } from './environment.ts'
import { SealogError } from './errors.ts'
import { DIRECTORY_DOCUMENT, type DocumentId, documentIdOf, parseDocumentId } from './ids.ts'
import { type ChangeSource, type Receipt, SpaceDocument } from './space-document.ts'

/** Far more than honest listeners need; an overflow of the stack inside Automerge would ruin the document. */
const DEEPEST = 50

export interface OpenDocumentsOptions {
  readonly documents: DocumentSet
  readonly environment: Environment
  /** @throws SealogError ERR_CLOSED, ERR_READ_ONLY */
  readonly assertWritable: () => void
  readonly receipt: (core: DocumentCore) => Receipt
  readonly writers: (core: DocumentCore) => KnownWriters
  readonly onLocalChange: () => void
  readonly onDirectoryChange: () => void
  /** Somebody holds this document from now on. */
  readonly onUsed: (document: DocumentId) => void
}

/** The handles that an application holds on the documents of a space, and the directory that lists them. */
export class OpenDocuments {
  readonly #options: OpenDocumentsOptions
  readonly #handles = new Map<DocumentId, Set<SpaceDocument<unknown>>>()
  /** How many callers wait for a document to open. */
  readonly #opening = new Map<DocumentId, number>()
  #lastDirectory: DocumentCore | undefined
  /** How many changes are being told at the moment, each by a listener to the one before. */
  #depth = 0
  #closed = false

  constructor(options: OpenDocumentsOptions) {
    this.#options = options
  }

  list(): readonly DocumentInfo[] {
    return readDirectory(this.#directory.doc)
  }

  async create<T extends object>(initial: T, name: string, type: string): Promise<SpaceDocument<T>> {
    const { documents, environment } = this.#options
    const id = documentIdOf(environment.random(16))
    const core = documents.create(id)
    const handle = this.#handle<T>(core)
    try {
      this.#change(core, doc => void Object.assign(doc, initial), undefined)
      const info: DocumentInfo = { id, name, type, created: environment.now(), archived: false }
      this.#change(this.#directory, directory => addToDirectory(directory, info), undefined)
    } catch (error) {
      // Content that Automerge or the guard does not take: there is no document then.
      handle.close()
      throw error
    }
    // Where the store fails, the document is there like any change that is not saved yet: status and `saved` tell.
    await documents.flush().catch(() => {})
    return handle
  }

  /** @throws SealogError ERR_GUARD, ERR_CONTENT, ERR_LIMIT, ERR_STORE… */
  async import<T>(saved: Uint8Array, name: string, type: string): Promise<SpaceDocument<T>> {
    const { documents, environment } = this.#options
    const built = buildImport(saved)
    if (built.payload.length > MAX_CHANGE_LENGTH) {
      throw new SealogError('ERR_LIMIT', `an import of ${built.payload.length} bytes`, {
        details: { limit: MAX_CHANGE_LENGTH },
      })
    }
    const id = documentIdOf(environment.random(16))
    const core = await documents.import(id, built)
    const handle = this.#handle<T>(core)
    const info: DocumentInfo = { id, name, type, created: environment.now(), archived: false }
    this.#change(this.#directory, directory => addToDirectory(directory, info), undefined)
    await documents.flush().catch(() => {})
    return handle
  }

  /** Does somebody hold this document, or is about to? */
  isUsed(document: DocumentId): boolean {
    return document === DIRECTORY_DOCUMENT || this.#handles.has(document) || this.#opening.has(document)
  }

  /** @throws SealogError ERR_UNKNOWN_DOCUMENT, ERR_CLOSED; TypeError */
  async open<T>(id: string): Promise<SpaceDocument<T>> {
    const document = parseDocumentId(id)
    const { documents } = this.#options
    const isKnown = this.info(document) !== undefined || documents.isKnown(document)
    if (!isKnown) throw new SealogError('ERR_UNKNOWN_DOCUMENT', 'no document of this id is known here')
    this.#opening.set(document, (this.#opening.get(document) ?? 0) + 1)
    try {
      const core = await documents.open(document)
      if (this.#closed) throw new SealogError('ERR_CLOSED', 'the space was closed')
      return this.#handle<T>(core)
    } finally {
      const others = (this.#opening.get(document) ?? 1) - 1
      if (others > 0) this.#opening.set(document, others)
      else this.#opening.delete(document)
    }
  }

  /** @throws SealogError ERR_UNKNOWN_DOCUMENT; TypeError */
  async archive(id: string, archived: boolean): Promise<void> {
    const document = parseDocumentId(id)
    if (this.info(document) === undefined) {
      throw new SealogError('ERR_UNKNOWN_DOCUMENT', 'the directory has no document of this id')
    }
    this.#change(this.#directory, directory => archiveInDirectory(directory, document, archived), undefined)
    await this.#options.documents.flush()
  }

  info(document: DocumentId): DocumentInfo | undefined {
    return findInDirectory(this.#directory.doc, document)
  }

  /** Tells the handles of a document that it became another. */
  tell(document: DocumentId, batch: PatchBatch, source: ChangeSource): void {
    const { before, doc, patches } = batch
    const event = { doc, patches, patchInfo: { before, after: doc, source } }
    for (const handle of [...(this.#handles.get(document) ?? [])]) handle.notify(event)
    if (document === DIRECTORY_DOCUMENT) this.#options.onDirectoryChange()
  }

  close(): void {
    this.#closed = true
    this.#lastDirectory = this.#directory
    for (const handles of [...this.#handles.values()]) for (const handle of [...handles]) handle.close()
  }

  /** Always there: the space opens it before anything else, and what it said last can be read when all is closed. */
  get #directory(): DocumentCore {
    const core = this.#options.documents.core(DIRECTORY_DOCUMENT) ?? this.#lastDirectory
    this.#lastDirectory = core
    return core as DocumentCore
  }

  #handle<T>(core: DocumentCore): SpaceDocument<T> {
    const { documents, assertWritable, receipt, writers } = this.#options
    const handle = new SpaceDocument<T>(core, {
      change: (target, fn, message) => this.#change(target, fn, message),
      assertWritable,
      info: document => this.info(document),
      saved: () => documents.flush(),
      receipt,
      attribution: (target, path) => {
        if (target.isChanging) throw new SealogError('ERR_REENTRANT', 'attribution() inside change() of the document')
        return attribute(target.doc, writers(target), path)
      },
      released: document => this.#released(document, handle as SpaceDocument<unknown>),
    })
    const handles = this.#handles.get(core.document) ?? new Set()
    this.#handles.set(core.document, handles.add(handle as SpaceDocument<unknown>))
    this.#options.onUsed(core.document)
    return handle
  }

  #released(document: DocumentId, handle: SpaceDocument<unknown>): void {
    const handles = this.#handles.get(document)
    handles?.delete(handle)
    if (handles?.size !== 0) return
    this.#handles.delete(document)
    if (!this.#closed) void this.#options.documents.release(document)
  }

  #change(core: DocumentCore, fn: (doc: Record<string, unknown>) => void, message: string | undefined): void {
    const { documents, environment, onLocalChange } = this.#options
    if (this.#depth >= DEEPEST)
      throw new SealogError('ERR_REENTRANT', 'listeners answer changes with changes, endlessly')
    const edit = documents.change(core, fn, environment.now(), message)
    if (edit.change === undefined) return
    this.#depth++
    try {
      this.tell(core.document, edit, 'change')
    } finally {
      this.#depth--
    }
    onLocalChange()
  }
}
