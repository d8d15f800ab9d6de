import {
  appendNodes,
  type CompactRange,
  type DocumentId,
  encodeActorRecord,
  encodeControlState,
  encodeDocumentRecord,
  encodeRange,
  findActor,
  findDocument,
  type TreeNode,
} from 'sealog/protocol'
import type { AcceptedEntry, Judged, SpaceView } from './judge.ts'
import type { Append, StateRows, StoredEntry } from './log-store.ts'

/** What the store has to take so that `judged.accepted` follow the entries of `base`. */
export function appendOf(base: SpaceView, judged: Judged): Append {
  return {
    space: base.space,
    from: base.range.size,
    entries: judged.accepted.map(storedEntry),
    nodes: newNodes(base.range, judged.accepted),
    frontier: encodeRange(judged.view.range),
    state: changedRows(base, judged),
  }
}

function storedEntry({ entry, actor }: AcceptedEntry): StoredEntry {
  return {
    header: entry.encoded,
    hash: entry.hash,
    signature: entry.signature,
    actor,
    isControl: entry.header.kind === 'control',
    seenSize: entry.header.seenSize,
    bodyLength: entry.header.bodyLength,
    body: entry.body,
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
  if (state === undefined) return { control: undefined, documents: [], actors: [] }
  const touched = new Map<string, AcceptedEntry>()
  for (const item of accepted) touched.set(`${item.entry.header.document}/${item.actor}`, item)
  const documents = new Map<DocumentId, Uint8Array>()
  const actors = [...touched.values()].map(({ entry, actor }) => {
    const { document } = entry.header
    const record = findDocument(state, document)
    const actorRecord = record && findActor(record, actor)
    if (record === undefined || actorRecord === undefined) throw new TypeError('judged: expected the state it led to')
    const isNew = base.state === undefined || findDocument(base.state, document) === undefined
    if (isNew) documents.set(document, encodeDocumentRecord(record))
    return { document, actor, value: encodeActorRecord(actorRecord) }
  })
  return {
    control: state.control === base.state?.control ? undefined : encodeControlState(state.control),
    documents: [...documents].map(([document, value]) => ({ document, value })),
    actors,
  }
}
