import { concat } from '../bytes.ts'
import { asArray, asBytes, asBytesUpTo, asTuple, asUint, type Cbor, decodeCbor, encodeCbor } from '../codec.ts'
import { SealogError } from '../errors.ts'
import type { ActorId, DocumentId, SpaceId } from '../ids.ts'
import type { EntryKind } from '../verify/entry.ts'
import type { VerifiedEntry } from '../verify/log.ts'
import { documentKey, ordinal, readRow } from './rows.ts'
import type { ReplicaStore, StoreRow } from './store.ts'

/** What a check needs to know of an entry of a chain. */
export interface ChainTag {
  /** Entry of the log; a claim of the relay where that alone said so. */
  readonly index: number
  readonly kind: EntryKind
  readonly epoch: number
  /** 32 bytes. */
  readonly tag: Uint8Array
}

/** A stretch of one chain. */
export interface ChainTags {
  /** Seq of the first entry. */
  readonly first: number
  /** What that names as the entry before it, 32 bytes. */
  readonly prev: Uint8Array
  /** One after the other. */
  readonly tags: readonly ChainTag[]
}

/** Entries of a chain in one row, at multiples of so many: what is read at a time. */
export const TAG_BLOCK = 1024
/** Entries that are gathered in memory before they are written. */
const MOST_GATHERED = 8192
const KINDS: readonly EntryKind[] = ['changes', 'snapshot', 'import', 'retire']
const MAX_ROW: number = TAG_BLOCK * 128

/**
 * The tags that the audit of a skipped log comes by, of documents whose check waits for them: some 40 bytes an entry,
 * until the document is checked. Without them every header would have to be downloaded a second time.
 *
 * A row may be written any time: the log says the same whoever reads it again.
 */
export class KeptTags {
  readonly #space: SpaceId
  readonly #store: ReplicaStore
  readonly #gathered = new Map<string, Gathered>()
  #count = 0

  constructor(space: SpaceId, store: ReplicaStore) {
    this.#space = space
    this.#store = store
  }

  /** Are there so many that they are to be written? */
  get isFull(): boolean {
    return this.#count >= MOST_GATHERED
  }

  /** Takes note of a verified entry; those of a chain in order. Behind a gap nothing of before is of use. */
  gather({ header, actor, index }: VerifiedEntry): void {
    const { document, seq, prev, kind, epoch, tag } = header
    const block = Math.floor(seq / TAG_BLOCK)
    const name = `${document}/${actor}/${block}`
    const found = this.#gathered.get(name)
    const isNext = found !== undefined && seq === found.first + found.tags.length
    const stretch = isNext ? found : { document, actor, block, first: seq, prev, tags: [] }
    if (!isNext) this.#gathered.set(name, stretch)
    stretch.tags.push({ index, kind, epoch, tag })
    this.#count++
  }

  /** The rows of what was gathered, which is forgotten with that. @throws SealogError ERR_STORE… */
  async rows(): Promise<readonly StoreRow[]> {
    const gathered = [...this.#gathered.values()]
    this.#gathered.clear()
    this.#count = 0
    const rows: StoreRow[] = []
    for (const { document, actor, block, ...added } of gathered) {
      const before = await this.block(document, actor, block)
      rows.push([this.#key(document, actor, block), encodeTags(before === undefined ? added : joined(before, added))])
    }
    return rows
  }

  /** What is stored of a block of a chain. @throws SealogError ERR_STORE… */
  async block(document: DocumentId, actor: ActorId, block: number): Promise<ChainTags | undefined> {
    const value = await this.#store.get(this.#key(document, actor, block))
    return value && readRow('tags', () => decodeTags(value))
  }

  /** Keys of all that is stored of a document. @throws SealogError ERR_STORE… */
  async keys(document: DocumentId): Promise<readonly Uint8Array[]> {
    return (await this.#store.scan(documentKey(this.#space, 'tags', document, ''))).map(([key]) => key)
  }

  #key(document: DocumentId, actor: ActorId, block: number): Uint8Array {
    return documentKey(this.#space, 'tags', document, `${actor}/${ordinal(block)}`)
  }
}

interface Gathered extends ChainTags {
  readonly document: DocumentId
  readonly actor: ActorId
  readonly block: number
  readonly tags: ChainTag[]
}

/** What was read again takes the place of what it was; behind a gap nothing of before is of use. */
function joined(before: ChainTags, added: ChainTags): ChainTags {
  const kept = added.first - before.first
  if (kept <= 0 || kept > before.tags.length) return added
  return { ...before, tags: [...before.tags.slice(0, kept), ...added.tags] }
}

function encodeTags({ first, prev, tags }: ChainTags): Uint8Array {
  return encodeCbor([
    first,
    prev,
    tags.map(({ index, kind, epoch }): Cbor => [index, KINDS.indexOf(kind), epoch]),
    concat(...tags.map(({ tag }) => tag)),
  ])
}

function decodeTags(value: Uint8Array): ChainTags {
  const [first, prev, entries, tags] = asTuple(decodeCbor(value, MAX_ROW), 4, 'tags')
  const items = asArray(entries, TAG_BLOCK, 'entries')
  const bytes = asBytesUpTo(tags, TAG_BLOCK * 32, 'tags')
  if (bytes.length !== items.length * 32) throw new SealogError('ERR_MALFORMED', 'tags: expected one for each entry')
  return {
    first: asUint(first, 'first'),
    prev: asBytes(prev, 32, 'prev'),
    tags: items.map((item, i) => {
      const [index, kind, epoch] = asTuple(item, 3, 'entry')
      return {
        index: asUint(index, 'index'),
        kind: KINDS[asUint(kind, 'kind', KINDS.length - 1)] as EntryKind,
        epoch: asUint(epoch, 'epoch'),
        tag: bytes.subarray(i * 32, i * 32 + 32),
      }
    }),
  }
}
