import * as Automerge from '@automerge/automerge/slim'
import fc from 'fast-check'
import { concat, toHex } from '../../src/bytes.ts'
import type { Adoption } from '../../src/crdt/adopt.ts'
import { emptyDoc } from '../../src/crdt/content.ts'
import { buildImport } from '../../src/crdt/import-payload.ts'
import type { ChangesPayload } from '../../src/crdt/payload.ts'
import { type ActorToCover, buildSnapshot, verifySnapshot } from '../../src/crdt/snapshot.ts'
import { decodeSnapshotPayload, type ImportSummary, type SnapshotPayload } from '../../src/crdt/snapshot-payload.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import { changeTag } from '../../src/crypto/keyring.ts'
import type { ActorId } from '../../src/ids.ts'
import type { VerifiedEntry } from '../../src/verify/log.ts'
import { emptyDocument } from '../../src/verify/state.ts'
import { chunkOf, hashOf, partsOf } from '../crdt/guard-support.ts'
import { Author, actorOf, KEYS, Reader, withheld } from '../crdt/parking-support.ts'
import { bytesOf, DOCUMENT } from './log-builder.ts'

/** What an author does next: edits, sees what others wrote (also what no entry has yet), or writes an entry. */
const STEPS = [
  'edit',
  'see',
  'see',
  'send',
  'send',
  'bundle',
  // The tag is right, and the body is not.
  'withheld',
  'garbage',
  'another body',
  'wrong bundle',
  'sealed shut',
  'wrong count',
  // The tag is wrong, or what it commits to.
  'mis-tagged',
  'ahead',
  'retire',
  // What replicas make of it, and what an accomplice knows of everybody.
  'honest snapshot',
  'accomplice',
  'forged snapshot',
] as const

export type What = (typeof STEPS)[number]

export interface Step {
  readonly who: number
  readonly what: What
  readonly n: number
}

export interface Script {
  readonly authors: number
  readonly isImported: boolean
  readonly steps: readonly Step[]
}

export const scripts: fc.Arbitrary<Script> = fc.record({
  authors: fc.integer({ min: 2, max: 4 }),
  isImported: fc.boolean(),
  steps: fc.array(fc.record({ who: fc.nat(3), what: fc.constantFrom(...STEPS), n: fc.nat(30) }), {
    minLength: 6,
    maxLength: 30,
  }),
})

/** A document's part of a log, and what is known of it besides. */
export interface History {
  readonly entries: readonly VerifiedEntry[]
  /** Entries whose body the relay does not serve at first. */
  readonly withheld: ReadonlySet<number>
  /** By the entry that brought them, honest or not. */
  readonly snapshots: ReadonlyMap<number, SnapshotPayload>
  readonly imported: { readonly summary: ImportSummary; readonly tag: Uint8Array } | undefined
}

const { tag: TAG_KEY } = KEYS.forDocument(DOCUMENT, 0, 0)
const tagOf = (committed: Uint8Array): Uint8Array => changeTag(TAG_KEY, committed)

/** Writes what the script says, and has one honest replica follow it, which makes the honest snapshots. */
export async function historyOf({ authors: count, isImported, steps }: Script): Promise<History> {
  const authors = Array.from({ length: count }, (_, i) => new Author('abcd'[i] as string))
  const entries: VerifiedEntry[] = []
  const missing = new Set<number>()
  const snapshots = new Map<number, SnapshotPayload>()
  /** What an accomplice can show of each actor: everything up to its latest entry with a true tag. */
  const truth = new Map<ActorId, ActorToCover>()
  /** Who wrote what no snapshot can have, and whose later tags therefore contradict the earlier ones. */
  const contradicted = new Set<ActorId>()
  const retired = new Set<ActorId>()
  let imported: History['imported']
  const follower = await Reader.on(memoryStore())
  await follower.set.open(DOCUMENT)
  const append = async (entry: VerifiedEntry, isTrue: boolean): Promise<void> => {
    entries.push(entry)
    const author = authors.find(({ actor }) => actor === entry.actor) as Author
    const { seq, hash, latestSeq, latestHash } = author.end
    if (isTrue && !contradicted.has(entry.actor)) {
      const tip = latestSeq === 0 ? undefined : { seq: latestSeq, hash: latestHash }
      truth.set(entry.actor, { actor: entry.actor, seq, hash, tip })
    }
    await follower.receive(missing.has(entry.index) ? withheld(entry) : entry)
    await supplyFrom(follower, { entries, withheld: missing, snapshots, imported }, entry.index)
  }
  if (isImported) {
    const [first] = authors as [Author]
    const foreign = new Author('f')
    foreign.set('list', ['imported'])
    foreign.set('more', 1)
    const { payload, commitment, summary } = buildImport(Automerge.save(foreign.doc))
    for (const author of authors) author.merge(foreign)
    const entry = first.entry(0, { kind: 'import', plain: payload, tagged: commitment })
    imported = { summary, tag: entry.header.tag }
    await append(entry, false)
  }
  for (const { who, what, n } of steps) {
    const author = authors[who % count] as Author
    const index = entries.length
    if (retired.has(author.actor)) continue
    if (what === 'see') author.merge(authors[(who + 1 + (n % (count - 1))) % count] as Author)
    if (what === 'honest snapshot' || what === 'accomplice' || what === 'forged snapshot') {
      const plain =
        what === 'honest snapshot' ? await honest(follower, entries, imported) : known(authors, truth, imported)
      if (plain === undefined) continue
      const payload = decodeSnapshotPayload(plain)
      const forged = what === 'forged snapshot' ? { ...payload, covered: payload.covered.slice(1) } : payload
      snapshots.set(index, forged)
      const isTrue = truth.get(author.actor)?.seq === author.end.seq
      await append(author.entry(index, { kind: 'snapshot', plain, tagged: author.end.latestHash }), isTrue)
      continue
    }
    if (what === 'retire') {
      if (n > 6 || author.end.seq < 0 || truth.get(author.actor)?.seq !== author.end.seq) continue
      retired.add(author.actor)
      await append(author.entry(index, { kind: 'retire', body: new Uint8Array(0) }), true)
      continue
    }
    author.edit(doc => edit(doc, author.actor[0] as string, n))
    if (what === 'edit' || what === 'see') continue
    const payload = author.next(what === 'bundle' || what === 'wrong bundle' ? 'bundle' : 'raw')
    if (payload === undefined) continue
    if (what === 'withheld') missing.add(index)
    if (what === 'ahead' || what === 'mis-tagged') contradicted.add(author.actor)
    const isTrue = what !== 'mis-tagged' && what !== 'ahead'
    await append(author.entry(index, contentOf(what, payload, n, author)), isTrue)
  }
  await follower.close()
  return { entries, withheld: missing, snapshots, imported }
}

function edit(doc: Record<string, unknown>, name: string, n: number): void {
  if (n % 3 === 0) doc[name] = typeof doc[name] === 'number' ? doc[name] + 1 : n
  else if (!Array.isArray(doc.list)) doc.list = [n]
  else doc.list.splice(n % (doc.list.length + 1), 0, `${name}${n}`)
}

export function contentOf(
  what: What,
  payload: ChangesPayload,
  n: number,
  author: Author,
): Parameters<Author['entry']>[1] {
  const { latestHash, chunks } = payload
  switch (what) {
    case 'mis-tagged':
      return { ...payload, tagged: bytesOf('another change') }
    case 'garbage':
      return { ...payload, chunks: chunks.slice(0, -1 - (n % 5)) }
    case 'sealed shut':
      return { body: new Uint8Array(100).fill(n), tagged: latestHash }
    case 'wrong count':
      return { ...payload, count: payload.count + 1, latestSeq: payload.latestSeq + 1 }
    case 'another body': {
      const other = new Author('e')
      other.set('another', n)
      const spoilt = n % 2 === 0 ? other : posing(author.actor)
      return { ...payload, chunks: (spoilt.next() as ChangesPayload).chunks, count: 1 }
    }
    case 'wrong bundle': {
      // A bundle of changes that are fine, but not those of the tag: only Automerge can tell.
      const other = posing(author.actor)
      const made = other.next('bundle') as ChangesPayload
      return { ...made, latestHash, tagged: latestHash }
    }
    case 'ahead': {
      const changes = author.changes().slice(-payload.count)
      const parts = partsOf((changes.pop() as { bytes: Uint8Array }).bytes)
      const last = chunkOf({ ...parts, startOp: parts.startOp + 1000 })
      return { ...payload, chunks: concat(...changes.map(({ bytes }) => bytes), last), latestHash: hashOf(last) }
    }
    default:
      return payload
  }
}

/** Another document by the same actor. */
function posing(actor: ActorId): Author {
  const other = new Author(actor)
  other.set('posing', true)
  return other
}

/** What a replica that follows the log puts into a snapshot. */
async function honest(
  follower: Reader,
  entries: readonly VerifiedEntry[],
  imported: History['imported'],
): Promise<Uint8Array | undefined> {
  const doc = await follower.doc()
  const { stopped, tips, importer } = follower.set.meta(DOCUMENT)
  if (importer !== undefined) return undefined
  const ends = new Map(entries.map(({ actor, header, hash }) => [actor, { seq: header.seq, hash }]))
  const covered = [...ends].flatMap(([actor, end]): ActorToCover[] => {
    const stop = stopped.get(actor)
    const place = stop === undefined ? end : stop.covered
    return place === undefined ? [] : [{ actor, ...place, tip: tips.get(actor) }]
  })
  return buildSnapshot(doc, covered, imported?.summary)
}

/** What everybody really wrote, whatever they put into their bodies. */
function known(
  authors: readonly Author[],
  covered: ReadonlyMap<ActorId, ActorToCover>,
  imported: History['imported'],
): Uint8Array | undefined {
  const heads = [...covered.values()].flatMap(({ tip }) => (tip === undefined ? [] : [toHex(tip.hash)]))
  let all = emptyDoc(actorOf('9'))
  for (const author of authors) all = Automerge.merge(all, Automerge.clone(author.doc))
  const backend = Automerge.getBackend(all)
  const wanted = new Set<string>()
  const visit = (hash: string): void => {
    if (wanted.has(hash)) return
    wanted.add(hash)
    for (const dep of backend.getChangeMetaByHash(hash)?.deps ?? []) visit(dep)
  }
  for (const head of [...heads, ...(imported?.summary.heads.map(toHex) ?? [])]) visit(head)
  const chunks = backend
    .getChangesMeta([])
    .filter(({ hash }) => wanted.has(hash))
    .map(({ hash }) => backend.getChangeByHash(hash) as Uint8Array)
  if (chunks.length === 0) return undefined
  const doc = Automerge.loadIncremental(emptyDoc(actorOf('9')), concat(...chunks))
  return buildSnapshot(doc, [...covered.values()], imported?.summary)
}

/** The snapshot in this entry, as far as the entries bear it out. @returns undefined where they do not */
function verified(
  { entries, snapshots, imported }: History,
  index: number,
): (ReturnType<typeof verifySnapshot> & { payload: SnapshotPayload }) | undefined {
  const payload = snapshots.get(index)
  const [first] = entries
  const isImportCovered = imported === undefined || payload?.covered.some(({ actor }) => actor === first?.actor)
  if (payload === undefined || !isImportCovered) return undefined
  const proven = payload.covered.flatMap(({ actor, seq }) => {
    const entry = entries.find(item => item.actor === actor && item.header.seq === seq)
    return entry === undefined || entry.index >= index ? [] : [{ actor, seq, hash: entry.hash, tag: entry.header.tag }]
  })
  try {
    const snapshot = verifySnapshot({
      payload,
      proven,
      tagOf: (_actor, committed) => tagOf(committed),
      imported: imported && { tag: imported.tag, tagOf },
    })
    return { ...snapshot, payload }
  } catch {
    return undefined
  }
}

/** What a replica does when a snapshot is there that may have what it lacks. */
export async function supplyFrom(reader: Reader, history: History, index: number): Promise<void> {
  const snapshot = verified(history, index)
  if (snapshot === undefined) return
  Automerge.free(snapshot.doc)
  await reader.set.supply(DOCUMENT, snapshot.payload)
}

/** The document as of the first `size` entries, by its latest snapshot that holds. */
export function adoptionOf(history: History, size: number): Adoption {
  const { entries, snapshots, withheld: missing } = history
  const known = entries.slice(0, size)
  const candidates = [...snapshots.keys()].filter(index => index < size).reverse()
  let snapshot: ReturnType<typeof verified>
  for (const index of candidates) snapshot ??= verified(history, index)
  const covered = new Map(snapshot?.payload.covered.map(item => [item.actor, item.seq]))
  const tail = known.filter(({ actor, header }) => header.seq > (covered.get(actor) ?? -1))
  return {
    document: DOCUMENT,
    record: { ...emptyDocument(DOCUMENT, 0), importTag: history.imported?.tag },
    snapshot,
    entries: tail.map(entry => (missing.has(entry.index) ? withheld(entry) : entry)),
    keysOf: (document, epoch) => KEYS.forDocument(document, epoch, epoch),
    unchecked: undefined,
    discard: () => {
      if (snapshot !== undefined) Automerge.free(snapshot.doc)
    },
  }
}
