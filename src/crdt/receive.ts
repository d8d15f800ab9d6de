import { equalBytes } from '../bytes.ts'
import { changeTag, openBody } from '../crypto/keyring.ts'
import { SealogError } from '../errors.ts'
import { headerContext } from '../verify/entry.ts'
import type { VerifiedEntry } from '../verify/log.ts'
import { inspectChunks } from './guard.ts'
import { type ChangesPayload, decodeChangesPayload } from './payload.ts'
import type { ChangeTip, FileRow, LocalChange, Stopped } from './rows.ts'
import type { SpaceKeys } from './secrets.ts'

/** What a replica knows of the entry's author and document when the entry arrives. */
export interface ReceiveContext {
  readonly keys: SpaceKeys
  readonly birthEpoch: number
  /** The actor's latest change so far. */
  readonly tip: ChangeTip | undefined
  readonly stopped: Stopped | undefined
  /** Own changes on their way, where the actor is this replica's own; undefined for everybody else. */
  readonly locals: readonly LocalChange[] | undefined
}

export type Received =
  /** Changes to apply. */
  | { readonly outcome: 'content'; readonly row: FileRow; readonly tip: ChangeTip }
  /** Own changes, all known here: an acknowledgement, however late. */
  | { readonly outcome: 'own'; readonly row: FileRow; readonly tip: ChangeTip }
  /** Changes under the own actor that this replica did not make. */
  | { readonly outcome: 'cloned'; readonly row: FileRow; readonly tip: ChangeTip }
  /** Nothing more of this actor is applied. */
  | { readonly outcome: 'stopped'; readonly stopped: Stopped }
  /** Nothing to apply. */
  | { readonly outcome: 'none' }

/**
 * Opens a verified entry of a document and judges its content (DESIGN §6): key, tag, guard, in this order. Depends
 * on nothing but the log and the keys, so all replicas judge alike.
 * @throws SealogError ERR_BODY where the relay sent no body: the batch is refused, and asked for again
 */
export function receiveEntry(entry: VerifiedEntry, context: ReceiveContext): Received {
  const { body } = entry
  if (entry.header.kind !== 'changes' || context.stopped !== undefined) return { outcome: 'none' }
  // The relay has it, or had it when it accepted the entry: asked again, it may serve it.
  if (body === undefined) {
    throw new SealogError('ERR_BODY', `the relay withheld the body of entry ${entry.index}`, {
      details: { index: entry.index },
    })
  }
  let payload: ChangesPayload
  try {
    payload = openEntry(entry, body, context)
  } catch (error) {
    // The bytes are not what the author committed to: what the tag commits to may still turn up.
    return stop(entry, 'parked', error)
  }
  const tip: ChangeTip = { seq: payload.latestSeq, hash: payload.latestHash }
  const row = rowOf(entry, payload, tip)
  if (context.locals !== undefined) {
    const known = context.locals.some(change => change.seq === tip.seq && equalBytes(change.hash, tip.hash))
    if (known) return { outcome: 'own', row, tip }
  }
  try {
    inspect(entry, payload, context.tip)
  } catch (error) {
    // The author signed content that no replica may take: the chain ends here, for everybody.
    return stop(entry, 'refused', error)
  }
  return { outcome: context.locals === undefined ? 'content' : 'cloned', row, tip }
}

function openEntry(entry: VerifiedEntry, body: Uint8Array, context: ReceiveContext): ChangesPayload {
  const { header } = entry
  const keys = context.keys.forDocument(header.document, context.birthEpoch, header.epoch)
  const payload = decodeChangesPayload(openBody({ key: keys.content, body, aad: headerContext(header) }))
  if (!equalBytes(changeTag(keys.tag, payload.latestHash), header.tag)) {
    throw new SealogError('ERR_TAG', `entry ${entry.index} names a change that its header does not commit to`)
  }
  return payload
}

function inspect(entry: VerifiedEntry, payload: ChangesPayload, tip: ChangeTip | undefined): void {
  const nextSeq = (tip?.seq ?? 0) + 1
  const { changes } = inspectChunks(payload.chunks, {
    actor: entry.actor,
    nextSeq,
    previousHash: tip?.hash,
    encoding: payload.encoding,
  })
  const last = changes.at(-1)
  const announced = changes.length === payload.count && last?.seq === payload.latestSeq
  if (!announced) throw new SealogError('ERR_CONTENT', `entry ${entry.index} does not hold the changes it announces`)
}

function stop(entry: VerifiedEntry, reason: Stopped['reason'], error: unknown): Received {
  if (!(error instanceof SealogError)) throw error
  return { outcome: 'stopped', stopped: { reason, index: entry.index, code: error.code } }
}

function rowOf(entry: VerifiedEntry, payload: ChangesPayload, tip: ChangeTip): FileRow {
  return {
    kind: 'entry',
    count: payload.count,
    index: entry.index,
    actor: entry.actor,
    tip,
    bytes: payload.chunks,
  }
}
