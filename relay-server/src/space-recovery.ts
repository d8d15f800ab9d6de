import {
  type ActorRecord,
  type Checkpoint,
  type DocumentId,
  decodeActorRecord,
  decodeDocumentRecord,
  decodeRange,
  entryHash,
  equalBytes,
  idBytes,
  initialState,
  readControlRows,
  rootAt,
  rootOf,
  SealogError,
  type SpaceId,
  type SpaceState,
  setAt,
  stateKey,
  stateRoot,
  withActor,
} from 'sealog/protocol'
import type { RelayContext } from './context.ts'
import type { SpaceView } from './judge.ts'
import type { StateRows, StoredSpace } from './log-store.ts'
import { isTombstone } from './log-store-fence.ts'
import { readHead, type SignedHead } from './signed-head.ts'
import { withNodes } from './tree-reader.ts'

/** How many of the last entries are hashed again when a space is opened. */
const RECHECKED_ENTRIES = 64

export interface RecoveredSpace {
  readonly view: SpaceView
  /** Undefined where nothing is signed; of fewer entries than the view where the relay stopped before it signed them. */
  readonly head: SignedHead | undefined
  /** What this relay has signed beyond what is stored: it has lost the end of the log, and must not sign before it has it back. */
  readonly behind: Checkpoint | undefined
  /** Time of the latest note that it signed, 0 where there is none. */
  readonly latest: number
  /** Notes up to this time that are about more than is stored were given up, 0 where none were. */
  readonly abandoned: number
  /** Stored bytes. */
  readonly bytes: number
}

/**
 * Brings a space back from the store. What was signed is the measure: a store that leads to another root is not served
 * from, and one that is behind it only takes back what it lost, unless the operator has given that up. What is durable
 * and not signed, as after a crash, is behind the head: signing it is left to `LogEnd`.
 * @throws SealogError ERR_UNKNOWN_SPACE where it was removed; ERR_STORE_CORRUPT where the store contradicts itself or the signed head, and whatever it throws
 */
export async function recoverSpace(context: RelayContext, space: SpaceId): Promise<RecoveredSpace> {
  const { store } = context
  // The head first: entries are stored before they are signed, so that more of them is the rule, and fewer a loss.
  const kept = await store.readHead(space)
  if (isTombstone(kept)) {
    throw new SealogError('ERR_UNKNOWN_SPACE', 'the space was removed by the operator of the relay')
  }
  const stored = await store.readSpace(space)
  const size = stored?.size ?? 0
  const { floor = 0, bytes = 0 } = stored ?? {}
  const { latest = 0 } = kept ?? {}
  const isBehind = Math.max(kept?.size ?? 0, floor) > size
  if (isBehind && context.acceptRollback) {
    context.log({ level: 'error', event: 'rollback-accepted', space, signed: kept?.size ?? floor, stored: size })
    await store.acceptRollback(space)
  }
  const view = stored === undefined ? emptyView(space) : await readView(context, space, stored)
  const isGivenUp = isBehind && context.acceptRollback
  const abandoned = isGivenUp ? latest : (kept?.abandoned ?? 0)
  const head = kept === undefined || kept.size === 0 || isGivenUp ? undefined : await readHead(context, space, kept)
  if (isBehind && !isGivenUp)
    return { view, head: undefined, behind: await behindOf(context, space, size, head), latest, abandoned, bytes }
  await checkHead(context, view, head)
  return { view, head, behind: undefined, latest, abandoned, bytes }
}

function emptyView(space: SpaceId): SpaceView {
  return { space, range: { size: 0, hashes: [] }, state: undefined }
}

/** Nobody may append to it any more, in whatever process. */
async function behindOf(
  context: RelayContext,
  space: SpaceId,
  size: number,
  head: SignedHead | undefined,
): Promise<Checkpoint> {
  refuseIf(head === undefined || head.checkpoint.size <= size, 'of the entries that were signed nothing is known')
  const { checkpoint } = head as SignedHead
  await context.store.putFloor(space, checkpoint.size)
  context.log({ level: 'error', event: 'relay-behind', space, signed: checkpoint.size, stored: size })
  return checkpoint
}

async function readView(context: RelayContext, space: SpaceId, stored: StoredSpace): Promise<SpaceView> {
  const range = decodeRange(stored.frontier)
  refuseIf(range.size !== stored.size, 'the frontier is of another size')
  const root = await withNodes(context.store, space, nodeAt => rootAt(range.size, nodeAt))
  refuseIf(!equalBytes(root, rootOf(range)), 'the stored tree does not lead to the frontier')
  await checkLastEntries(context, space, range.size)
  const state = readState(stored.state)
  refuseIf(!equalBytes(state.control.space, idBytes(space)), 'the state is of another space')
  return { space, range, state }
}

async function checkLastEntries(context: RelayContext, space: SpaceId, size: number): Promise<void> {
  const { store } = context
  const from = Math.max(0, size - RECHECKED_ENTRIES)
  // Other processes may have appended more since.
  const to = store.isShared ? size : size + 1
  const entries = await store.readEntries(space, { from, to, inlineLength: -1, maxBytes: Infinity })
  refuseIf(entries.length !== size - from, 'the number of entries is another')
  for (const entry of entries) refuseIf(!equalBytes(entryHash(entry.header), entry.hash), 'an entry has another hash')
}

function readState(rows: StateRows): SpaceState {
  const actors = new Map<DocumentId, ActorRecord[]>()
  for (const { document, actor, value } of rows.actors) {
    const record = decodeActorRecord(value)
    refuseIf(record.actor !== actor, 'an actor stands in the place of another')
    const list = actors.get(document)
    if (list === undefined) actors.set(document, [record])
    else list.push(record)
  }
  const initial = initialState(readControlRows(rows.control))
  let documents = initial.documents
  for (const { document, value } of rows.documents) {
    const record = decodeDocumentRecord(value)
    refuseIf(record.document !== document, 'a document stands in the place of another')
    const whole = (actors.get(document) ?? []).reduce(withActor, record)
    documents = setAt(documents, stateKey(document), whole)
  }
  return { control: initial.control, documents }
}

async function checkHead(context: RelayContext, view: SpaceView, head: SignedHead | undefined): Promise<void> {
  if (head === undefined) return
  const { size, root, stateRoot: signedState } = head.checkpoint
  const actual = await withNodes(context.store, view.space, nodeAt => rootAt(size, nodeAt))
  refuseIf(!equalBytes(actual, root), 'the entries lead to another root than the signed one')
  if (size < view.range.size || view.state === undefined) return
  refuseIf(!equalBytes(stateRoot(view.state), signedState), 'the state is another than the signed one')
}

function refuseIf(refused: boolean, message: string): void {
  if (refused) throw corrupt(message)
}

function corrupt(message: string): SealogError {
  return new SealogError('ERR_STORE_CORRUPT', message)
}
