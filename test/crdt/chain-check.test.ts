import { beforeAll, describe, expect, it } from 'vitest'
import { checkStretch, isChecked } from '../../src/crdt/chain-check.ts'
import type { AnyDoc } from '../../src/crdt/content.ts'
import { SpaceKeys } from '../../src/crdt/epoch-secrets.ts'
import { type ChainTag, KeptTags, TAG_BLOCK } from '../../src/crdt/kept-tags.ts'
import type { KeysOf } from '../../src/crdt/receive.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import { type UncheckedChain, uncheckedBelow } from '../../src/crdt/unchecked.ts'
import { changeTag } from '../../src/crypto/keyring.ts'
import { spaceIdOf } from '../../src/ids.ts'
import type { EntryKind } from '../../src/verify/entry.ts'
import type { VerifiedEntry } from '../../src/verify/log.ts'
import { initializeAutomerge } from '../helpers/automerge.ts'
import { bytesOf, DOCUMENT } from '../helpers/log-builder.ts'
import { Author } from './parking-support.ts'

beforeAll(initializeAutomerge)

const KEYS = new SpaceKeys(
  new Map([0, 1, 2].map(epoch => [epoch, { kind: 'all' as const, secret: bytesOf(`secret ${epoch}`) }])),
)
const keysOf: KeysOf = (document, epoch) => KEYS.forDocument(document, 0, epoch)

/** An actor that keeps to the rules, one entry after the other. */
class Chain {
  readonly author: Author = new Author('a')
  readonly tags: ChainTag[] = []

  /** An entry with so many changes more; none: of a kind that brings none. */
  add(changes: number, { epoch = 0, kind = 'changes' }: { epoch?: number; kind?: EntryKind } = {}): this {
    for (let i = 0; i < changes; i++) this.author.set('n', this.author.changes().length)
    const latest = this.author.changes().at(-1)?.hash ?? new Uint8Array(32)
    const before = this.tags.at(-1)?.tag
    const isRepeated = kind !== 'changes' && kind !== 'import' && before !== undefined
    const tag = isRepeated ? before : changeTag(keysOf(DOCUMENT, epoch).tag, latest)
    this.tags.push({ index: this.tags.length + 10, kind, epoch, tag })
    return this
  }

  /** What is to be checked of a snapshot that covers all of it. */
  unchecked(): UncheckedChain {
    const last = this.tags.at(-1) as ChainTag
    const changes = this.author.changes()
    const header = { ...last, seq: this.tags.length - 1, prev: bytesOf('before the last') }
    const below = uncheckedBelow({ index: last.index, header } as unknown as VerifiedEntry, {
      actor: this.author.actor,
      seq: header.seq,
      hash: bytesOf('last'),
      latestSeq: changes.length,
      latestHash: changes.at(-1)?.hash ?? new Uint8Array(32),
    })
    if (below === undefined) throw new Error('nothing to check')
    return below
  }

  check(doc: AnyDoc = this.author.doc, keys: KeysOf = keysOf, tags = this.tags): string {
    let chain = this.unchecked()
    for (let slices = 0; slices < 100; slices++) {
      const stretch = { first: 0, prev: new Uint8Array(32), tags }
      const step = checkStretch(DOCUMENT, doc, chain, stretch, keys, { left: 3 })
      if (step.outcome !== 'fits') return step.outcome === 'refuted' ? `refuted at ${step.index}` : step.outcome
      chain = step.chain
      if (isChecked(chain)) return 'fits'
    }
    return 'goes on'
  }
}

describe('an honest actor is never accused (R-SNAPSHOT-10)', () => {
  it.each<[string, (chain: Chain) => Chain]>([
    ['single changes', chain => chain.add(1).add(1).add(1)],
    ['several changes to an entry', chain => chain.add(7).add(1).add(12).add(2)],
    ['across epochs', chain => chain.add(1).add(2, { epoch: 1 }).add(1, { epoch: 2 }).add(1, { epoch: 2 })],
    [
      'with snapshots in between, which repeat a tag',
      chain => chain.add(2).add(0, { kind: 'snapshot' }).add(1, { epoch: 1 }),
    ],
    [
      'a tag repeated into a later epoch',
      chain => chain.add(2).add(0, { kind: 'snapshot', epoch: 1 }).add(0, { kind: 'snapshot', epoch: 2 }),
    ],
    ['a chain that begins with a snapshot', chain => chain.add(0, { kind: 'snapshot' }).add(3).add(1)],
    ['a chain of snapshots alone', chain => chain.add(0, { kind: 'snapshot' }).add(0, { kind: 'snapshot', epoch: 1 })],
    ['a retired chain', chain => chain.add(2).add(1).add(0, { kind: 'retire' })],
    ['who imported and went on', chain => chain.add(0, { kind: 'import' }).add(0, { kind: 'snapshot' }).add(2).add(1)],
  ])('%s', (_, write) => {
    expect(write(new Chain()).check()).toBe('fits')
  })

  it('where a key is missing, nothing is said', () => {
    const chain = new Chain().add(1).add(1, { epoch: 1 }).add(1, { epoch: 2 })
    const partial = new SpaceKeys(
      new Map([0, 2].map(epoch => [epoch, { kind: 'all' as const, secret: bytesOf(`secret ${epoch}`) }])),
    )
    expect(chain.check(undefined, (document, epoch) => partial.forDocument(document, 0, epoch))).toBe('locked')
  })
})

describe('whatever does not fit is found, at its entry', () => {
  const other = { index: 99, kind: 'changes', epoch: 0, tag: bytesOf('another tag') } as const

  it.each([0, 1, 2])('another change in entry %i', at => {
    const chain = new Chain().add(1).add(2).add(1).add(1)
    expect(chain.check(undefined, undefined, chain.tags.with(at, { ...other, index: 10 + at }))).toBe(
      `refuted at ${10 + at}`,
    )
  })

  it('the same change twice, or an earlier one later', () => {
    const chain = new Chain().add(1).add(1).add(1).add(1)
    const [first, second, third] = chain.tags as [ChainTag, ChainTag, ChainTag]
    expect(chain.check(undefined, undefined, chain.tags.with(1, { ...third, index: 11 }))).toBe('refuted at 11')
    expect(chain.check(undefined, undefined, chain.tags.with(0, second).with(1, first))).toBe(
      `refuted at ${second.index}`,
    )
  })

  it('an entry without changes that does not repeat the tag before', () => {
    const chain = new Chain().add(1).add(0, { kind: 'snapshot' }).add(1)
    expect(chain.check(undefined, undefined, chain.tags.with(1, { ...other, kind: 'snapshot' }))).toBe('refuted at 10')
  })
})

describe('tags that the audit comes by', () => {
  it('of 100,000 entries take little, in memory and in the store', async () => {
    const store = memoryStore()
    await store.open()
    const kept = new KeptTags(spaceIdOf(bytesOf('space')), store)
    const actor = new Author('a').actor
    let bytes = 0
    for (let seq = 0; seq < 100_000; seq++) {
      const header = {
        document: DOCUMENT,
        seq,
        prev: bytesOf(`${seq}`),
        kind: 'changes',
        epoch: 3,
        tag: bytesOf(`tag ${seq}`),
      }
      kept.gather({ header, actor, index: 1_000_000 + 3 * seq } as unknown as VerifiedEntry)
      if (kept.isFull || seq === 99_999) await store.commit({ puts: await kept.rows(), deletes: [] })
    }
    for (const [, value] of await store.scan(new Uint8Array(0))) bytes += value.length
    expect(bytes / 100_000).toBeLessThan(44)
    for (const seq of [0, 1023, 1024, 8191, 8192, 99_999]) {
      const block = await kept.block(DOCUMENT, actor, Math.floor(seq / TAG_BLOCK))
      expect(block?.tags[seq - block.first]).toMatchObject({ index: 1_000_000 + 3 * seq, tag: bytesOf(`tag ${seq}`) })
    }
    expect(await kept.keys(DOCUMENT)).toHaveLength(Math.ceil(100_000 / TAG_BLOCK))
  })

  it('behind a gap begin anew, and a stretch that is read twice stays the same', async () => {
    const store = memoryStore()
    await store.open()
    const kept = new KeptTags(spaceIdOf(bytesOf('space')), store)
    const actor = new Author('a').actor
    const gather = async (...seqs: readonly number[]): Promise<unknown> => {
      for (const seq of seqs) {
        const header = {
          document: DOCUMENT,
          seq,
          prev: bytesOf(`${seq}`),
          kind: 'changes',
          epoch: 0,
          tag: bytesOf(`${seq}`),
        }
        kept.gather({ header, actor, index: seq } as unknown as VerifiedEntry)
      }
      await store.commit({ puts: await kept.rows(), deletes: [] })
      const block = await kept.block(DOCUMENT, actor, 0)
      return block && [block.first, block.tags.map(({ index }) => index)]
    }
    expect(await gather(2, 3, 4)).toEqual([2, [2, 3, 4]])
    expect(await gather(4, 5)).toEqual([2, [2, 3, 4, 5]])
    expect(await gather(9, 10)).toEqual([9, [9, 10]])
    expect(await gather(11, 13)).toEqual([13, [13]])
  })
})
