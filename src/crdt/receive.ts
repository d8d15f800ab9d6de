import * as Automerge from '@automerge/automerge/slim'
import { concat, equalBytes } from '../bytes.ts'
import { changeTag, openBody } from '../crypto/keyring.ts'
import { hasCode, SealogError } from '../errors.ts'
import type { DocumentId } from '../ids.ts'
import { headerContext } from '../verify/entry.ts'
import type { VerifiedEntry } from '../verify/log.ts'
import { knownDocument, type SpaceState } from '../verify/state.ts'
import type { Stopped } from './document-meta.ts'
import type { SpaceKeys } from './epoch-secrets.ts'
import type { FileRow } from './file-row.ts'
import { verifyImport } from './import-payload.ts'
import type { LocalChange } from './local-row.ts'
import { placeOf } from './parked-rows.ts'
import { decodeChangesPayload } from './payload.ts'

/** Content and tag key of the document, for entries of this epoch. @throws SealogError ERR_KEY */
export type KeysOf = (document: DocumentId, epoch: number) => { content: Uint8Array; tag: Uint8Array }

/** The keys of each document go by the epoch in which it was born. */
export function keysIn(keys: SpaceKeys, state: SpaceState | undefined): KeysOf {
  return (document, epoch) => {
    const record = knownDocument(state, document)
    return keys.forDocument(document, record?.birthEpoch ?? epoch, epoch)
  }
}

/** What a replica knows of the entry's author and document when the entry arrives. */
export interface ReceiveContext {
  readonly keysOf: KeysOf
  readonly stopped: Stopped | undefined
  /** Does the document begin with an import that is parked, of somebody else? */
  readonly awaitsImport: boolean
  /** What the tag of an own import on its way commits to, 32 bytes. */
  readonly importing: Uint8Array | undefined
  /** Own changes on their way, where the actor is this replica's own; undefined for everybody else. */
  readonly locals: readonly LocalChange[] | undefined
}

/** An entry as far as it takes to open its content. */
export type ReceivedEntry = Pick<VerifiedEntry, 'index' | 'header' | 'actor' | 'body'>

export type Opened =
  /** What the tag commits to, not judged by the guard yet. */
  | { readonly row: FileRow }
  /** Not there, or not what the author committed to, which may still turn up. */
  | { readonly code: string }

export type Received =
  /** Changes to judge and to apply. */
  | { readonly outcome: 'content'; readonly row: FileRow }
  /** Own changes, all known here: an acknowledgement, however late. */
  | { readonly outcome: 'own'; readonly row: FileRow }
  /** Changes under the own actor that this replica did not make. */
  | { readonly outcome: 'cloned'; readonly row: FileRow }
  /** The own import, which is here already. */
  | { readonly outcome: 'imported' }
  /** The actor is parked here. */
  | { readonly outcome: 'stopped'; readonly code: string }
  /** To be kept with the entry at which the actor is parked. */
  | { readonly outcome: 'behind' }
  /** Nothing to apply. */
  | { readonly outcome: 'none' }

/**
 * Opens a verified entry of a document (DESIGN §6): body, key, tag, in this order; the guard judges what comes out, see
 * guarded-content.ts. Depends on nothing but the log and the keys, so all replicas judge alike.
 *
 * Nothing that is wrong with one entry ever stops a batch: a body that the relay withholds parks its author.
 */
export function receiveEntry(entry: VerifiedEntry, context: ReceiveContext): Received {
  const { kind } = entry.header
  // A snapshot repeats what others said; it takes its place in the chain, and so does the end of one.
  if ((kind !== 'changes' && kind !== 'import') || context.stopped?.reason === 'refused') return { outcome: 'none' }
  if (context.stopped !== undefined) return { outcome: 'behind' }
  if (context.awaitsImport) return { outcome: 'stopped', code: 'ERR_DEPENDENCY' }
  const { locals, keysOf } = context
  // Nothing can be said of it yet, not even whether it is an own one.
  if (!hasKeys(entry, keysOf)) return { outcome: 'stopped', code: 'ERR_KEY' }
  if (locals !== undefined && isOwnImport(entry, context)) return { outcome: 'imported' }
  const opened = openEntry(entry, keysOf)
  if (locals !== undefined) {
    const own = 'row' in opened ? knownRow(opened.row, locals) : acknowledged(entry, locals, keysOf)
    if (own !== undefined) return { outcome: 'own', row: own }
  }
  if (!('row' in opened)) return { outcome: 'stopped', ...opened }
  return { outcome: locals === undefined ? 'content' : 'cloned', row: opened.row }
}

function hasKeys({ header }: VerifiedEntry, keysOf: KeysOf): boolean {
  try {
    keysOf(header.document, header.epoch)
    return true
  } catch (error) {
    if (hasCode(error, 'ERR_KEY')) return false
    throw error
  }
}

function isOwnImport({ header }: VerifiedEntry, { importing, keysOf }: ReceiveContext): boolean {
  if (header.kind !== 'import' || importing === undefined) return false
  return equalBytes(changeTag(keysOf(header.document, header.epoch).tag, importing), header.tag)
}

/** The row of an own entry where this replica holds the latest change in it. */
export function knownRow(row: FileRow, locals: readonly LocalChange[]): FileRow | undefined {
  const { tip } = row
  if (tip === undefined) return undefined
  return locals.some(change => change.seq === tip.seq && equalBytes(change.hash, tip.hash)) ? row : undefined
}

/** What the entry's tag commits to: its changes, or why there are none. */
export function openEntry(entry: ReceivedEntry, keysOf: KeysOf): Opened {
  // The relay has it, or had it when it accepted the entry: asked again, it may serve it.
  if (entry.body === undefined) return { code: 'ERR_BODY' }
  try {
    const { document, epoch } = entry.header
    const keys = keysOf(document, epoch)
    const payload = openBody({ key: keys.content, body: entry.body, aad: headerContext(entry.header) })
    return {
      row: entry.header.kind === 'import' ? openImport(entry, payload, keys) : openChanges(entry, payload, keys),
    }
  } catch (error) {
    if (!(error instanceof SealogError)) throw error
    // An import that the guard refuses, too: its tag commits to heads, and whether they are those of these bytes only
    // Automerge could tell.
    return { code: error.code }
  }
}

function openChanges(entry: ReceivedEntry, bytes: Uint8Array, keys: { tag: Uint8Array }): FileRow {
  const { index, header, actor } = entry
  const payload = decodeChangesPayload(bytes)
  if (!equalBytes(changeTag(keys.tag, payload.latestHash), header.tag)) {
    throw new SealogError('ERR_TAG', `entry ${index} names a change that its header does not commit to`)
  }
  return {
    kind: payload.encoding,
    count: payload.count,
    index,
    actor,
    chain: placeOf(header),
    tip: { seq: payload.latestSeq, hash: payload.latestHash },
    bytes: payload.chunks,
  }
}

/** An import is judged at once: nothing comes before it in its document. */
function openImport(entry: ReceivedEntry, payload: Uint8Array, keys: { tag: Uint8Array }): FileRow {
  const { index, header, actor } = entry
  const tagOf = (commitment: Uint8Array): Uint8Array => changeTag(keys.tag, commitment)
  const { doc, saved, summary } = verifyImport({ payload, tag: header.tag, tagOf })
  Automerge.free(doc)
  const chain = placeOf(header)
  return { kind: 'import', count: summary.count, index, actor, chain, tip: undefined, bytes: saved }
}

/**
 * Own changes up to the one that the entry's tag commits to: no relay can make a replica doubt its own entry by
 * withholding the body.
 */
export function acknowledged(
  entry: ReceivedEntry,
  locals: readonly LocalChange[],
  keysOf: KeysOf,
): FileRow | undefined {
  const { index, header, actor, body } = entry
  if (body !== undefined || header.kind !== 'changes') return undefined
  const { tag } = keysOf(header.document, header.epoch)
  const at = locals.findIndex(({ hash }) => equalBytes(changeTag(tag, hash), header.tag))
  const latest = locals[at]
  if (latest === undefined) return undefined
  return {
    kind: 'raw',
    count: at + 1,
    index,
    actor,
    chain: placeOf(header),
    tip: { seq: latest.seq, hash: latest.hash },
    bytes: concat(...locals.slice(0, at + 1).map(change => change.bytes)),
  }
}
