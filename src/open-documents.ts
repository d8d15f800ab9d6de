import type { PatchBatch } from './crdt/content.ts'
import {
  addToDirectory,
  archiveInDirectory,
  type DocumentInfo,
  findInDirectory,
  readDirectory,
} from './crdt/directory.ts'
import type { DocumentCore } from './crdt/document-core.ts'
import type { DocumentSet } from './crdt/document-set.ts'
import type { Environment } from './environment.ts'
import { SealogError } from './errors.ts'
import { DIRECTORY_DOCUMENT, type DocumentId, documentIdOf, parseDocumentId } from './ids.ts'
import { type ChangeSource, type Receipt, SpaceDocument } from './space-document.ts'

export interface OpenDocumentsOptions {
  readonly documents: DocumentSet
  readonly environment: Environment
  /** @throws SealogError ERR_CLOSED, ERR_READ_ONLY */
  readonly assertWritable: () => void
  readonly receipt: (core: DocumentCore) => Receipt
  readonly onLocalChange: () => void
  readonly onDirectoryChange: () => void
}

/** The handles that an application holds on the documents of a space, and the directory that lists them. */
export class OpenDocuments {
  readonly #options: OpenDocumentsOptions
  readonly #handles = new Map<DocumentId, Set<SpaceDocument<unknown>>>()
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
    await documents.flush()
    return handle
  }

  /** @throws SealogError ERR_UNKNOWN_DOCUMENT; TypeError */
  async open<T>(id: string): Promise<SpaceDocument<T>> {
    const document = parseDocumentId(id)
    const { documents } = this.#options
    const isKnown = this.info(document) !== undefined || documents.isKnown(document)
    if (!isKnown) throw new SealogError('ERR_UNKNOWN_DOCUMENT', 'no document of this id is known here')
    return this.#handle<T>(await documents.open(document))
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
    for (const handles of [...this.#handles.values()]) for (const handle of [...handles]) handle.close()
  }

  /** Always open: the space opens it before anything else. */
  get #directory(): DocumentCore {
    return this.#options.documents.core(DIRECTORY_DOCUMENT) as DocumentCore
  }

  #handle<T>(core: DocumentCore): SpaceDocument<T> {
    const { documents, assertWritable, receipt } = this.#options
    const handle = new SpaceDocument<T>(core, {
      change: (target, fn, message) => this.#change(target, fn, message),
      assertWritable,
      info: document => this.info(document),
      saved: () => documents.flush(),
      receipt,
      released: document => this.#released(document, handle as SpaceDocument<unknown>),
    })
    const handles = this.#handles.get(core.document) ?? new Set()
    this.#handles.set(core.document, handles.add(handle as SpaceDocument<unknown>))
    return handle
  }

  #released(document: DocumentId, handle: SpaceDocument<unknown>): void {
    const handles = this.#handles.get(document)
    handles?.delete(handle)
    if (handles?.size !== 0) return
    this.#handles.delete(document)
    if (this.#closed || document === DIRECTORY_DOCUMENT) return
    void this.#options.documents.release(document, () => !this.#handles.has(document))
  }

  #change(core: DocumentCore, fn: (doc: Record<string, unknown>) => void, message: string | undefined): void {
    const { documents, environment, onLocalChange } = this.#options
    const edit = documents.change(core, fn, environment.now(), message)
    if (edit.change === undefined) return
    this.tell(core.document, edit, 'change')
    onLocalChange()
  }
}
