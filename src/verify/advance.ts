import { verifySync } from '../crypto/sign.ts'
import { hasCode, SealogError } from '../errors.ts'
import { acceptNote } from './accept-note.ts'
import { coverage } from './coverage.ts'
import { entryHash } from './entry.ts'
import { anchorsBeyond, controlRootAfter, extend, placeOf, readLeaves } from './extend-log.ts'
import { checkStateRoot, fold } from './fold-entries.ts'
import type { Advanced, Batch, LogView } from './log.ts'
import { proveSeen } from './seen-roots.ts'

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

function advanceKnown(view: LogView, batch: Batch): Advanced {
  // 1. The note.
  const { checkpoint, check } = acceptNote(view, batch.note)
  // 2. The leaves.
  const leaves = readLeaves(view, batch)
  const { range, roots } = extend(view, batch, leaves.map(placeOf), checkpoint)
  // 3. What authors had seen.
  const seenRoots = proveSeen(view, batch, leaves, roots)
  // 4. The reducer, which is handed control bodies: so it is there that bodies are held against headers (6).
  const folded = fold(view, leaves, batch, seenRoots)
  if (range.size === checkpoint.size) checkStateRoot(folded.state, checkpoint)
  // 5. Coverage.
  const signatures = coverage(folded.entries, batch)
  const advanced: LogView = {
    ...view,
    range,
    state: folded.state,
    head: checkpoint,
    anchors: anchorsBeyond(view, range.size, checkpoint, batch.note),
    controlRoot: controlRootAfter(view, leaves, batch.from, roots),
  }
  return { view: advanced, entries: folded.entries.map(({ entry }) => entry), checks: [check, ...signatures] }
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
