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
import { readHead, type SignedHead, signHead } from './signed-head.ts'
import { withNodes } from './tree-reader.ts'

/** How many of the last entries are hashed again when a space is opened. */
const RECHECKED_ENTRIES = 64

export interface RecoveredSpace {
  readonly view: SpaceView
  /** Undefined where the space has no entry. */
  readonly head: SignedHead | undefined
  /** What this relay has signed beyond what is stored: it has lost the end of the log, and must not sign before it has it back. */
  readonly behind: Checkpoint | undefined
}

/**
 * Brings a space back from the store, and signs what was durable but not signed when the relay stopped. What was signed
 * is the measure: a store that leads to another root is not served from, and one that is behind it only takes back what
 * it lost.
 * @throws SealogError ERR_RELAY_STORAGE where the store contradicts itself or the signed head
 */
export async function recoverSpace(context: RelayContext, space: SpaceId): Promise<RecoveredSpace> {
  try {
    const stored = await context.store.readSpace(space)
    if (stored === undefined) {
      return { view: { space, range: { size: 0, hashes: [] }, state: undefined }, head: undefined, behind: undefined }
    }
    const view = await readView(context, space, stored)
    const head = stored.head && (await readHead(context, space, stored.head))
    if (head !== undefined && head.checkpoint.size > view.range.size) {
      const { size } = head.checkpoint
      context.log({ level: 'error', event: 'relay-behind', space, signed: size, stored: view.range.size })
      return { view, head: undefined, behind: head.checkpoint }
    }
    await checkHead(context, view, head)
    if (head !== undefined && head.checkpoint.size === view.range.size) return { view, head, behind: undefined }
    context.log({ level: 'warn', event: 'signing-after-crash', space, size: view.range.size })
    return { view, head: await signHead(context, view, head), behind: undefined }
  } catch (cause) {
    throw new SealogError('ERR_RELAY_STORAGE', `the space cannot be served: ${reason(cause)}`, { cause })
  }
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
  const from = Math.max(0, size - RECHECKED_ENTRIES)
  const entries = await context.store.readEntries(space, { from, to: size + 1, inlineLength: -1, maxBytes: Infinity })
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

function reason(cause: unknown): string {
  return cause instanceof Error ? cause.message : 'unknown'
}
