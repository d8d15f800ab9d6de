import { toHex } from '../bytes.ts'
import { readBundleChunk } from './guard/bundle-chunk.ts'
import { ByteReader } from './guard/byte-reader.ts'
import { readChangeChunk } from './guard/change-chunk.ts'
import type { Chunk } from './guard/chunk.ts'
import { CHUNK_TYPE, readChunk } from './guard/chunk.ts'
import type { InflateBudget } from './guard/columns.ts'
import type { OpSegment, PayloadOps } from './guard/op-rules.ts'
import { checkOps } from './guard/op-rules.ts'
import type { OpTable } from './guard/op-table.ts'
import type { CausalPast, GuardLimits } from './guard/rules.ts'
import { DEFAULT_LIMITS, MAX_COUNTER, refuse } from './guard/rules.ts'

export type ChangesEncoding = 'raw' | 'bundle'

/** What the changes of one entry must be. */
export interface GuardRules {
  /** The actor of the entry, in hex: author of every change. */
  readonly actor: string
  /** Automerge sequence number of the first change; those that follow count on. */
  readonly nextSeq: number
  /** Hash of the actor's change `nextSeq − 1`, 32 bytes; needed from 2 on. */
  readonly previousHash?: Uint8Array | undefined
  /** The smallest op counter that the actor has not used. Default 1. */
  readonly nextOp?: number
  /** `raw`: change chunks; `bundle`: exactly one bundle chunk. Default: whichever the first chunk is. */
  readonly encoding?: ChangesEncoding | undefined
  /**
   * The causal past of changes with these hashes, or `undefined` where one of them is not known. Called with all
   * hashes outside the payload that a change or one before it depends on, so that every answer contains the last one.
   */
  readonly past?: (dependencies: readonly string[]) => CausalPast | undefined
  readonly limits?: Partial<GuardLimits>
}

export interface InspectedChange {
  readonly actor: string
  readonly seq: number
  readonly startOp: number
  readonly opCount: number
  /** Unix seconds that the author claims. */
  readonly time: number
  /** Hashes in hex of the changes that this one depends on; in a bundle without the member just before it. */
  readonly deps: readonly string[]
  /** In hex; unknown for a change in a bundle, whose hash takes all of its bytes to compute. */
  readonly hash: string | undefined
}

export interface InspectedChunks {
  readonly changes: readonly InspectedChange[]
  readonly opCount: number
  /** The largest op counter that the actor has used, for the next `nextOp`. */
  readonly maxOp: number
  /** Hashes in hex of changes outside the payload, each once: they must be there before Automerge sees this. */
  readonly externalDeps: readonly string[]
  /** Does it mark text? See the limits of what is checked. */
  readonly hasMarks: boolean
}

/**
 * Inspects the chunks of a `changes` payload before anything of it reaches Automerge, which is not hardened against
 * hostile input (DESIGN §6.3). The verdict depends on the bytes and the rules alone; time and memory are bounded by
 * the limits: nothing expands before it was counted.
 *
 * What is checked: framing and checksums; that the encoding is the one Automerge itself produces, so that a change
 * keeps its hash when Automerge rebuilds it; actor, seq and dependency on the actor's previous change; op counters;
 * every value, key and action; the place of each op and everything it refers to inside the payload; and, through
 * `past`, what it refers to outside (`CausalIndex` answers that).
 *
 * What is not checked:
 * - Without `past`: that operations of other actors or of earlier entries which are referred to exist, are of the
 *   right kind, and lie in the causal past; and that the first op counter is the next one after the causal past.
 *   Automerge panics on some of these, and on others saves a document that does not load.
 * - Whether a marked range ends after it begins. Where it does not, the document works but its `save()` does not
 *   load: `hasMarks` tells when that needs to be tried.
 * - What a document means to an application.
 *
 * @throws SealogError ERR_GUARD with `details.reason`
 * @throws TypeError where `rules` are inconsistent
 */
export function inspectChunks(bytes: Uint8Array, rules: GuardRules): InspectedChunks {
  const { changes, opCount, maxOp, externalDeps, hasMarks } = inspect(bytes, rules)
  return { changes, opCount, maxOp, externalDeps, hasMarks }
}

/** What inspection decodes besides, for each change in order. */
export interface InspectedOps extends InspectedChunks {
  readonly segments: readonly OpSegment[]
  /** UTF-8; empty without a message. */
  readonly messages: readonly Uint8Array[]
  /** In a bundle: where in the list of dependencies the member just before stands; otherwise −1. */
  readonly previousAt: readonly number[]
}

/** `inspectChunks` for those who compare operations. */
export function inspect(bytes: Uint8Array, rules: GuardRules): InspectedOps {
  const { nextSeq, previousHash } = rules
  if (nextSeq > 1 && previousHash === undefined) throw new TypeError('rules.previousHash: needed from seq 2 on')
  const limits: GuardLimits = { ...DEFAULT_LIMITS, ...rules.limits }
  if (bytes.length > limits.maxBytes) refuse('too-large', 'payload')
  const state: State = {
    rules,
    limits,
    payload: { limits, segments: [], objects: new Map() },
    changes: [],
    messages: [],
    previousAt: [],
    members: new Set(),
    external: new Set(),
    opCount: 0,
    nextOp: rules.nextOp ?? 1,
    past: undefined,
    hasMarks: false,
  }
  const previous = nextSeq > 1 && previousHash !== undefined ? toHex(previousHash) : undefined
  const reader = new ByteReader(bytes)
  const first = readChunk(reader)
  if (first.type === CHUNK_TYPE.bundle && rules.encoding !== 'raw') inspectBundle(reader, first, previous, state)
  else if (first.type === CHUNK_TYPE.change && rules.encoding !== 'bundle') inspectRaw(reader, first, previous, state)
  else refuse('chunk-type', 'not what the payload announces')
  return {
    changes: state.changes,
    opCount: state.opCount,
    maxOp: state.nextOp - 1,
    externalDeps: [...state.external],
    hasMarks: state.hasMarks,
    segments: state.payload.segments,
    messages: state.messages,
    previousAt: state.previousAt,
  }
}

interface State {
  readonly rules: GuardRules
  readonly limits: GuardLimits
  readonly payload: PayloadOps
  readonly changes: InspectedChange[]
  readonly messages: Uint8Array[]
  readonly previousAt: number[]
  /** Hashes of the changes of this payload, as far as known. */
  readonly members: Set<string>
  readonly external: Set<string>
  opCount: number
  nextOp: number
  past: CausalPast | undefined
  hasMarks: boolean
}

function inspectRaw(reader: ByteReader, first: Chunk, previousHash: string | undefined, state: State): void {
  const { rules, limits } = state
  let chunk = first
  let previous = previousHash
  for (;;) {
    if (chunk.type !== CHUNK_TYPE.change) refuse('chunk-type', 'not a change')
    if (state.changes.length >= limits.maxChanges) refuse('too-many-changes', 'changes')
    const change = readChangeChunk(chunk.body, limits)
    const hash = toHex(chunk.hash)
    if (change.actor !== rules.actor) refuse('actor', 'change of another actor')
    accept(state, {
      seq: change.seq,
      startOp: change.startOp,
      opCount: change.ops.rows,
      time: change.time,
      dependencies: change.dependencies,
      hash,
      message: change.message,
      previousAt: -1,
      table: change.ops,
      offset: 0,
      rowByCounter: undefined,
    })
    if (previous !== undefined && !change.dependencies.includes(previous)) refuse('previous', 'not a dependency')
    previous = hash
    if (reader.done) return
    chunk = readChunk(reader)
  }
}

function inspectBundle(reader: ByteReader, chunk: Chunk, previous: string | undefined, state: State): void {
  const { rules, limits } = state
  if (!reader.done) refuse('trailing-bytes', 'after the bundle')
  const budget: InflateBudget = { remaining: limits.maxInflated }
  const { actor, members, ops, rowByCounter } = readBundleChunk(chunk.body, limits, budget)
  if (actor !== rules.actor) refuse('actor', 'changes of another actor')
  if (previous !== undefined && !members[0]?.dependencies.includes(previous)) refuse('previous', 'not a dependency')
  let offset = 0
  for (const member of members) {
    // Field by field: spreading `member` costs more than all checks of a keystroke.
    accept(state, {
      seq: member.seq,
      startOp: member.startOp,
      opCount: member.opCount,
      time: member.time,
      dependencies: member.dependencies,
      hash: undefined,
      message: member.message,
      previousAt: member.previousAt,
      table: ops,
      offset,
      rowByCounter,
    })
    offset += member.opCount
  }
}

interface Candidate {
  readonly seq: number
  readonly startOp: number
  readonly opCount: number
  readonly time: number
  readonly dependencies: readonly string[]
  readonly hash: string | undefined
  readonly message: Uint8Array
  readonly previousAt: number
  readonly table: OpTable
  readonly offset: number
  readonly rowByCounter: Int32Array | undefined
}

/** The rules that hold for a change in either encoding. */
function accept(state: State, change: Candidate): void {
  const { rules, limits, changes } = state
  if (change.seq !== rules.nextSeq + changes.length) refuse('seq', 'not the next')
  state.opCount += change.opCount
  if (state.opCount > limits.maxOps) refuse('too-many-ops', 'operations')
  const end = change.startOp + change.opCount
  if (change.startOp < state.nextOp) refuse('counter', 'used before')
  if (end - 1 > MAX_COUNTER) refuse('counter', 'out of range')

  let isPastWider = changes.length === 0
  for (const hash of change.dependencies) {
    if (state.members.has(hash)) continue
    isPastWider ||= !state.external.has(hash)
    state.external.add(hash)
  }
  if (isPastWider && rules.past !== undefined) {
    state.past = rules.past([...state.external])
  }
  // A counter that runs ahead would end the document once it reaches the limit, and one behind breaks its file.
  if (state.past !== undefined && change.startOp !== Math.max(state.past.maxOp + 1, state.nextOp))
    refuse('counter', 'not the next')

  const segment: OpSegment = {
    start: change.startOp,
    end,
    table: change.table,
    offset: change.offset,
    rowByCounter: change.rowByCounter,
  }
  checkOps(state.payload, segment, state.past)
  state.hasMarks ||= change.table.markName.values.length > 0
  state.nextOp = end
  if (change.hash !== undefined) state.members.add(change.hash)
  state.messages.push(change.message)
  state.previousAt.push(change.previousAt)
  changes.push({
    actor: rules.actor,
    seq: change.seq,
    startOp: change.startOp,
    opCount: change.opCount,
    time: change.time,
    deps: change.dependencies,
    hash: change.hash,
  })
}
