import { equalBytes } from '../bytes.ts'
import { sha256, ZERO_32 } from '../crypto/hash.ts'
import { type SignatureCheck, verifySync } from '../crypto/sign.ts'
import { type ErrorCode, hasCode, SealogError } from '../errors.ts'
import { type ActorId, type SpaceId, spaceIdOf } from '../ids.ts'
import { type Checkpoint, originOf, parseNote, relaySignature } from './checkpoint.ts'
import { appendLeaf, type CompactRange, emptyRange, rootOf } from './compact-range.ts'
import type { ControlBody } from './control.ts'
import { decodeHeader, entryHash, entrySigningInput, type Header } from './entry.ts'
import { EMPTY_ROOT, verifyConsistency } from './merkle.ts'
import { applyHeader } from './reducer.ts'
import { type SpaceState, stateRoot } from './state.ts'
import { mergeTracer } from './tracer.ts'
import type { Recipient } from './wraps.ts'

/** The relay as a replica pinned it at first contact. */
export interface PinnedRelay {
  readonly name: string
  /** Ed25519, 32 bytes. */
  readonly key: Uint8Array
}

/** Is it the same relay: by its name and its key, wherever it was met? */
export function sameRelay(a: PinnedRelay, b: PinnedRelay): boolean {
  return a.name === b.name && equalBytes(a.key, b.key)
}

/** A log prefix that is known to be the one log: any batch that passes its size must reproduce its root. */
export interface Anchor {
  readonly size: number
  readonly root: Uint8Array
  /** The signed note that says so, where there is one. */
  readonly note?: Uint8Array | undefined
}

/** All that a replica holds of a changelog it has verified up to `range.size`. Immutable. */
export interface LogView {
  readonly space: SpaceId
  readonly relay: PinnedRelay
  readonly range: CompactRange
  /** Undefined as long as no entry, not even the genesis, is known. */
  readonly state: SpaceState | undefined
  /** The largest log that the relay signed to this replica; ahead of `range` in the middle of a catch-up. */
  readonly head: Checkpoint | undefined
  /** Ascending, all beyond `range.size`. */
  readonly anchors: readonly Anchor[]
  /** The log up to and including the latest control entry: what a fingerprint is over. */
  readonly controlRoot: Anchor | undefined
}

/** Most anchors that a view keeps (protocol.md R-BATCH-6). */
export const MAX_ANCHORS = 256

/** One entry of a batch as it travels: a signature or a body that is not sent is undefined. */
export interface BatchEntry {
  readonly header: Uint8Array
  readonly signature: Uint8Array | undefined
  readonly body: Uint8Array | undefined
}

/** What a relay says about the log: catch-up, live broadcast and acknowledgement alike (DESIGN §5.3). */
export interface Batch {
  readonly from: number
  readonly entries: readonly BatchEntry[]
  /** For each `seenSize` below `from` that a header names: consistency proof from there to `from`. */
  readonly seenProofs: readonly { readonly size: number; readonly proof: readonly Uint8Array[] }[]
  /** Signed checkpoint of a log at least as large as `from + entries.length`. */
  readonly note: Uint8Array
  /** From `from + entries.length` to the checkpoint; empty where the sizes are equal. */
  readonly consistency: readonly Uint8Array[]
  /** For a sparse view: what these entries replace in the state before them, see tracer.ts. */
  readonly tracer: Uint8Array | undefined
}

/** An entry of the log whose place, author and covering signature are proven once all checks passed. */
export interface VerifiedEntry {
  readonly index: number
  readonly header: Header
  readonly hash: Uint8Array
  readonly actor: ActorId
  /** The body that the header commits to; undefined where the relay did not send it. */
  readonly body: Uint8Array | undefined
  readonly control: ControlBody | undefined
  /** Of a control entry that delivers the secret of an epoch: to whom. */
  readonly recipients?: readonly Recipient[] | undefined
}

/** A signature to verify, and what it means if it is wrong. */
export interface RequiredCheck extends SignatureCheck {
  readonly code: ErrorCode
  readonly what: string
}

export interface Advanced {
  readonly view: LogView
  readonly entries: readonly VerifiedEntry[]
  /** Every one must hold before anything of this result is used. */
  readonly checks: readonly RequiredCheck[]
}

/** The view of a replica that knows nothing yet but what space it wants. */
export function emptyView(space: SpaceId, relay: PinnedRelay, anchors: readonly Anchor[]): LogView {
  return {
    space,
    relay,
    range: emptyRange,
    state: undefined,
    head: undefined,
    anchors: [...anchors].sort(bySize),
    controlRoot: undefined,
  }
}

/** Every entry known, none missing before the relay's signed head. */
export function isCurrent(view: LogView): boolean {
  return view.head !== undefined && view.head.size === view.range.size
}

/**
 * The one path by which anything from a relay becomes known (DESIGN §5.3). Synchronous and pure: it returns the
 * view after the batch together with the signature checks that are still owed; the caller awaits them together
 * and drops everything if one fails. The order of the steps is the argument:
 *
 * 1. the note is for this log, by the pinned key, not older or smaller than what was accepted before;
 * 2. the batch starts where the replica is, its leaves hash to the signed root, or to one consistent with it;
 * 3. every `seen` is a prefix of this very log;
 * 4. a tracer is cut out of the very state before the batch; the reducer accepts every header; at the signed size the
 *    state hashes to the signed state root;
 * 5. every header is covered by a signature in this batch;
 * 6. every body that came is the one its header commits to.
 *
 * @throws SealogError with the code of the step that failed; the given view is then still the truth
 */
export function advance(view: LogView, batch: Batch): Advanced {
  try {
    return advanceKnown(view, batch)
  } catch (error) {
    if (hasCode(error, 'ERR_UPGRADE')) assertSigned(view, batch)
    throw error
  }
}

/**
 * Bytes that this build does not know stop it for good, so a relay must have signed a log that holds them: what
 * anybody could have made up on the way is refused like everything else (protocol.md R-UPGRADE-1). The one place
 * where a signature is verified at once, as nothing is returned that could be awaited.
 */
function assertSigned(view: LogView, batch: Batch): void {
  const { checkpoint, check } = acceptNote(view, batch.note)
  if (!verifySync(check)) throw new SealogError(check.code, `signature of ${check.what} does not verify`)
  extend(
    view,
    batch,
    batch.entries.map(entry => ({ hash: entryHash(entry.header), seenSize: undefined, isControl: false })),
    checkpoint,
  )
}

function advanceKnown(view: LogView, batch: Batch): Advanced {
  const { checkpoint, check } = acceptNote(view, batch.note)
  const leaves = readLeaves(view, batch)
  const places = leaves.map(placeOf)
  const { range, roots } = extend(view, batch, places, checkpoint)
  const seenRoots = proveSeen(view, batch, leaves, roots)
  const reduced = reduce(view, leaves, batch, seenRoots)
  if (range.size === checkpoint.size) checkStateRoot(reduced.state, checkpoint)
  const signatures = coverage(reduced.entries, batch)
  const advanced: LogView = {
    ...view,
    range,
    state: reduced.state,
    head: checkpoint,
    anchors: anchorsBeyond(view, range.size, checkpoint, batch.note),
    controlRoot: controlRootAfter(view, leaves, batch.from, roots),
  }
  return { view: advanced, entries: reduced.entries.map(item => item.entry), checks: [check, ...signatures] }
}

// -- 1. The note --------------------------------------------------------------------------------------------------

/**
 * A note for this log, by the pinned key, not older or smaller than what was accepted before.
 * @returns what it says, and the check of its signature that is still owed
 * @throws SealogError ERR_CHECKPOINT…, ERR_ROLLBACK, ERR_TIME_BACKWARDS, ERR_ROOT_MISMATCH, ERR_STATE_ROOT
 */
export function acceptNote(view: LogView, bytes: Uint8Array): { checkpoint: Checkpoint; check: RequiredCheck } {
  const note = parseNote(bytes)
  const { checkpoint } = note
  const origin = originOf(view.relay.name, view.space)
  if (checkpoint.origin !== origin) {
    throw new SealogError('ERR_CHECKPOINT', 'a checkpoint of another log', {
      details: { expected: origin, actual: checkpoint.origin },
    })
  }
  const signature = relaySignature(note, { name: origin, publicKey: view.relay.key })
  const furthest = view.anchors.at(-1)
  if (furthest !== undefined && furthest.size > checkpoint.size) throw rollback(furthest.size, checkpoint.size)
  const { head } = view
  if (head !== undefined) {
    if (checkpoint.size < head.size) throw rollback(head.size, checkpoint.size)
    if (checkpoint.time < head.time)
      throw new SealogError('ERR_TIME_BACKWARDS', 'a checkpoint older than its predecessor')
    if (checkpoint.size === head.size && !equalBytes(checkpoint.root, head.root)) {
      throw new SealogError('ERR_ROOT_MISMATCH', `two signed roots for ${head.size} entries`)
    }
    if (checkpoint.size === head.size && !equalBytes(checkpoint.stateRoot, head.stateRoot)) {
      throw new SealogError('ERR_STATE_ROOT', `two signed state roots for ${head.size} entries`)
    }
  }
  const check: RequiredCheck = {
    publicKey: view.relay.key,
    message: note.text,
    signature,
    code: 'ERR_CHECKPOINT_SIGNATURE',
    what: 'checkpoint',
  }
  return { checkpoint, check }
}

function rollback(known: number, claimed: number): SealogError {
  return new SealogError('ERR_ROLLBACK', `the log had ${known} entries, now the relay says ${claimed}`, {
    details: { expected: `${known}`, actual: `${claimed}` },
  })
}

// -- 2. The leaves ------------------------------------------------------------------------------------------------

interface Leaf {
  readonly header: Header
  readonly hash: Uint8Array
}

function readLeaves(view: LogView, batch: Batch): readonly Leaf[] {
  if (batch.from !== view.range.size) {
    throw new SealogError('ERR_UNEXPECTED', `a batch from ${batch.from}, where ${view.range.size} is next`)
  }
  return batch.entries.map(entry => ({ header: decodeHeader(entry.header), hash: entryHash(entry.header) }))
}

interface Extended {
  readonly range: CompactRange
  /** Root at every size of this batch that somebody names. */
  readonly roots: ReadonlyMap<number, Uint8Array>
}

/** A leaf, the size that its author had seen, where that is known, and whether it is a control entry. */
interface Place {
  readonly hash: Uint8Array
  readonly seenSize: number | undefined
  readonly isControl: boolean
}

function placeOf({ header, hash }: Leaf): Place {
  return { hash, seenSize: header.seenSize, isControl: header.kind === 'control' }
}

function controlRootAfter(
  view: LogView,
  leaves: readonly Leaf[],
  from: number,
  roots: ReadonlyMap<number, Uint8Array>,
): Anchor | undefined {
  const last = leaves.findLastIndex(({ header }) => header.kind === 'control')
  const size = from + last + 1
  return last < 0 ? view.controlRoot : { size, root: roots.get(size) as Uint8Array }
}

function extend(view: LogView, batch: Batch, leaves: readonly Place[], checkpoint: Checkpoint): Extended {
  const size = batch.from + leaves.length
  if (size > checkpoint.size) {
    throw new SealogError('ERR_ROOT_MISMATCH', `entries up to ${size}, but the relay signed ${checkpoint.size}`)
  }
  const anchors = new Map(view.anchors.map(anchor => [anchor.size, anchor.root]))
  const named = new Set(leaves.map(leaf => leaf.seenSize))
  for (const [offset, leaf] of leaves.entries()) if (leaf.isControl) named.add(batch.from + offset + 1)
  const roots = new Map<number, Uint8Array>()
  let range = view.range
  const visit = (): void => {
    const anchor = anchors.get(range.size)
    if (anchor === undefined && !named.has(range.size)) return
    const root = rootOf(range)
    roots.set(range.size, root)
    if (anchor !== undefined && !equalBytes(anchor, root)) {
      throw new SealogError('ERR_ROOT_MISMATCH', `entries do not lead to the root known for size ${range.size}`)
    }
  }
  visit()
  for (const leaf of leaves) {
    range = appendLeaf(range, leaf.hash)
    visit()
  }
  const root = roots.get(range.size) ?? rootOf(range)
  if (range.size === checkpoint.size) {
    if (!equalBytes(root, checkpoint.root)) {
      throw new SealogError('ERR_ROOT_MISMATCH', `entries do not lead to the root signed for size ${range.size}`)
    }
    refuseProof(batch.consistency.length > 0, 'a consistency proof where none is due')
  } else {
    verifyConsistency({
      size1: range.size,
      root1: root,
      size2: checkpoint.size,
      root2: checkpoint.root,
      proof: batch.consistency,
    })
  }
  checkNoAnchorContradicts(view, range.size, checkpoint)
  return { range, roots }
}

/** An anchor at the very size of a checkpoint can be compared before the entries in between are here. */
function checkNoAnchorContradicts(view: LogView, size: number, checkpoint: Checkpoint): void {
  for (const anchor of view.anchors) {
    if (anchor.size > size && anchor.size === checkpoint.size && !equalBytes(anchor.root, checkpoint.root)) {
      throw new SealogError('ERR_ROOT_MISMATCH', `the root signed for size ${anchor.size} is not the one known for it`)
    }
  }
}

/** What later batches must still pass: heads signed before, and this one while its entries are on the way. */
function anchorsBeyond(view: LogView, size: number, checkpoint: Checkpoint, note: Uint8Array): readonly Anchor[] {
  const anchors = view.anchors.filter(anchor => anchor.size > size)
  return checkpoint.size > size ? withAnchor(anchors, { size: checkpoint.size, root: checkpoint.root, note }) : anchors
}

/**
 * One more size whose root must be met. A relay whose heads run ahead of its entries for ever must not fill the
 * replica: where there are too many, it takes the place of the furthest. Those that entries must pass first stay, the
 * one of an invite among them.
 * @param anchors ascending
 * @returns the same list where it has this anchor
 * @throws SealogError ERR_ROOT_MISMATCH where it has another root for that size
 */
export function withAnchor(anchors: readonly Anchor[], anchor: Anchor): readonly Anchor[] {
  const known = anchors.find(({ size }) => size === anchor.size)
  if (known !== undefined && !equalBytes(known.root, anchor.root)) {
    throw new SealogError('ERR_ROOT_MISMATCH', `two signed roots for ${anchor.size} entries`)
  }
  if (known !== undefined) return anchors
  return [...anchors.slice(0, MAX_ANCHORS - 1), anchor].sort(bySize)
}

function bySize(a: Anchor, b: Anchor): number {
  return a.size - b.size
}

// -- 3. What authors had seen -------------------------------------------------------------------------------------

/** @returns the root at every `seenSize` of the batch */
function proveSeen(
  view: LogView,
  batch: Batch,
  leaves: readonly Leaf[],
  roots: ReadonlyMap<number, Uint8Array>,
): ReadonlyMap<number, Uint8Array> {
  const known = new Map(roots).set(0, EMPTY_ROOT)
  const proofs = new Map(batch.seenProofs.map(item => [item.size, item.proof]))
  refuseProof(proofs.size !== batch.seenProofs.length, 'two proofs for one size')
  const start = view.range.size > 0 ? rootOf(view.range) : EMPTY_ROOT
  for (const { header } of leaves) {
    const { seenSize, seenRoot } = header
    if (seenSize >= view.range.size || known.has(seenSize)) continue
    const proof = proofs.get(seenSize)
    if (proof === undefined) throw new SealogError('ERR_PROOF', `no proof for the prefix of ${seenSize} entries`)
    verifyConsistency({ size1: seenSize, root1: seenRoot, size2: view.range.size, root2: start, proof })
    known.set(seenSize, seenRoot)
    proofs.delete(seenSize)
  }
  refuseProof(proofs.size > 0, 'a proof that no header needs')
  return known
}

function refuseProof(refused: boolean, why: string): void {
  if (refused) throw new SealogError('ERR_PROOF', why)
}

// -- 4. The reducer -----------------------------------------------------------------------------------------------

interface ReducedEntry {
  readonly entry: VerifiedEntry
  readonly signer: Uint8Array
  readonly checks: readonly SignatureCheck[]
}

function reduce(
  view: LogView,
  leaves: readonly Leaf[],
  batch: Batch,
  seenRoots: ReadonlyMap<number, Uint8Array>,
): { state: SpaceState | undefined; entries: readonly ReducedEntry[] } {
  let state = withTracer(view.state, batch.tracer)
  const entries = leaves.map(({ header, hash }, offset): ReducedEntry => {
    const index = batch.from + offset
    if (index === 0) checkGenesis(view, hash)
    const body = bodyOf(header, batch.entries[offset]?.body, index)
    const isControl = header.kind === 'control'
    if (isControl && body === undefined) throw new SealogError('ERR_BODY', `control entry ${index} without its body`)
    const seenRoot = seenRoots.get(header.seenSize) ?? ZERO_32
    const reduced = judge(state, { header, hash, index, seenRoot, controlBody: isControl ? body : undefined })
    if (reduced.control?.type === 'join') checkExpiry(view, state, header.device, index)
    if (reduced.control?.type === 'genesis') checkRelay(view, reduced.control.relay)
    state = reduced.state
    const entry = {
      index,
      header,
      hash,
      actor: reduced.actor,
      body,
      control: reduced.control,
      recipients: reduced.recipients,
    }
    return { entry, signer: reduced.signer, checks: reduced.checks }
  })
  return { state, entries }
}

/**
 * An invite that expired admits nobody. The log holds no clock, so the relay decides by its own; but where it signed,
 * after the expiry, a log that did not have the join yet, it has refuted itself (protocol.md R-JOIN-3).
 */
function checkExpiry({ head }: LogView, before: SpaceState | undefined, device: number, index: number): void {
  const invite = before?.control.invites.get(device)
  if (invite === undefined || head === undefined || head.size > index || head.time <= invite.expires) return
  throw new SealogError('ERR_INVALID_ENTRY', `entry ${index} refused: expired`, {
    details: { reason: 'expired', index },
  })
}

function withTracer(state: SpaceState | undefined, tracer: Uint8Array | undefined): SpaceState | undefined {
  if (tracer === undefined) return state
  if (state === undefined) throw new SealogError('ERR_PROOF', 'a tracer where there is no state yet')
  return { control: state.control, documents: mergeTracer(state.documents, tracer) }
}

/**
 * In a signed log, an entry that the reducer refuses is a fault of the relay, whatever the reason: unless it could not
 * be judged, as this replica does not know that part of the state and the tracer does not show it.
 */
export function judge(...args: Parameters<typeof applyHeader>): ReturnType<typeof applyHeader> {
  try {
    return applyHeader(...args)
  } catch (error) {
    if (!(error instanceof SealogError) || NOT_A_VERDICT.has(error.code)) throw error
    throw new SealogError('ERR_INVALID_ENTRY', error.message, { cause: error, details: error.details })
  }
}

const NOT_A_VERDICT: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['ERR_UPGRADE', 'ERR_PROOF', 'ERR_INVALID_ENTRY'])

/** @throws SealogError ERR_INVALID_ENTRY for the genesis of another space */
export function checkGenesis(view: LogView, hash: Uint8Array): void {
  const actual = spaceIdOf(hash)
  if (actual === view.space) return
  throw new SealogError('ERR_INVALID_ENTRY', 'the genesis of another space', {
    details: { index: 0, expected: view.space, actual },
  })
}

/** The space is the relay's that it was founded with: a copy of its log at another relay is a fork. */
export function checkRelay({ relay }: LogView, named: PinnedRelay): void {
  if (sameRelay(named, relay)) return
  throw new SealogError('ERR_RELAY_IDENTITY', 'the genesis names another relay', {
    details: { index: 0, expected: relay.name, actual: named.name },
  })
}

function checkStateRoot(state: SpaceState | undefined, checkpoint: Checkpoint): void {
  const root = state === undefined ? ZERO_32 : stateRoot(state)
  if (!equalBytes(root, checkpoint.stateRoot)) {
    throw new SealogError('ERR_STATE_ROOT', `entries do not fold to the state signed for size ${checkpoint.size}`)
  }
}

// -- 5. Coverage --------------------------------------------------------------------------------------------------

/**
 * A signature covers its entry and, through `prev`, all earlier ones of the chain: so one is due for the last
 * entry of each actor in the batch, and for every control entry (protocol.md R-COVER-1, R-COVER-2).
 */
function coverage(entries: readonly ReducedEntry[], batch: Batch): readonly RequiredCheck[] {
  const covered = new Set<ActorId>()
  const checks: RequiredCheck[] = []
  for (let offset = entries.length - 1; offset >= 0; offset--) {
    const { entry, signer, checks: own } = entries[offset] as ReducedEntry
    for (const check of own)
      checks.push({ ...check, code: 'ERR_SIGNATURE', what: `possession in entry ${entry.index}` })
    if (covered.has(entry.actor) && entry.header.kind !== 'control') continue
    covered.add(entry.actor)
    const signature = batch.entries[offset]?.signature
    if (signature === undefined) {
      throw new SealogError('ERR_UNCOVERED', `entry ${entry.index} is covered by no signature`, {
        details: { index: entry.index },
      })
    }
    checks.push({
      publicKey: signer,
      message: entrySigningInput(entry.hash),
      signature,
      code: 'ERR_SIGNATURE',
      what: `entry ${entry.index}`,
    })
  }
  return checks
}

// -- 6. Bodies ----------------------------------------------------------------------------------------------------

/** @throws SealogError ERR_BODY unless it is the one that the header commits to */
export function bodyOf(header: Header, body: Uint8Array | undefined, index: number): Uint8Array | undefined {
  if (body === undefined) return undefined
  if (body.length !== header.bodyLength || !equalBytes(sha256(body), header.bodyHash)) {
    throw new SealogError('ERR_BODY', `the body of entry ${index} is not the one its header commits to`, {
      details: { index },
    })
  }
  return body
}
