import type { Random } from '../environment.ts'
import type { ActorId, DocumentId, SpaceId } from '../ids.ts'
import { DocumentCore } from './document-core.ts'
import type { DocumentLedger } from './document-ledger.ts'
import type { DocumentMeta } from './document-meta.ts'
import { GuardedContent } from './guarded-content.ts'
import { ownActor } from './seal.ts'

export interface OpenCoresOptions {
  readonly space: SpaceId
  readonly random: Random
  /** Own Ed25519 key, 32 bytes. */
  readonly devicePublicKey: Uint8Array
  readonly ledger: DocumentLedger
}

/** The documents of one space that are in memory, and as whom this replica writes in each. */
export class OpenCores {
  readonly #options: OpenCoresOptions
  readonly #cores = new Map<DocumentId, DocumentCore>()
  /** Documents whose incarnation the store does not have yet. */
  readonly #unstored = new Set<DocumentId>()

  constructor(options: OpenCoresOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#cores.size
  }

  get(document: DocumentId): DocumentCore | undefined {
    return this.#cores.get(document)
  }

  all(): Iterable<DocumentCore> {
    return this.#cores.values()
  }

  add(core: DocumentCore): void {
    this.#cores.set(core.document, core)
  }

  /** The core itself is the caller's to free. */
  remove(document: DocumentId): void {
    this.#cores.delete(document)
  }

  /** A document of which nothing is here yet. */
  create(document: DocumentId): DocumentCore {
    const { actor } = this.writer(document)
    const content = new GuardedContent(actor)
    const core = new DocumentCore({ document, actor, content, locals: [], tip: undefined, savedCount: 0 })
    this.add(core)
    return core
  }

  freeAll(): void {
    for (const core of this.#cores.values()) core.free()
    this.#cores.clear()
  }

  // -- As whom this replica writes --------------------------------------------------------------------------------

  /** The own actor in a document, where this replica has written there or has it open. */
  ownActor(document: DocumentId): ActorId | undefined {
    const { incarnation } = this.#options.ledger.meta(document)
    return incarnation === undefined ? undefined : this.actorOf(document, incarnation)
  }

  actorOf(document: DocumentId, incarnation: Uint8Array): ActorId {
    return ownActor(this.#options.space, document, this.#options.devicePublicKey, incarnation)
  }

  /** The own actor, and the bookkeeping that names it: an incarnation is chosen where there is none. */
  writer(document: DocumentId): { readonly actor: ActorId; readonly meta: DocumentMeta } {
    const { ledger, random } = this.#options
    const meta = ledger.meta(document)
    const incarnation = meta.incarnation ?? random(8)
    const actor = this.actorOf(document, incarnation)
    if (meta.incarnation !== undefined) return { actor, meta }
    const started = { ...meta, incarnation }
    ledger.set(started)
    this.#unstored.add(document)
    return { actor, meta: started }
  }

  /** Does the store lack the own incarnation in this document? */
  isUnstored(document: DocumentId): boolean {
    return this.#unstored.has(document)
  }

  stored(document: DocumentId): void {
    this.#unstored.delete(document)
  }
}
