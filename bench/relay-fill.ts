import {
  type ActorRecord,
  applyHeader,
  CONTROL_DOCUMENT,
  controlRows,
  type DocumentRecord,
  decodeHeader,
  EMPTY_ROOT,
  emptyDocument,
  encodeActorRecord,
  encodeCbor,
  encodeDocumentRecord,
  encodeHeader,
  encodeRange,
  entryHash,
  findActor,
  findDocument,
  type Header,
  nodeHash,
  type TreeNode,
} from 'sealog/protocol'
import type { LogStore, StateRows, StoredEntry } from 'sealog-relay'
import type { AuthoredSpace } from './relay-author.ts'
import { documentNumber } from './synthetic-space.ts'

/** Entries of one append. */
const GROUP = 4000
const BODY: Uint8Array = new Uint8Array(16)
/** Nobody looks at signatures when a space is opened: its readers do. */
const SIGNATURE: Uint8Array = new Uint8Array(64)

/**
 * Puts a log of so many entries into a store, as a relay leaves it that stopped before it signed: tree, state and rows
 * are right. It goes past the relay, which would take a thousand times as long as its benchmark.
 */
export async function fillSpace(store: LogStore, space: AuthoredSpace, size: number): Promise<void> {
  const hashes: Uint8Array[] = []
  let count = 0
  const grow = (hash: Uint8Array, nodes: TreeNode[]): void => {
    let node = hash
    let level = 0
    for (let index = count; index % 2 === 1; index = (index - 1) / 2) {
      node = nodeHash(hashes.pop() as Uint8Array, node)
      nodes.push([++level, (index - 1) / 2, node])
    }
    hashes.push(node)
    count++
  }
  const put = async (entries: readonly StoredEntry[], state: StateRows): Promise<void> => {
    const from = count
    const nodes: TreeNode[] = []
    const base = encodeRange({ size: count, hashes })
    for (const { hash } of entries) grow(hash, nodes)
    const frontier = encodeRange({ size: count, hashes })
    const { space: id } = space
    await store.append({
      space: id,
      from,
      base,
      entries,
      nodes,
      frontier,
      state,
      wraps: [],
      dropped: [],
      isRestored: false,
    })
  }

  await put(...genesisOf(space))
  let last: ActorRecord | undefined
  while (count < size) {
    const entries: StoredEntry[] = []
    for (let i = 0; i < Math.min(GROUP, size - count); i++) {
      const header = space.firstHeader(last === undefined ? 0 : last.seq + 1, last?.hash ?? new Uint8Array(32), BODY)
      const entry = storedEntry(header, space, last, count + i)
      last = recordOf(header, space, entry.hash)
      entries.push(entry)
    }
    await put(entries, rowsOf(last as ActorRecord, count + entries.length))
  }
}

function genesisOf(space: AuthoredSpace): readonly [readonly StoredEntry[], StateRows] {
  const { header: encoded, signature, body } = space.genesis
  const header = decodeHeader(encoded)
  const hash = entryHash(encoded)
  const at = { header, hash, index: 0, seenRoot: EMPTY_ROOT, controlBody: body }
  const { state, actor } = applyHeader(undefined, at)
  const document = findDocument(state, CONTROL_DOCUMENT) as DocumentRecord
  const record = findActor(document, actor) as ActorRecord
  const entry: StoredEntry = {
    header: encoded,
    hash,
    signature,
    document: CONTROL_DOCUMENT,
    actor,
    seq: 0,
    isControl: true,
    isSnapshot: false,
    seenSize: 0,
    bodyLength: header.bodyLength,
    body,
    replaced: encodeCbor([[], [], []]),
  }
  return [
    [entry],
    {
      control: controlRows(state.control),
      documents: [{ document: CONTROL_DOCUMENT, value: encodeDocumentRecord(document) }],
      actors: [{ document: CONTROL_DOCUMENT, actor, value: encodeActorRecord(record) }],
    },
  ]
}

function storedEntry(
  header: Header,
  space: AuthoredSpace,
  before: ActorRecord | undefined,
  index: number,
): StoredEntry {
  const encoded = encodeHeader(header)
  return {
    header: encoded,
    hash: entryHash(encoded),
    signature: SIGNATURE,
    document: header.document,
    actor: space.firstActor,
    seq: header.seq,
    isControl: false,
    isSnapshot: false,
    seenSize: header.seenSize,
    bodyLength: header.bodyLength,
    body: BODY,
    // What the entry replaced in the state: the actor's record, and where the document's content ended.
    replaced: encodeCbor(
      before === undefined
        ? [[], [], []]
        : [[[before.epoch, before.tag, before.tagEpoch, before.seenSize]], [], [index]],
    ),
  }
}

function recordOf({ device, seq, epoch, tag, seenSize }: Header, space: AuthoredSpace, hash: Uint8Array): ActorRecord {
  return { actor: space.firstActor, device, seq, hash, epoch, tag, tagEpoch: epoch, seenSize, retired: false }
}

function rowsOf(actor: ActorRecord, size: number): StateRows {
  const document = documentNumber(0)
  const record: DocumentRecord = { ...emptyDocument(document, 0), contentEnd: size }
  return {
    control: [],
    documents: [{ document, value: encodeDocumentRecord(record) }],
    actors: [{ document, actor: actor.actor, value: encodeActorRecord(actor) }],
  }
}
