import { equalBytes } from '../bytes.ts'
import { hasCode, SealogError } from '../errors.ts'
import { idBytes, spaceIdOf } from '../ids.ts'
import { advance } from './advance.ts'
import type { Checkpoint } from './checkpoint.ts'
import { appendLeaf, type CompactRange, emptyRange, rootOf } from './compact-range.ts'
import { decodeHeader, entryHash } from './entry.ts'
import { type Evidence, MAX_EVIDENCE_LENGTH, type TransitionBase, type TransitionClaim } from './evidence.ts'
import { type Anchor, type Batch, emptyView } from './log.ts'
import { EMPTY_ROOT, verifyConsistency } from './merkle.ts'
import type { Refusal } from './refusal.ts'
import { initialState, type SpaceState, stateRoot } from './state.ts'
import { stubMap } from './state-map.ts'
import { mergeTracer } from './tracer.ts'
import { type Court, type Finding, sentenceOf } from './verdict.ts'

/** Where the entries go on from: both parts are what the relay signed, or nothing. */
interface Start {
  readonly range: CompactRange
  readonly state: SpaceState | undefined
}

/** A batch whose entries are bound to a note of the relay. */
interface Bound {
  readonly batch: Batch
  /** The log before it. */
  readonly range: CompactRange
}

/**
 * Judges entries of a signed log (DESIGN §5.5). The order of the steps is the argument:
 *
 * 1. where the entries go on from is empty, or a log and a state that the relay signed;
 * 2. every entry is a leaf, at its place, of a log that the relay signed;
 * 3. so a root that these entries lead to and a note that says otherwise are two logs;
 * 4. and an entry is false if it says that its author had seen another log than this;
 * 5. the reducer is a function of what was bound in 1 and 2 (bodies of control entries are bound by their headers), so
 *    if it refuses an entry, or comes to another state than was signed, no relay that ran it can have signed this.
 *
 * Signatures of entries are not looked at: they are not in the log, so a relay that is shown without them may still
 * have them. Neither is a header that is none of version 1: what a later build wrote looks like that.
 */
export function judgeTransition(evidence: Evidence, claim: TransitionClaim, court: Court): Finding {
  const start = startOf(evidence, claim, court)
  const anchors = claim.anchors.map(note => court.signed(note))
  const named = [...anchors.map(anchor => anchor.size), ...claim.prefixes.map(prefix => prefix.end)]

  const log = bind(start, claim, new Set(named), court)
  if ('verdict' in log) return log
  return (
    findContradictedAnchor(anchors, log.roots) ??
    findForeignGenesis(evidence, log.bound) ??
    findForeignEntry(evidence, claim) ??
    findFalseSeen(claim, log.roots) ??
    replay(evidence, start, log.bound, court)
  )
}

// -- 1. Where it begins -------------------------------------------------------------------------------------------

function startOf({ claim }: Evidence, { base }: TransitionClaim, court: Court): Start {
  if (base === undefined) return { range: emptyRange, state: undefined }
  const checkpoint = court.signed(base.note)
  assertBase(base.range, checkpoint)
  const state = stateOf(base)
  if (!equalBytes(stateRoot(state), checkpoint.stateRoot)) {
    throw new SealogError('ERR_STATE_ROOT', `the base of the ${claim.kind} is not the state that the relay signed`)
  }
  court.passed(`the first ${checkpoint.size} entries and their state are as the relay signed them`)
  return { range: base.range, state: withTracer(state, base.tracer) }
}

function assertBase(range: CompactRange, { size, root }: Anchor): void {
  if (range.size !== size || !equalBytes(rootOf(range), root)) {
    throw new SealogError('ERR_ROOT_MISMATCH', 'the base is not the log that the relay signed')
  }
}

function stateOf({ control, documentsRoot }: TransitionBase): SpaceState {
  return { control, documents: stubMap(documentsRoot, initialState(control).documents.hashValue) }
}

function withTracer(state: SpaceState, tracer: Uint8Array | undefined): SpaceState {
  if (tracer === undefined) return state
  return { control: state.control, documents: mergeTracer(state.documents, tracer, MAX_EVIDENCE_LENGTH) }
}

// -- 2. The entries are the signed ones ---------------------------------------------------------------------------

interface BoundLog {
  readonly bound: readonly Bound[]
  /** Roots of the log at the sizes asked for, as far as it was passed. */
  readonly roots: ReadonlyMap<number, Uint8Array>
}

function bind(
  start: Start,
  { batches }: TransitionClaim,
  named: ReadonlySet<number>,
  court: Court,
): BoundLog | Finding {
  const roots = new Map<number, Uint8Array>()
  const bound: Bound[] = []
  let { range } = start
  const visit = (): void => {
    if (named.has(range.size)) roots.set(range.size, rootOf(range))
  }
  visit()
  for (const batch of batches) {
    if (batch.from !== range.size) return { verdict: 'unusable', reason: `entry ${range.size} is missing` }
    bound.push({ batch, range })
    for (const { header } of batch.entries) {
      range = appendLeaf(range, entryHash(header))
      visit()
    }
    const refusal = bindingFault(range, court.signed(batch.note), batch)
    if (refusal !== undefined) return { verdict: 'refuted', reason: refusal }
  }
  if (range.size === start.range.size) return { verdict: 'unusable', reason: 'there are no entries' }
  court.passed(`entries ${start.range.size} to ${range.size - 1} are in a log that the relay signed`)
  return { bound, roots }
}

/** Why the log up to here is not how the signed one begins. */
function bindingFault(range: CompactRange, { size, root }: Anchor, { consistency }: Batch): string | undefined {
  const own = rootOf(range)
  if (range.size > size) return `the relay signed no more than ${size} entries`
  if (range.size === size) return equalBytes(own, root) ? undefined : `the relay signed other entries up to ${size}`
  try {
    verifyConsistency({ size1: range.size, root1: own, size2: size, root2: root, proof: consistency })
  } catch (error) {
    return `nothing binds the entries to the note: ${sentenceOf(error)}`
  }
  return undefined
}

// -- 3. Notes about other logs ------------------------------------------------------------------------------------

function findContradictedAnchor(
  anchors: readonly Checkpoint[],
  roots: ReadonlyMap<number, Uint8Array>,
): Finding | undefined {
  const other = anchors.find(({ size, root }) => {
    const own = roots.get(size)
    return own !== undefined && !equalBytes(own, root)
  })
  if (other === undefined) return undefined
  return { verdict: 'holds', reason: `for ${other.size} entries the relay also signed a root that is not theirs` }
}

// -- 4. Authors who are said to have seen another log -------------------------------------------------------------

/**
 * The rule holds for every entry of version 1, of whatever kind and under whatever policy (protocol.md R-SEEN-2), so
 * it needs no state, and nothing before such an entry could excuse it.
 */
function findFalseSeen({ batches, prefixes }: TransitionClaim, roots: ReadonlyMap<number, Uint8Array>) {
  const known = new Map<number, Uint8Array>([[0, EMPTY_ROOT]])
  for (const { size, root, end, proof } of prefixes) {
    const root2 = roots.get(end)
    if (root2 === undefined) throw new SealogError('ERR_PROOF', `the root at ${end} entries is not known`)
    verifyConsistency({ size1: size, root1: root, size2: end, root2, proof })
    known.set(size, root)
  }
  for (const { from, entries } of batches) {
    for (const [offset, entry] of entries.entries()) {
      const { seenSize, seenRoot } = decodeHeader(entry.header)
      const index = from + offset
      const own = known.get(seenSize)
      if (own === undefined || seenSize > index || equalBytes(own, seenRoot)) continue
      const reason = `entry ${index} says that its author had seen another log of ${seenSize} entries`
      return { verdict: 'holds', reason } as const
    }
  }
  return undefined
}

// -- 5. What no relay may accept ----------------------------------------------------------------------------------

/** The space is named after its first entry (protocol.md R-GENESIS-2). */
function findForeignGenesis({ space }: Evidence, [first]: readonly Bound[]): Finding | undefined {
  const genesis = first?.range.size === 0 ? first.batch.entries[0] : undefined
  if (genesis === undefined || spaceIdOf(entryHash(genesis.header)) === space) return undefined
  return { verdict: 'holds', reason: 'entry 0 is not the genesis of this space' }
}

/** Every other entry names its space (protocol.md R-SPACE-1), whatever its author had seen of some other log. */
function findForeignEntry({ space }: Evidence, { batches }: TransitionClaim): Finding | undefined {
  for (const { from, entries } of batches) {
    for (const [offset, entry] of entries.entries()) {
      const index = from + offset
      if (index === 0 || equalBytes(decodeHeader(entry.header).space, idBytes(space))) continue
      return { verdict: 'holds', reason: `the log has an entry ${index} ${REFUSALS.space}` }
    }
  }
  return undefined
}

/** The one path by which a log is judged, with the head left out: what notes say of each other is judged elsewhere. */
function replay({ space, relay }: Evidence, start: Start, bound: readonly Bound[], court: Court): Finding {
  let { state } = start
  for (const { batch, range } of bound) {
    try {
      if (state !== undefined) state = withTracer(state, batch.tracer)
      const view = { ...emptyView(space, relay, []), range, state }
      state = advance(view, { ...batch, tracer: undefined }).view.state
    } catch (error) {
      return findingOf(error)
    }
    court.passed(`entries ${batch.from} to ${batch.from + batch.entries.length - 1} follow the rules`)
  }
  return { verdict: 'refuted', reason: 'the entries are what the relay signed, and follow the rules' }
}

/** Only what `advance` concludes from bound contents convicts; all else is missing or unknown here, not false. */
function findingOf(error: unknown): Finding {
  if (hasCode(error, 'ERR_STATE_ROOT')) {
    return { verdict: 'holds', reason: 'the entries do not lead to the state that the relay signed' }
  }
  if (hasCode(error, 'ERR_INVALID_ENTRY')) {
    const { reason = '', index } = error.details
    if (Object.hasOwn(REFUSALS, reason)) {
      return { verdict: 'holds', reason: `the log has an entry ${index} ${REFUSALS[reason as Refusal]}` }
    }
  }
  return { verdict: 'unusable', reason: sentenceOf(error) }
}

/** How each refusal of the reducer reads behind "an entry 7". One that is not listed here convicts nobody. */
const REFUSALS: Readonly<Record<Refusal, string>> = {
  space: 'of another space',
  device: 'by a device that was not current',
  role: 'by somebody whose role does not allow it',
  epoch: 'under an epoch that was not in force',
  tainted: 'under an epoch whose secret somebody held who had been removed',
  chain: "that does not continue its author's chain",
  retired: 'of a chain that is retired, or retires one that does not exist',
  seen: 'whose author is said to have seen another log',
  kind: 'of a kind that does not belong there',
  length: 'with a body that is too long',
  tag: 'with a tag that it must not have',
  actors: 'that opens more chains than a device may have',
  'control-body': 'with a control body that is none',
  key: 'that admits a key that must not be admitted',
  invite: 'that invites or joins against the rules',
  import: 'that imports into a document that has begun',
  snapshot: 'with a snapshot that adds nothing',
  expired: 'that joins by an expired invite',
  member: 'about a member or a device that there is not',
  'last-owner': 'that leaves the space without an owner',
  limit: 'beyond the number of invites or devices that a member may have',
  base: 'that starts an epoch on another base',
  rate: 'that starts or repairs an epoch too soon',
  delivery: 'that does not deliver the secret of an epoch as it must',
}
