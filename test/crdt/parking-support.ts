import * as Automerge from '@automerge/automerge/slim'
import { concat, fromHex } from '../../src/bytes.ts'
import { absorb } from '../../src/crdt/absorb.ts'
import type { Adoption } from '../../src/crdt/adopt.ts'
import { type AnyDoc, emptyDoc } from '../../src/crdt/content.ts'
import type { Stopped } from '../../src/crdt/document-meta.ts'
import { DocumentSet } from '../../src/crdt/document-set.ts'
import { SpaceKeys } from '../../src/crdt/epoch-secrets.ts'
import { type ChangesPayload, encodeChangesPayload } from '../../src/crdt/payload.ts'
import type { ReplicaStore } from '../../src/crdt/store.ts'
import { sha256 } from '../../src/crypto/hash.ts'
import { changeTag, sealBody } from '../../src/crypto/keyring.ts'
import { type ActorId, spaceIdOf } from '../../src/ids.ts'
import { encodeHeader, entryHash, type Header, headerContext } from '../../src/verify/entry.ts'
import { type Advanced, emptyView, type VerifiedEntry } from '../../src/verify/log.ts'
import { bytesOf, DOCUMENT } from '../helpers/log-builder.ts'

export const KEYS: SpaceKeys = new SpaceKeys(new Map([[0, { kind: 'all', secret: bytesOf('epoch secret') }]]))
const SPACE = spaceIdOf(bytesOf('space'))
const { content: CONTENT_KEY, tag: TAG_KEY } = KEYS.forDocument(DOCUMENT, 0, 0)

export function actorOf(name: string): ActorId {
  return name.repeat(32).slice(0, 32) as ActorId
}

/** What an author puts into an entry; by default what its tag commits to. */
export interface Content extends Partial<ChangesPayload> {
  readonly kind?: Header['kind']
  /** The change that the header commits to, 32 bytes. */
  readonly tagged?: Uint8Array
  /** In place of the payload of changes. */
  readonly plain?: Uint8Array
  /** In place of the sealed payload. */
  readonly body?: Uint8Array
}

/** An author who edits a document, and signs whatever the test says. */
export class Author {
  readonly actor: ActorId
  doc: AnyDoc
  #seq = 0
  #prev: Uint8Array = new Uint8Array(32)
  /** Own changes in entries. */
  #sent = 0
  #tip: { seq: number; hash: Uint8Array } = { seq: 0, hash: new Uint8Array(32) }

  constructor(name: string) {
    this.actor = actorOf(name)
    this.doc = emptyDoc(this.actor)
  }

  edit(fn: (draft: Record<string, unknown>) => void): void {
    this.doc = Automerge.change(this.doc, { time: 0 }, fn)
  }

  set(key: string, value: unknown): void {
    this.edit(doc => {
      doc[key] = value
    })
  }

  /** Has seen all that another author has written. */
  merge(other: Author): void {
    this.doc = Automerge.merge(this.doc, Automerge.clone(other.doc))
  }

  /** Own changes in order, as chunks and hashes. */
  changes(): readonly { readonly bytes: Uint8Array; readonly hash: Uint8Array }[] {
    const backend = Automerge.getBackend(this.doc)
    return backend
      .getChangesMeta([])
      .filter(meta => meta.actor === this.actor)
      .map(({ hash }) => ({ bytes: backend.getChangeByHash(hash) as Uint8Array, hash: fromHex(hash) }))
  }

  /** All own changes that no entry has, as the payload of one. */
  next(encoding: ChangesPayload['encoding'] = 'raw'): ChangesPayload | undefined {
    const all = this.changes()
    const unsent = all.slice(this.#sent)
    const last = unsent.at(-1)
    if (last === undefined) return undefined
    const hashes = unsent.map(({ hash }) => Buffer.from(hash).toString('hex'))
    const chunks =
      encoding === 'raw'
        ? concat(...unsent.map(({ bytes }) => bytes))
        : Automerge.getBackend(this.doc).saveBundle(hashes)
    this.#sent = all.length
    this.#tip = { seq: all.length, hash: last.hash }
    return { encoding, latestHash: last.hash, latestSeq: all.length, count: unsent.length, chunks }
  }

  /** The author's next entry, at this place of the log; without content its kind alone. */
  entry(index: number, { kind = 'changes', tagged, plain, body, ...payload }: Content): VerifiedEntry {
    const draft: Omit<Header, 'bodyHash' | 'bodyLength'> = {
      space: bytesOf('space'),
      document: DOCUMENT,
      device: 1,
      incarnation: new Uint8Array(8),
      seq: this.#seq,
      prev: this.#prev,
      seenSize: index,
      seenRoot: bytesOf('seen'),
      epoch: 0,
      kind,
      tag: changeTag(TAG_KEY, tagged ?? payload.latestHash ?? this.#tip.hash),
    }
    const sealed = body ?? seal(draft, plain ?? encoded(payload))
    const header: Header = { ...draft, bodyHash: sha256(sealed), bodyLength: sealed.length }
    const hash = entryHash(encodeHeader(header))
    this.#seq++
    this.#prev = hash
    return { index, header, hash, actor: this.actor, body: sealed, control: undefined }
  }

  /** Where the author's chain ends, and the change that it ends with. */
  get end(): { seq: number; hash: Uint8Array; latestSeq: number; latestHash: Uint8Array } {
    return { seq: this.#seq - 1, hash: this.#prev, latestSeq: this.#tip.seq, latestHash: this.#tip.hash }
  }
}

function encoded(payload: Partial<ChangesPayload>): Uint8Array {
  const { encoding = 'raw', latestHash = bytesOf('x'), latestSeq = 1, count = 1, chunks = new Uint8Array(9) } = payload
  return encodeChangesPayload({ encoding, latestHash, latestSeq, count, chunks })
}

function seal(draft: Omit<Header, 'bodyHash' | 'bodyLength'>, payload: Uint8Array): Uint8Array {
  return sealBody({ key: CONTENT_KEY, payload, aad: headerContext(draft), random: bytesOfLength, seq: draft.seq })
}

const bytesOfLength = (length: number): Uint8Array => bytesOf('random').slice(0, length)

/** What a replica makes of a document. */
export interface Outcome {
  readonly heads: readonly string[]
  readonly stopped: readonly (readonly [ActorId, Stopped['reason'], number, string])[]
  readonly missing: readonly number[]
}

/** A replica's documents over a store, without a space around them. */
export class Reader {
  readonly set: DocumentSet
  readonly #store: ReplicaStore
  /** What `problems` would show. */
  readonly problems: Map<ActorId, Stopped> = new Map()
  used = true

  private constructor(store: ReplicaStore) {
    this.#store = store
    this.set = new DocumentSet({
      space: SPACE,
      store,
      random: bytesOfLength,
      devicePublicKey: bytesOf('reader'),
      isUsed: () => this.used,
      keysOf: (document, epoch) => KEYS.forDocument(document, epoch, epoch),
      onChanged: () => {},
      onStopped: (_document, stopped) => {
        for (const [actor, stop] of stopped) this.problems.set(actor, stop)
      },
      onReleased: (_document, actor) => void this.problems.delete(actor),
      onFlush: () => {},
    })
  }

  static async on(store: ReplicaStore): Promise<Reader> {
    await store.open()
    const reader = new Reader(store)
    await reader.set.load()
    return reader
  }

  async close(): Promise<void> {
    await this.set.close()
    await this.#store.close()
  }

  /** What a space does with a batch that was verified. */
  async receive(...entries: readonly VerifiedEntry[]): Promise<void> {
    const view = emptyView(SPACE, { name: 'relay.test', key: bytesOf('relay') }, [])
    const advanced: Advanced = { view, entries, checks: [] }
    await this.set.exclusive(async () => {
      await this.set.settle()
      const absorbed = absorb(advanced, new Uint8Array(0), this.set, KEYS, undefined, undefined)
      await this.#store.commit({ puts: absorbed.puts, deletes: absorbed.deletes })
      for (const { entry, stopped } of absorbed.stopped) this.problems.set(entry.actor, stopped)
      for (const [document, update] of absorbed.updates) this.set.applied(document, update)
      await this.set.settle()
    })
  }

  /** What a space does with a document that came by fast-forward. */
  async adopt(adoption: Adoption): Promise<void> {
    await this.set.exclusive(async () => {
      const plan = await this.set.adopting(adoption)
      await this.#store.commit({ puts: plan.puts, deletes: plan.deletes })
      await this.set.adopted(adoption, plan)
    })
  }

  async serve(...entries: readonly VerifiedEntry[]): Promise<void> {
    await this.set.bodiesArrived(
      DOCUMENT,
      entries.map(({ index, body }) => ({ index, body: body as Uint8Array })),
    )
  }

  async doc(): Promise<AnyDoc> {
    return (await this.set.open(DOCUMENT)).doc
  }

  async outcome(): Promise<Outcome> {
    const doc = await this.doc()
    const stopped = [...this.set.meta(DOCUMENT).stopped]
      .map(([actor, { reason, index, code }]) => [actor, reason, index, code] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1))
    const missing = this.set.missingBodies().map(({ index }) => index)
    return { heads: Automerge.getHeads(doc).sort(), stopped, missing: missing.sort((a, b) => a - b) }
  }
}

/** The same entry, its body withheld. */
export function withheld(entry: VerifiedEntry): VerifiedEntry {
  return { ...entry, body: undefined }
}
