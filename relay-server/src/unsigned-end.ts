import {
  type ActorId,
  appendLeaves,
  type CompactRange,
  type DocumentId,
  decodeHeader,
  decodeRange,
  encodeRange,
  entryHash,
  equalBytes,
  type Header,
  INLINE_BODY_LENGTH,
  rootAt,
  rootOf,
  SealogError,
  type SignatureVerifier,
  type SpaceId,
} from 'sealog/protocol'
import { foldedEntry, LogFold, type RelayName } from './fsck-fold.ts'
import { readSignedNote } from './fsck-notes.ts'
import type { AppendUndo, LogStore, StateRows, StoredEntry } from './log-store.ts'
import { isTombstone } from './log-store-fence.ts'
import { withNodes } from './tree-reader.ts'

const GROUP_ENTRIES = 512
const GROUP_BYTES = 4 * 1024 * 1024

export interface UnsignedEnd {
  /** How many entries stay: the place of the first of the others. */
  readonly from: number
  /** The headers of those that nobody signed, in order. */
  readonly headers: readonly Header[]
  /** Number of entries that the relay has signed. */
  readonly signed: number
  /** The log that stands there is not the one that was signed; otherwise it may be a beginning of it. */
  readonly isProven: boolean
  /** What takes them off. */
  readonly undo: AppendUndo
}

interface UnsignedEndSearch {
  readonly store: LogStore
  readonly relay: RelayName
  readonly verifier: SignatureVerifier
  readonly space: SpaceId
}

/**
 * Finds the end of a log that this relay has never signed, where it stands in the place of what it has signed: as when a
 * standby that lagged behind took over, and a process appended to it before it knew. Nothing of that end was ever
 * acknowledged, as acknowledgement comes after the signature. The order of the steps is the argument that no more than
 * that is found:
 *
 * 1. what was signed last is known, by a note whose signature holds: without one, nothing is in anybody's way. No note
 *    came after it: of one that gave way to a longer one, as where the heads were set back with the log and a member
 *    then showed what was signed before, the time alone is left, and it may have been about that very end;
 * 2. what the last append was made on is known. Relays append to what they have signed, so all before it is part of the
 *    one log that they sign, and whatever is not signed came with that append;
 * 3. the entries before it, through the reducer and with their signatures, lead to that very base and give the state
 *    that is to stand there again;
 * 4. more was signed than those: the rest of it is what members will give back. Where the log that stands there is as
 *    long, its root at the signed size is another: so it is not the one that was signed, and there is the proof. Where
 *    it is shorter, it may be a beginning of what was signed, and nobody here can tell;
 * 5. no note that members have cosigned is about a part of that end: such a part was signed.
 *
 * @throws SealogError ERR_STORE with the reason why there is no such end; ERR_STORE_CORRUPT where what is to stay is
 * damaged; and what the store throws
 */
export async function findUnsignedEnd(search: UnsignedEndSearch): Promise<UnsignedEnd> {
  const { store, space } = search
  const head = await store.readHead(space)
  if (head === undefined || head.note.length === 0 || isTombstone(head)) {
    throw refusal('nothing is known to be signed of it, so that nothing stands in the way')
  }
  if (head.latest > head.time) {
    throw refusal('a note was signed later than the one that is kept: it may have been about a part of its end')
  }
  const { checkpoint } = await readSignedNote(search, head.note)
  const stored = await store.readSpace(space)
  if (stored?.base === undefined) throw refusal('what was appended last is not known')
  const { size, frontier, base, floor } = stored
  const from = decodeRange(base).size
  if (checkpoint.size <= from) throw refusal(`the ${checkpoint.size} entries that were signed are older than its end`)

  const state = await stateOf(search, from, base)
  const entries = await readAll(store, space, from, size)
  let range: CompactRange = decodeRange(base)
  let isProven = false
  const roots = new Map<number, Uint8Array>()
  for (const { header } of entries) {
    range = appendLeaves(range, [entryHash(header)])
    roots.set(range.size, rootOf(range))
    if (range.size === checkpoint.size) isProven = !equalBytes(rootOf(range), checkpoint.root)
  }
  if (!equalBytes(encodeRange(range), frontier)) throw corrupt('the entries do not lead to the frontier')
  if (checkpoint.size <= size && !isProven) throw refusal(`it is the log that was signed for ${checkpoint.size}`)
  await assertNotCosigned(search, roots)
  return {
    from,
    headers: entries.map(({ header }) => decodeHeader(header)),
    signed: checkpoint.size,
    isProven,
    undo: { space, frontier, base, state, floor: Math.max(floor, checkpoint.size) },
  }
}

/** All rows of the state after the first `size` entries, which must lead to `base`. */
async function stateOf(
  { store, relay, verifier, space }: UnsignedEndSearch,
  size: number,
  base: Uint8Array,
): Promise<StateRows> {
  const fold = new LogFold(space, relay, verifier, async sizes => {
    const known = await withNodes(store, space, nodeAt => sizes.map(each => rootAt(each, nodeAt)))
    return new Map(sizes.map((each, i) => [each, known[i] as Uint8Array]))
  })
  const rows = rowCollector()
  for (let next = 0; next < size; ) {
    const entries = await readGroup(store, space, next, size)
    const bodies = await Promise.all(entries.map((entry, i) => controlBody(store, space, next + i, entry)))
    const { append, unsigned, refused } = await fold.take(
      entries.map(({ header, signature }, i) => foldedEntry(header, signature, bodies[i], undefined)),
    )
    const [fault] = refused === undefined ? unsigned : [refused]
    if (fault !== undefined) throw corrupt(`entry ${fault.index}, which is to stay: ${fault.reason}`)
    if (append !== undefined) rows.add(append.state)
    next += entries.length
  }
  if (!equalBytes(encodeRange(fold.view.range), base)) throw corrupt('the entries do not lead to the base of the last')
  const [uncovered] = fold.uncovered
  if (uncovered !== undefined) throw corrupt(`entry ${uncovered}, which is to stay: no signature covers it`)
  return rows.all()
}

/** The latest of each row. */
function rowCollector() {
  const control = new Map<string, StateRows['control'][number]>()
  const documents = new Map<DocumentId, StateRows['documents'][number]>()
  const actors = new Map<`${DocumentId}/${ActorId}`, StateRows['actors'][number]>()
  return {
    add(rows: StateRows): void {
      for (const row of rows.control) control.set(row.name, row)
      for (const row of rows.documents) documents.set(row.document, row)
      for (const row of rows.actors) actors.set(`${row.document}/${row.actor}`, row)
    },
    all: (): StateRows => ({
      control: [...control.values()],
      documents: [...documents.values()],
      actors: [...actors.values()],
    }),
  }
}

/** @param roots of the stored log at each size that its end leads to */
async function assertNotCosigned(search: UnsignedEndSearch, roots: ReadonlyMap<number, Uint8Array>): Promise<void> {
  for (const bytes of await search.store.readCosigned(search.space)) {
    const { checkpoint } = await readSignedNote(search, bytes)
    const root = roots.get(checkpoint.size)
    if (root !== undefined && equalBytes(root, checkpoint.root)) {
      throw refusal(`members have cosigned it for ${checkpoint.size}: so it was signed, and stays`)
    }
  }
}

async function readAll(store: LogStore, space: SpaceId, from: number, to: number): Promise<readonly StoredEntry[]> {
  const entries: StoredEntry[] = []
  while (from + entries.length < to) entries.push(...(await readGroup(store, space, from + entries.length, to)))
  return entries
}

async function readGroup(store: LogStore, space: SpaceId, from: number, to: number): Promise<readonly StoredEntry[]> {
  const range = {
    from,
    to: Math.min(to, from + GROUP_ENTRIES),
    inlineLength: INLINE_BODY_LENGTH,
    maxBytes: GROUP_BYTES,
  }
  const entries = await store.readEntries(space, range)
  if (entries.length === 0) throw corrupt(`entry ${from} is missing`)
  return entries
}

/** The reducer reads the bodies of control entries only. */
async function controlBody(
  store: LogStore,
  space: SpaceId,
  index: number,
  { isControl, body, bodyLength }: StoredEntry,
): Promise<Uint8Array | undefined> {
  if (!isControl || body !== undefined) return isControl ? body : undefined
  return store.readBody(space, index, 0, bodyLength)
}

function refusal(message: string): SealogError {
  return new SealogError('ERR_STORE', message, { retryable: false })
}

function corrupt(message: string): SealogError {
  return new SealogError('ERR_STORE_CORRUPT', message)
}
