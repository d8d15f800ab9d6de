import { decodeRange, encodeRange, equalBytes, rootAt, type SignatureVerifier, type SpaceId } from 'sealog/protocol'
import { type Report, reasonOf } from './fsck-finding.ts'
import { LogFold, type RelayName } from './fsck-fold.ts'
import { isWhollyCosigned, noteFault, readNotes, type SignedNote, type SpaceNotes } from './fsck-notes.ts'
import { checkState } from './fsck-state.ts'
import { StoreWalk } from './fsck-walk.ts'
import type { KeptHead, LogStore, StoredSpace } from './log-store.ts'
import { isTombstone } from './log-store-fence.ts'
import { readHeadOrDamage } from './log-store-head-checksum.ts'
import { readRange } from './tree-proofs.ts'
import { withNodes } from './tree-reader.ts'

const GROUP_ENTRIES = 512
/** A relay that serves meanwhile may take in more before the check is through. */
const MAX_ROUNDS = 8

export interface SpaceCheck {
  readonly store: LogStore
  readonly relay: RelayName
  readonly verifier: SignatureVerifier
  readonly space: SpaceId
  readonly report: Report
  /** Entries that are checked without a pause. */
  readonly groupEntries?: number
  /** Called after so many entries; where it resolves to false, the check ends there. */
  readonly pace?: (entries: number) => Promise<boolean>
}

export interface CheckedSpace {
  /** Entries that were checked. */
  readonly size: number
  /** Bodies that are not stored, as after a recovery: no damage, and said all the same. */
  readonly missing: number
  /** The check came to its end. */
  readonly isWhole: boolean
}

/**
 * Checks all that is stored of one space, against nothing but the entries themselves and the relay's name and key:
 *
 * 1. what the relay has signed is signed by it, and about this space;
 * 2. each header has its hash, each body is the one that its header commits to, and what stands beside them to be found
 *    by is what the header says;
 * 3. the reducer accepts every entry in its place, every signature verifies, and every entry is covered by one;
 * 4. the tree, the wraps, what each entry replaced, and the state rows are what these entries bring about, and no more;
 * 5. what was signed is the root and the state of the log at that size.
 *
 * The relay may go on meanwhile: what the check is held against at the end was read in one transaction. Memory follows
 * the state of the space, not its log.
 *
 * @throws SealogError what the store throws, other than that something is not there
 */
export async function checkSpace(check: SpaceCheck): Promise<CheckedSpace> {
  const { store, relay, verifier, space, report } = check
  // Before the size: what is signed was stored, unless it was lost.
  const notes = await readNotes(check)
  const fold = new LogFold(space, relay, verifier, async sizes => {
    const roots = await withNodes(store, space, nodeAt => sizes.map(size => rootAt(size, nodeAt)))
    return new Map(sizes.map((size, i) => [size, roots[i] as Uint8Array]))
  })
  const walk = new StoreWalk(store, space, fold, report)
  const ended = (isWhole: boolean): CheckedSpace => ({ size: walk.size, missing: walk.account.missing, isWhole })
  const { size } = await store.readSize(space)
  if (!(await walkTo(check, walk, fold, notes, size))) return ended(false)
  for (let round = 1; ; round++) {
    const stored = await store.readSpace(space)
    checkHeadSize(check, notes.head, stored?.size ?? 0)
    if (stored === undefined) break
    if (!(await walkTo(check, walk, fold, notes, stored.size))) return ended(false)
    const isLast = round === MAX_ROUNDS || (await store.readSize(space)).size === stored.size
    const isSame = await accountsFor(check, walk, stored)
    // A snapshot that came in the meantime may have taken a body away that was counted.
    if (!isSame && !isLast) continue
    if (!isSame) report({ checked: 'account', space, reason: `${stored.bytes} bytes are not what is stored` })
    await checkEnd(check, walk, fold, notes, stored)
    break
  }
  return ended(true)
}

/** @returns false where it was ended before */
async function walkTo(
  { space, groupEntries = GROUP_ENTRIES, pace, ...check }: SpaceCheck,
  walk: StoreWalk,
  fold: LogFold,
  { notes }: SpaceNotes,
  size: number,
): Promise<boolean> {
  while (walk.size < size) {
    // A signed root is compared when the log is as long as it was then.
    const stops = notes.map(({ note }) => note.checkpoint.size).filter(stop => stop > walk.size)
    let entries: number
    try {
      entries = await walk.step(Math.min(size, walk.size + groupEntries, ...stops))
    } catch (error) {
      check.report({ checked: 'store', space, reason: `unreadable from entry ${walk.size} on: ${reasonOf(error)}` })
      return false
    }
    if (entries === 0) return true
    const reached = notes.filter(({ note }) => note.checkpoint.size === walk.size && walk.isJudged)
    for (const signed of reached) {
      const reason = noteFault(signed, fold.view)
      if (reason !== undefined) check.report({ checked: signed.kind, space, reason })
    }
    if (pace !== undefined && !(await pace(entries))) return false
  }
  return true
}

/** Do the stored bytes add up? */
async function accountsFor({ store, space }: SpaceCheck, walk: StoreWalk, stored: StoredSpace): Promise<boolean> {
  const { bytes, superseded } = walk.account
  if (bytes === stored.bytes) return true
  let gone = 0
  for (const [index, length] of superseded) {
    if ((await store.readBody(space, index, 0, 1)) === undefined) gone += length
  }
  return bytes - gone === stored.bytes
}

async function checkEnd(
  check: SpaceCheck,
  walk: StoreWalk,
  fold: LogFold,
  notes: SpaceNotes,
  stored: StoredSpace,
): Promise<void> {
  const { space, report } = check
  if (walk.size !== stored.size) report({ checked: 'account', space, reason: `it has not got ${stored.size} entries` })
  await checkFloor(check, stored)
  await checkBase(check, stored)
  if (!walk.isJudged) {
    report({ checked: 'state', space, reason: 'not checked: there is an entry before that cannot have been accepted' })
    return
  }
  const { range, state } = fold.view
  if (!equalBytes(stored.frontier, encodeRange(range))) report({ checked: 'tree', space, reason: 'another frontier' })
  for (const entry of fold.uncovered) report({ checked: 'signature', space, entry, reason: 'no signature covers it' })
  if (state === undefined) return
  checkState(space, stored.state, state, report)
  const known = (signed: SignedNote): boolean => signed.note.checkpoint.size <= stored.size
  for (const signed of notes.notes.filter(known)) {
    if (await isWhollyCosigned(check, signed, state.control)) continue
    const { size } = signed.note.checkpoint
    report({ checked: signed.kind, space, reason: `signed for ${size}: a cosignature that does not verify` })
  }
}

/** Only a log that has lost entries has a floor: as many as were signed, which are more than it has. */
async function checkFloor({ store, space, report }: SpaceCheck, { size, floor }: StoredSpace): Promise<void> {
  if (floor === 0) return
  const { head, damage } = await readHeadOrDamage(store, space)
  const now = await store.readSize(space)
  const hasChanged = now.size !== size || now.floor !== floor
  // What a damaged head would say of it is not known.
  if (hasChanged || damage !== undefined || (floor > size && floor === head?.size)) return
  report({ checked: 'account', space, reason: `a floor of ${floor} entries, where ${size} are stored` })
}

/** The last append was made on some beginning of this very log. */
async function checkBase({ store, space, report }: SpaceCheck, { size, base }: StoredSpace): Promise<void> {
  if (base === undefined) return
  const before = sizeOfRange(base)
  const isOfLog = before !== undefined && before < size
  if (isOfLog && equalBytes(encodeRange(await readRange(store, space, before)), base)) return
  report({ checked: 'account', space, reason: 'the last append was made on another log' })
}

function sizeOfRange(encoded: Uint8Array): number | undefined {
  try {
    return decodeRange(encoded).size
  } catch {
    return undefined
  }
}

function checkHeadSize({ space, report }: SpaceCheck, head: KeptHead | undefined, size: number): void {
  if (head === undefined || head.size <= size) return
  if (!isTombstone(head)) {
    report({
      checked: 'behind',
      space,
      reason: `${head.size - size} of ${head.size} entries that were signed are lost`,
    })
  } else if (size > 0) {
    report({ checked: 'head', space, reason: 'the space was removed, and its entries are still there' })
  }
}
