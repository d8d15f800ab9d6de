import {
  actorOf,
  appendLeaf,
  appendLeaves,
  appendNodes,
  applyHeader,
  type Batch,
  CONTROL_DOCUMENT,
  type CompactRange,
  decodeHeader,
  emptyRange,
  encodeDocuments,
  encodeRange,
  encodeSkipHead,
  encodeTracer,
  type Header,
  type LogRecord,
  type NodeAt,
  proveConsistency,
  proveInclusion,
  type Records,
  rootAt,
  rootOf,
  type Skip,
  type SpaceState,
  stateRoot,
  touchedBy,
  ZERO_32,
} from 'sealog/protocol'
import type { StoredEntry } from './log-store.ts'
import type { SignedHead } from './signed-head.ts'

/** Any sequence of entries, true or not, as a log that proofs can be made of and notes be signed over. */
export interface ForgedLog {
  readonly entries: readonly StoredEntry[]
  /** Root of the first `size` entries, 32 bytes. */
  root(size: number): Uint8Array
  /** What they fold to, as far as they fold to anything; undefined where not even the first does. */
  state(size: number): SpaceState | undefined
  /** 32 bytes */
  stateRoot(size: number): Uint8Array
  /**
   * What a relay with this log says from `from` on, under this head, at most `count` entries of it.
   * @param model what it said: whatever is not about the log is left as it is
   */
  batch(model: Batch, from: number, head: SignedHead, count?: number): Batch
  /**
   * What a relay with this log answers to a skip that leads to this head.
   * @param state that the head is said to have; default: the one that the entries fold to
   */
  skip(asked: Skip, head: SignedHead, state?: SpaceState): Records
}

export function forgeLog(entries: readonly StoredEntry[]): ForgedLog {
  const ranges: CompactRange[] = [emptyRange]
  for (const entry of entries) ranges.push(appendLeaf(ranges.at(-1) as CompactRange, entry.hash))
  const states = fold(entries)
  const nodeAt = treeOf(entries)
  return {
    entries,
    root: size => rootOf(ranges[size] as CompactRange),
    state: size => states[size],
    stateRoot: size => {
      const state = states[size]
      return state === undefined ? ZERO_32 : stateRoot(state)
    },
    batch(model, from, { checkpoint, note }, count = Number.POSITIVE_INFINITY) {
      const end = Math.min(entries.length, checkpoint.size, from + count)
      const served = entries.slice(from, end)
      const seen = new Set(served.map(entry => entry.seenSize).filter(size => size > 0 && size < from))
      return {
        ...model,
        from,
        entries: served.map(({ header, signature, body }) => ({ header, signature, body })),
        seenProofs: [...seen].map(size => ({ size, proof: proveConsistency(size, from, nodeAt) })),
        note,
        tracer: model.tracer && tracerOf(states[from], served),
        consistency: end > 0 && end < checkpoint.size ? proveConsistency(end, checkpoint.size, nodeAt) : [],
      }
    },
    skip: (asked, head, state = states[head.checkpoint.size]) => skipAnswer(asked, head, entries, state, nodeAt),
  }
}

/** The answer to a skip, from entries that need not be true. */
function skipAnswer(
  { ref, space, from, prove }: Skip,
  { checkpoint: { size }, note }: SignedHead,
  entries: readonly StoredEntry[],
  state: SpaceState | undefined,
  nodeAt: NodeAt,
): Records {
  const range = appendLeaves(
    emptyRange,
    entries.slice(0, size).map(entry => entry.hash),
  )
  const records: LogRecord[] = []
  const sizes = new Set(prove.filter(each => each <= size))
  let end = 0
  for (const [index, { isControl, header, signature, body, seenSize }] of entries.slice(0, size).entries()) {
    if (!isControl || index < from) continue
    records.push({ index, header, signature, body, inclusion: proveInclusion(index, size, nodeAt) })
    sizes.add(seenSize)
    end = index + 1
  }
  const proven = [...sizes, end].filter(each => each > 0 && each < size)
  const head = encodeSkipHead({
    note,
    range: encodeRange(range),
    documents: state === undefined ? new Uint8Array(0) : encodeDocuments(state.documents, [CONTROL_DOCUMENT]),
    controlRoot: end === 0 ? ZERO_32 : rootAt(end, nodeAt),
    proofs: [...new Set(proven)].map(each => ({ size: each, proof: proveConsistency(each, size, nodeAt) })),
  })
  return { type: 'records', ref, space, head, records, more: false }
}

/** For a listener that does not know the whole state: what the entries touch of the one before them. */
function tracerOf(state: SpaceState | undefined, served: readonly StoredEntry[]): Uint8Array | undefined {
  if (state === undefined) return undefined
  const authored = served.flatMap(entry => {
    try {
      const header = decodeHeader(entry.header)
      const device = state.control.devices.get(header.device)
      if (device === undefined) return []
      return [{ header, actor: actorOf(header.space, header.document, device.signing, header.incarnation) }]
    } catch {
      // Not even a header: it touches nothing.
      return []
    }
  })
  return encodeTracer(state.documents, touchedBy(authored))
}

/** The state after each entry. One that the reducer refuses leaves it as it is: nobody will fold this log to the end. */
function fold(entries: readonly StoredEntry[]): readonly (SpaceState | undefined)[] {
  const states: (SpaceState | undefined)[] = [undefined]
  for (const [index, entry] of entries.entries()) {
    const before = states[index]
    try {
      const header: Header = decodeHeader(entry.header)
      const controlBody = entry.isControl ? entry.body : undefined
      const { hash } = entry
      states.push(applyHeader(before, { header, hash, index, seenRoot: header.seenRoot, controlBody }).state)
    } catch {
      states.push(before)
    }
  }
  return states
}

function treeOf(entries: readonly StoredEntry[]): NodeAt {
  const nodes = new Map<string, Uint8Array>()
  const nodeAt: NodeAt = (level, index) => nodes.get(`${level}/${index}`) as Uint8Array
  for (const [index, { hash }] of entries.entries()) {
    for (const [level, at, node] of appendNodes(index, hash, nodeAt)) nodes.set(`${level}/${at}`, node)
  }
  return nodeAt
}
