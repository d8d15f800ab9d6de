import {
  type ActorId,
  appendNodes,
  type CompactRange,
  controlRows,
  type DocumentId,
  type DocumentRecord,
  encodeActorRecord,
  encodeDocumentRecord,
  encodeRange,
  findActor,
  findDocument,
  stateKey,
  type TreeNode,
} from 'sealog/protocol'
import type { AcceptedEntry, Judged, SpaceView } from './judge.ts'
import type { Append, StateRows, StoredEntry } from './log-store.ts'
import { encodeReplaced } from './replaced.ts'

/** What the store has to take so that `judged.accepted` follow the entries of `base`. */
export function appendOf(base: SpaceView, judged: Judged): Append {
  return {
    space: base.space,
    from: base.range.size,
    base: encodeRange(base.range),
    entries: storedEntries(judged.accepted),
    nodes: newNodes(base.range, judged.accepted),
    frontier: encodeRange(judged.view.range),
    state: changedRows(base, judged),
    wraps: judged.accepted.flatMap(({ index, wraps }) => wraps.map(wrap => ({ index, ...wrap }))),
    dropped: supersededSnapshots(base, judged),
    isRestored: false,
  }
}

/** How many bytes an append brings: of headers, signatures, bodies and wraps. */
export function bytesOf({ entries, wraps }: Append): number {
  let bytes = 0
  for (const { header, signature, body } of entries) bytes += header.length + signature.length + (body?.length ?? 0)
  for (const { wrap } of wraps) bytes += wrap.length
  return bytes
}

function storedEntries(accepted: readonly AcceptedEntry[]): readonly StoredEntry[] {
  // Entries of a group are of few documents and actors, and a key is a hash.
  const keys = new Map<DocumentId | ActorId, Uint8Array>()
  const keyOf: typeof stateKey = id => {
    const key = keys.get(id) ?? stateKey(id)
    keys.set(id, key)
    return key
  }
  return accepted.map(item => storedEntry(item, keyOf))
}

function storedEntry({ entry, actor, before }: AcceptedEntry, keyOf: typeof stateKey): StoredEntry {
  return {
    header: entry.encoded,
    hash: entry.hash,
    signature: entry.signature,
    document: entry.header.document,
    actor,
    seq: entry.header.seq,
    isControl: entry.header.kind === 'control',
    isSnapshot: entry.header.kind === 'snapshot',
    seenSize: entry.header.seenSize,
    bodyLength: entry.header.bodyLength,
    body: entry.body,
    replaced: encodeReplaced(before, entry.header, actor, keyOf),
  }
}

/** Level 0 is left out: the leaves stand with their entries. */
function newNodes(range: CompactRange, accepted: readonly AcceptedEntry[]): readonly TreeNode[] {
  const known = frontierNodes(range)
  const nodes: TreeNode[] = []
  let size = range.size
  for (const { entry } of accepted) {
    // Only what is to the left of new nodes is asked for: the frontier, and what came before in this very append.
    for (const node of appendNodes(size, entry.hash, (level, index) => known.get(keyOf(level, index)) as Uint8Array)) {
      const [level, index, hash] = node
      known.set(keyOf(level, index), hash)
      if (level > 0) nodes.push(node)
    }
    size++
  }
  return nodes
}

/** A range holds one complete subtree for each set bit of its size, the largest first. */
function frontierNodes(range: CompactRange): Map<string, Uint8Array> {
  const nodes = new Map<string, Uint8Array>()
  let rest = range.size
  let at = range.hashes.length - 1
  for (let level = 0; rest > 0; level++) {
    if (rest % 2 === 1) nodes.set(keyOf(level, rest - 1), range.hashes[at--] as Uint8Array)
    rest = Math.floor(rest / 2)
  }
  return nodes
}

function keyOf(level: number, index: number): string {
  return `${level}/${index}`
}

function changedRows(base: SpaceView, { view, accepted }: Judged): StateRows {
  const { state } = view
  if (state === undefined) return { control: [], documents: [], actors: [] }
  const touched = new Map<string, AcceptedEntry>()
  for (const item of accepted) touched.set(`${item.entry.header.document}/${item.actor}`, item)
  const documents = new Map<DocumentId, Uint8Array>()
  const actors = [...touched.values()].map(({ entry, actor }) => {
    const { document } = entry.header
    const record = findDocument(state, document)
    const actorRecord = record && findActor(record, actor)
    if (record === undefined || actorRecord === undefined) throw new TypeError('judged: expected the state it led to')
    if (!documents.has(document) && !sameRow(base.state && findDocument(base.state, document), record)) {
      documents.set(document, encodeDocumentRecord(record))
    }
    return { document, actor, value: encodeActorRecord(actorRecord) }
  })
  return {
    control: state.control === base.state?.control ? [] : controlRows(state.control, base.state?.control),
    documents: [...documents].map(([document, value]) => ({ document, value })),
    actors,
  }
}

/** Is nothing changed of what a document's row says? */
function sameRow(before: DocumentRecord | undefined, after: DocumentRecord): boolean {
  return before?.contentEnd === after.contentEnd && before.snapshots === after.snapshots
}

/** A snapshot serves those who fetch a document; once it is not among the latest ones, nobody does. */
function supersededSnapshots(base: SpaceView, { view, accepted }: Judged): readonly number[] {
  const dropped: number[] = []
  const documents = new Set<DocumentId>()
  for (const { entry, index } of accepted) {
    const { kind, document } = entry.header
    if (kind !== 'snapshot') continue
    const latest = latestSnapshots(view, document)
    if (!latest.has(index)) dropped.push(index)
    if (documents.has(document)) continue
    documents.add(document)
    for (const earlier of latestSnapshots(base, document)) if (!latest.has(earlier)) dropped.push(earlier)
  }
  return dropped
}

function latestSnapshots({ state }: SpaceView, document: DocumentId): ReadonlySet<number> {
  const record = state && findDocument(state, document)
  return new Set(record?.snapshots.map(snapshot => snapshot.index))
}
