import { equalBytes } from '../bytes.ts'
import { ZERO_32 } from '../crypto/hash.ts'
import { SealogError } from '../errors.ts'
import { CONTROL_DOCUMENT } from '../ids.ts'
import { acceptNote } from './accept-note.ts'
import { decodeRange, rootOf } from './compact-range.ts'
import { decodeHeader, entryHash, entrySigningInput } from './entry.ts'
import { bodyOf } from './entry-body.ts'
import { checkGenesis, checkRelay, judge } from './fold-entries.ts'
import type { Anchor, LogView, RequiredCheck, VerifiedEntry } from './log.ts'
import { verifyInclusion } from './merkle.ts'
import { type Prefixes, prefixesOf } from './prefixes.ts'
import type { LogRecord, SkipHead } from './records.ts'
import {
  type DocumentRecord,
  findDocument,
  hashDocument,
  initialState,
  type SpaceState,
  stateKey,
  stateRootOf,
  withDocument,
} from './state.ts'
import { getAt, mapRoot, type StateMap } from './state-map.ts'
import { decodeDocuments, MAX_DOCUMENT_PROOF } from './tracer.ts'

export interface Skipped {
  /** At the checkpoint that was skipped to. Of the documents it knows no more than the control document. */
  readonly view: LogView
  /** The control entries that were skipped over, in order. */
  readonly entries: readonly VerifiedEntry[]
  /** Every one must hold before anything of this result is used. */
  readonly checks: readonly RequiredCheck[]
}

/**
 * Fast-forward of the log as a whole (DESIGN §5.4): from a verified view to a later checkpoint, without the entries in
 * between. Whether that checkpoint may be skipped to is for the caller to decide: nothing here proves that the relay
 * judged the skipped entries as it should. What is proven:
 *
 * 1. the note is for this log, by the pinned key, not older or smaller than what was accepted before;
 * 2. the compact range is the one of its root;
 * 3. the log known so far, and every anchor below, is how that log begins;
 * 4. every control entry is in that log, at its place, signed by its author, and the reducer accepts them one after
 *    the other on top of the control state known so far;
 * 5. none was left out: the control state and the chains of control entries that they lead to are those of the signed
 *    state root.
 *
 * @throws SealogError with the code of the step that failed; the given view is then still the truth
 */
export function skipTo(view: LogView, head: SkipHead, records: readonly LogRecord[]): Skipped {
  const { checkpoint, check } = acceptNote(view, head.note)
  const range = decodeRange(head.range)
  if (range.size !== checkpoint.size || !equalBytes(rootOf(range), checkpoint.root)) {
    throw new SealogError('ERR_ROOT_MISMATCH', 'the compact range is not the one of the signed root')
  }
  const prefixes = prefixesOf(checkpoint.size, checkpoint.root, head.proofs)
  if (view.range.size > 0) prefixes.assertPrefix(view.range.size, rootOf(view.range))
  for (const { size, root } of view.anchors) if (size <= checkpoint.size) prefixes.assertPrefix(size, root)

  const replayed = replayControl(view, records, checkpoint, prefixes)
  const documents = decodeDocuments(head.documents, MAX_DOCUMENT_PROOF)
  if (!equalBytes(stateRootOf(mapRoot(documents), replayed.state.control), checkpoint.stateRoot)) {
    throw new SealogError('ERR_STATE_ROOT', 'the control entries do not lead to the signed state')
  }
  assertSameControl(documents, replayed.state)
  return {
    view: {
      ...view,
      range,
      state: { control: replayed.state.control, documents },
      head: checkpoint,
      anchors: view.anchors.filter(anchor => anchor.size > checkpoint.size),
      controlRoot: controlRootOf(view, replayed.entries, head, prefixes),
    },
    entries: replayed.entries,
    checks: [check, ...replayed.checks],
  }
}

interface Replayed {
  readonly state: SpaceState
  readonly entries: readonly VerifiedEntry[]
  readonly checks: readonly RequiredCheck[]
}

function replayControl(
  view: LogView,
  records: readonly LogRecord[],
  { size, root }: Anchor,
  prefixes: Prefixes,
): Replayed {
  let state = view.state && controlOnly(view.state)
  const entries: VerifiedEntry[] = []
  const checks: RequiredCheck[] = []
  let next = view.range.size
  for (const record of records) {
    const { index } = record
    if (index < next) throw new SealogError('ERR_PROOF', 'control entries out of order')
    next = index + 1
    const header = decodeHeader(record.header)
    const hash = entryHash(record.header)
    verifyInclusion({ index, size, leafHash: hash, proof: record.inclusion, root })
    const body = bodyOf(header, record.body, index)
    if (header.kind !== 'control') throw new SealogError('ERR_PROOF', `entry ${index} is no control entry`)
    if (body === undefined) throw new SealogError('ERR_BODY', `control entry ${index} without its body`)
    if (record.signature === undefined) throw new SealogError('ERR_UNCOVERED', `control entry ${index} is not signed`)
    prefixes.assertPrefix(header.seenSize, header.seenRoot)
    const reduced = judge(state, { header, hash, index, seenRoot: header.seenRoot, controlBody: body })
    if (reduced.control?.type === 'genesis') {
      checkGenesis(view, hash)
      checkRelay(view, reduced.control.relay)
    }
    state = reduced.state
    entries.push({
      index,
      header,
      hash,
      actor: reduced.actor,
      body,
      control: reduced.control,
      recipients: reduced.recipients,
    })
    for (const own of reduced.checks) {
      checks.push({ ...own, code: 'ERR_SIGNATURE', what: `possession in entry ${index}` })
    }
    checks.push({
      publicKey: reduced.signer,
      message: entrySigningInput(hash),
      signature: record.signature,
      code: 'ERR_SIGNATURE',
      what: `entry ${index}`,
    })
  }
  if (state === undefined) throw new SealogError('ERR_PROOF', 'a log without its genesis')
  return { state, entries, checks }
}

/** Control entries read and write nothing but the control state and the control document. */
function controlOnly(state: SpaceState): SpaceState {
  const record = findDocument(state, CONTROL_DOCUMENT)
  const initial = initialState(state.control)
  return record === undefined ? initial : withDocument(initial, record)
}

function assertSameControl(documents: StateMap<DocumentRecord>, replayed: SpaceState): void {
  const signed = getAt(documents, stateKey(CONTROL_DOCUMENT))
  const own = findDocument(replayed, CONTROL_DOCUMENT)
  if (signed !== undefined && own !== undefined && equalBytes(hashDocument(signed), hashDocument(own))) return
  throw new SealogError('ERR_STATE_ROOT', 'the chains of control entries are not those of the signed state')
}

function controlRootOf(
  view: LogView,
  entries: readonly VerifiedEntry[],
  head: SkipHead,
  prefixes: Prefixes,
): Anchor | undefined {
  const last = entries.at(-1)
  if (last === undefined) {
    if (!equalBytes(head.controlRoot, ZERO_32)) throw new SealogError('ERR_PROOF', 'a control root of no entry')
    return view.controlRoot
  }
  prefixes.assertPrefix(last.index + 1, head.controlRoot)
  return { size: last.index + 1, root: head.controlRoot }
}
