import {
  type ActorId,
  actorOf,
  appendLeaf,
  applyHeader,
  asSealogError,
  type CompactRange,
  type ControlState,
  EMPTY_ROOT,
  entrySigningInput,
  equalBytes,
  findActor,
  findDocument,
  isZero,
  type Reduced,
  rootOf,
  SealogError,
  type SignatureCheck,
  type SpaceId,
  type SpaceState,
  spaceIdOf,
} from 'sealog/protocol'
import { type DeliveredWrap, wrapsOf } from './delivered-wraps.ts'
import type { FaultyEntry, PushedEntry } from './pushed-entry.ts'

/** A space as its durable entries leave it. Immutable. */
export interface SpaceView {
  readonly space: SpaceId
  readonly range: CompactRange
  /** Undefined before the genesis. */
  readonly state: SpaceState | undefined
}

export type Push = readonly (PushedEntry | FaultyEntry)[]

/** What a verdict depends on besides the entries before. */
export interface Circumstances {
  readonly relay: { readonly name: string; readonly key: Uint8Array }
  /** Unix time in milliseconds. */
  readonly now: number
  /** Root at every size up to the durable one that an entry names as seen. */
  readonly seenRoots: ReadonlyMap<number, Uint8Array>
  /** May wraps be missing, as in a log that is given back? Wrong ones may never come. */
  readonly lacksWraps?: boolean
  /** Did the signatures of this entry verify, its own under this key? Undefined: not known yet. */
  readonly verdictOf: (entry: PushedEntry, signer: Uint8Array) => boolean | undefined
}

export interface AcceptedEntry {
  readonly index: number
  readonly entry: PushedEntry
  /** What it was accepted on; undefined for a genesis. */
  readonly before: SpaceState | undefined
  readonly actor: ActorId
  readonly signer: Uint8Array
  /** All that must verify: the entry's own signature and the proofs of possession that it brings. */
  readonly checks: readonly SignatureCheck[]
  /** What it delivers, by position. */
  readonly wraps: readonly DeliveredWrap[]
}

export interface RefusedEntry {
  /** Which of the push. */
  readonly position: number
  readonly error: SealogError
}

export interface Judged {
  readonly view: SpaceView
  readonly accepted: readonly AcceptedEntry[]
  /** For each push the entry that ended it, or undefined where all of it landed. */
  readonly refused: readonly (RefusedEntry | undefined)[]
}

/**
 * Judges pushes in order, each up to its first refused entry, on top of `base`. Pure: the same code as in every client
 * decides (DESIGN §4), and what only a relay can know is added: its own identity and clock, and what was pushed before.
 */
export function judge(base: SpaceView, pushes: readonly Push[], circumstances: Circumstances): Judged {
  const seenSizes = seenSizesOf(pushes)
  const roots = new Map(circumstances.seenRoots).set(0, EMPTY_ROOT)
  const accepted: AcceptedEntry[] = []
  let view = base

  function take(entry: PushedEntry | FaultyEntry): void {
    if ('fault' in entry) throw entry.fault
    const reduced = reduce(view, entry, roots, circumstances)
    if (circumstances.verdictOf(entry, reduced.signer) === false) {
      throw new SealogError('ERR_SIGNATURE', 'a signature of the entry does not verify')
    }
    const wraps = wrapsOf(view.state?.control, reduced.control, entry.wraps, circumstances.lacksWraps === true)
    accepted.push(acceptedEntry(view, entry, reduced, wraps))
    const range = appendLeaf(view.range, entry.hash)
    if (seenSizes.has(range.size)) roots.set(range.size, rootOf(range))
    view = { ...view, range, state: reduced.state }
  }

  const refused = pushes.map((push): RefusedEntry | undefined => {
    for (const [position, entry] of push.entries()) {
      try {
        take(entry)
      } catch (error) {
        return { position, error: asSealogError(error, 'ERR_RELAY_INTERNAL', 'the relay failed to judge the entry') }
      }
    }
    return undefined
  })
  return { view, accepted, refused }
}

/** Sizes of the log that the entries name as seen. */
export function seenSizesOf(pushes: readonly Push[]): ReadonlySet<number> {
  const sizes = new Set<number>()
  for (const push of pushes) for (const entry of push) if ('header' in entry) sizes.add(entry.header.seenSize)
  return sizes
}

function reduce(
  view: SpaceView,
  entry: PushedEntry,
  roots: ReadonlyMap<number, Uint8Array>,
  circumstances: Circumstances,
): Reduced {
  const { header, hash, body } = entry
  checkPlace(view, entry)
  const seenRoot = roots.get(header.seenSize)
  // Only a size beyond the log is not in the map; the reducer refuses it whatever its root.
  const at = { header, hash, index: view.range.size, seenRoot: seenRoot ?? EMPTY_ROOT, controlBody: undefined }
  const reduced = applyOrStale(view.state, header.kind === 'control' ? { ...at, controlBody: body } : at)
  if (reduced.control?.type === 'genesis') checkIdentity(reduced.control.relay, circumstances.relay)
  if (reduced.control?.type === 'join') checkExpiry(view.state?.control, header.device, circumstances.now)
  return reduced
}

/** A genesis creates a space that does not exist; anything else needs one that does. */
function checkPlace({ space, state }: SpaceView, { header, hash }: PushedEntry): void {
  if (!isZero(header.space)) {
    if (state === undefined) throw new SealogError('ERR_UNKNOWN_SPACE', 'the space has no genesis here')
    return
  }
  const actual = spaceIdOf(hash)
  if (actual !== space) {
    throw new SealogError('ERR_INVALID_ENTRY', 'the genesis of another space', {
      details: { reason: 'space', expected: space, actual },
    })
  }
  if (state !== undefined) throw new SealogError('ERR_SPACE_EXISTS', 'the space exists already')
}

/**
 * The reducer, except that an entry whose chain is already as long or longer is stale, whatever else is wrong with it
 * by now: where an acknowledgement was lost, the entry itself may have removed its author's device or ended its chain,
 * and the author must learn that it has to look rather than that its work was refused.
 */
function applyOrStale(state: SpaceState | undefined, at: Parameters<typeof applyHeader>[1]): Reduced {
  try {
    return applyHeader(state, at)
  } catch (error) {
    if (state !== undefined && isBehindItsChain(state, at)) {
      throw new SealogError('ERR_STALE_CHAIN', 'the chain of the entry is already longer', { cause: error })
    }
    throw error
  }
}

function isBehindItsChain(state: SpaceState, { header }: Parameters<typeof applyHeader>[1]): boolean {
  const device = state.control.devices.get(header.device)
  const document = findDocument(state, header.document)
  if (device === undefined || document === undefined) return false
  const actor = findActor(document, actorOf(state.control.space, header.document, device.signing, header.incarnation))
  return actor !== undefined && header.seq <= actor.seq
}

function checkIdentity(named: Circumstances['relay'], own: Circumstances['relay']): void {
  if (named.name === own.name && equalBytes(named.key, own.key)) return
  throw new SealogError('ERR_RELAY_IDENTITY', 'the genesis names another relay', {
    details: { expected: own.name, actual: named.name },
  })
}

function checkExpiry(before: ControlState | undefined, device: number, now: number): void {
  const invite = before?.invites.get(device)
  if (invite !== undefined && now > invite.expires) throw new SealogError('ERR_INVITE', 'the invite has expired')
}

function acceptedEntry(
  view: SpaceView,
  entry: PushedEntry,
  reduced: Reduced,
  wraps: readonly DeliveredWrap[],
): AcceptedEntry {
  const { actor, signer, checks } = reduced
  const own = { publicKey: signer, message: entrySigningInput(entry.hash), signature: entry.signature }
  return {
    index: view.range.size,
    entry,
    before: view.state,
    actor,
    signer,
    checks: [own, ...checks],
    wraps,
  }
}
