import {
  type ActorId,
  appendLeaves,
  type Checkpoint,
  decodeHeader,
  entryHash,
  equalBytes,
  type PushEntry,
  rootOf,
  SealogError,
  stateRoot,
} from 'sealog/protocol'
import { appendOf } from './append.ts'
import type { RelayContext } from './context.ts'
import type { AcceptedEntry, Judged, SpaceView } from './judge.ts'
import type { Append, StoredEntry } from './log-store.ts'
import { type FindStaged, type PushedEntry, readPush } from './pushed-entry.ts'
import { judgeAccepted } from './stored-judge.ts'

/** An entry that was lost, as a replica gives it back. */
export interface TailEntry {
  readonly entry: PushedEntry
  /** Replicas get, and keep, no signature where a later one of the same chain covers the entry: then it is all zero. */
  readonly isSigned: boolean
  /** Replicas that do not hold the document have no body, and snapshots are kept by nobody for long. */
  readonly hasBody: boolean
}

/** What is to be stored and shown of a restored log. */
export interface Restored {
  readonly append: Append
  readonly judged: Judged
  /** The appended entries as readers may have them. */
  readonly entries: readonly StoredEntry[]
}

const NO_BODY = new Uint8Array(0)

/**
 * One entry as far as it can be judged by itself. A body may be missing, except where the reducer reads it: it is then
 * not stored, and whoever asks for it learns that.
 * @throws SealogError ERR_MALFORMED, ERR_LIMIT, ERR_UPGRADE; ERR_BODY for a wrong body, and for a missing one of a
 * control entry
 */
export function readTailEntry(pushed: PushEntry, findStaged: FindStaged): TailEntry {
  const header = decodeHeader(pushed.header)
  const { bodyHash, bodyLength, kind } = header
  const isSigned = pushed.signature.some(byte => byte !== 0)
  const hasBody = pushed.body !== undefined || bodyLength === 0 || findStaged(bodyHash) !== undefined
  if (!hasBody && kind !== 'control') {
    const { header: encoded, signature } = pushed
    const entry = { encoded, header, hash: entryHash(encoded), signature, body: NO_BODY, wraps: undefined }
    return { entry, isSigned, hasBody }
  }
  const [entry] = readPush([pushed], findStaged)
  if (entry === undefined || 'fault' in entry) throw entry?.fault ?? new TypeError('pushed: expected an entry')
  return { entry, isSigned, hasBody: true }
}

/**
 * Judges the lost end of a log on top of what is left of it (DESIGN §5.5). The order of the steps is the argument why
 * whoever hands it in can bring about nothing but the very log that this relay has signed:
 *
 * 1. the headers, appended to what is stored, have the root of a note that this relay signed: so they are, byte for
 *    byte, those that it once took, in their order, and none is missing up to that size;
 * 2. where it knows of another note beyond what is stored, the same headers have its root, too;
 * 3. the reducer accepts them, with the control bodies that the headers commit to, and their state is the signed one;
 * 4. each chain is covered by a signature of its author, and every control entry has its own; whatever other signatures
 *    came hold as well;
 * 5. every body that came is the one that its header commits to (`readTailEntry`).
 *
 * What can be missing is what no signature of the relay covers: bodies, and signatures that later ones make up for.
 *
 * @param known other notes of this relay about more than is stored
 * @throws SealogError ERR_INVALID_ENTRY, ERR_SIGNATURE and whatever the reducer or the store throws
 */
export async function restoreTail(
  context: RelayContext,
  view: SpaceView,
  tail: readonly TailEntry[],
  head: Checkpoint,
  known: readonly Checkpoint[],
): Promise<Restored> {
  for (const { size, root } of [head, ...known]) {
    const leaves = tail.slice(0, size - view.range.size).map(({ entry }) => entry.hash)
    const range = appendLeaves(view.range, leaves)
    refuseIf(range.size !== size || !equalBytes(rootOf(range), root), `not the log that was signed for size ${size}`)
  }
  const judged = await judgeAccepted(
    context,
    view,
    tail.map(({ entry }) => entry),
  )
  const { state } = judged.view
  const isSame = state !== undefined && equalBytes(stateRoot(state), head.stateRoot)
  refuseIf(!isSame, `not the state that was signed for size ${head.size}`)
  await assertCovered(context, judged.accepted, tail)
  const append = appendOf(view, judged)
  const { size } = view.range
  const missing = tail.flatMap(({ hasBody }, i) => (hasBody ? [] : [size + i]))
  const entries = append.entries.map((entry, i) => (tail[i]?.hasBody === true ? entry : { ...entry, body: undefined }))
  const dropped = [...new Set([...append.dropped, ...missing])]
  return { append: { ...append, dropped, isRestored: true }, judged, entries }
}

/** As in a batch (protocol.md R-COVER-1, R-COVER-2): the last entry of each actor, and every control entry. */
async function assertCovered(
  { verifier }: RelayContext,
  accepted: readonly AcceptedEntry[],
  tail: readonly TailEntry[],
): Promise<void> {
  const covered = new Set<ActorId>()
  const checks = accepted.toReversed().flatMap(({ entry, actor, index, checks: [own, ...others] }, i) => {
    const isDue = entry.header.kind === 'control' || !covered.has(actor)
    covered.add(actor)
    const isSigned = tail[accepted.length - 1 - i]?.isSigned === true
    if (isDue && !isSigned) throw new SealogError('ERR_SIGNATURE', `entry ${index} is covered by no signature`)
    return own !== undefined && isSigned ? [own, ...others] : others
  })
  const verdicts = await verifier.verifyAll(checks)
  if (!verdicts.every(holds => holds)) throw new SealogError('ERR_SIGNATURE', 'a signature does not verify')
}

function refuseIf(refused: boolean, why: string): void {
  if (refused) throw new SealogError('ERR_INVALID_ENTRY', `the restored entries are ${why}`)
}
