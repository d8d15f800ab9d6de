import type { DocumentId } from '../ids.ts'
import { stretchOf } from './chain-stretch.ts'
import { type ChainTags, type KeptTags, TAG_BLOCK } from './kept-tags.ts'
import type { SpaceChannel } from './space-channel.ts'
import type { UncheckedChain } from './unchecked.ts'

/** Entries of a chain that are asked for at first, at least and at most: they come with their bodies. */
const PAGE = { first: 64, least: 16, most: TAG_BLOCK } as const
/** Bytes of an answer below which the next one may be twice as long, and above which it is to be half. */
const PAGE_BYTES = { few: 256 * 1024, many: 1024 * 1024 } as const

/** Where the tags of a chain come from: out of the audit of what was skipped, and what that did not bring by `get-chain`. */
export class TagSource {
  readonly #kept: Pick<KeptTags, 'block'>
  readonly #channel: SpaceChannel
  #page: number = PAGE.first

  constructor(kept: Pick<KeptTags, 'block'>, channel: SpaceChannel) {
    this.#kept = kept
    this.#channel = channel
  }

  /** Tags of the chain that go up to its next entry. @throws SealogError ERR_PROOF, ERR_OFFLINE, ERR_STORE… */
  async stretch(document: DocumentId, { actor, next, floor }: UncheckedChain): Promise<ChainTags> {
    const block = Math.floor(next.seq / TAG_BLOCK)
    const kept = await this.#kept.block(document, actor, block)
    const end = kept === undefined || kept.first > next.seq ? 0 : kept.first + kept.tags.length
    if (kept !== undefined && next.seq < end) return kept
    const from = Math.max(floor.entry, block * TAG_BLOCK, end, next.seq - this.#page + 1)
    const request = { type: 'get-chain', document, actor, from, to: next.seq } as const
    const { records } = await this.#channel.records(request)
    const bytes = records.reduce((sum, { header, body }) => sum + header.length + (body?.length ?? 0), 0)
    if (bytes < PAGE_BYTES.few) this.#page = Math.min(PAGE.most, this.#page * 2)
    if (bytes > PAGE_BYTES.many) this.#page = Math.max(PAGE.least, this.#page / 2)
    return stretchOf(records, next, from)
  }
}
