import {
  actorOf,
  appendLeaf,
  appendNodes,
  applyHeader,
  type Batch,
  type CompactRange,
  decodeHeader,
  emptyRange,
  encodeTracer,
  type Header,
  type NodeAt,
  proveConsistency,
  rootOf,
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
  }
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
