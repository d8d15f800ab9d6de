import { fromUtf8, toUtf8 } from '../bytes.ts'
import { decodeCbor, encodeCbor } from '../codec.ts'
import { asSealogError, SealogError } from '../errors.ts'
import { bytesOf, type Format, record, textUpTo } from '../format.ts'
import type { DocumentId, SpaceId } from '../ids.ts'
import type { PinnedRelay } from '../verify/log.ts'
import type { ReplicaStore } from './store.ts'

/**
 * What stands where in a replica's store. Keys are UTF-8 text:
 *
 *     relay/<url>                        pinned identity of a relay
 *     spaces/<id>                        empty: this replica has the space
 *     space/<id>/view                    verified prefix of the log, see `encodeViewRow`
 *     space/<id>/control                 control state
 *     space/<id>/skeleton                of a sparse replica: which documents it has, and the hashes beside them
 *     space/<id>/trust                   what was skipped and has yet to be audited, see trust-row.ts
 *     space/<id>/confirmed               which other member has seen how much of the log
 *     space/<id>/evidence                by which the relay convicted itself
 *     space/<id>/history/<n>             every control entry, see history-rows.ts
 *     space/<id>/recent/<n>              the last entries, verbatim, for a relay that lost them
 *     space/<id>/control/<name>          the control state, see control-state.ts
 *     space/<id>/locked                  documents that this member may not read, see locked-row.ts
 *     space/<id>/audit/<n>               deliveries of keys to be audited, see delivery-audits.ts
 *     space/<id>/secrets                 keys, see secrets.ts
 *     space/<id>/outbox                  a control entry on its way, see secrets.ts
 *     space/<id>/state/<doc>             document record
 *     space/<id>/state/<doc>/<actor>     actor record
 *     space/<id>/meta/<doc>              content bookkeeping, see `DocumentMeta`
 *     space/<id>/file/<doc>/<n>          proven content, in order
 *     space/<id>/parked/<doc>/<index>    an entry of a parked actor, see parked-rows.ts
 *     space/<id>/body/<doc>/<index>      what is there of its content
 *     space/<id>/import/<doc>            an own import that is not proven yet
 *     space/<id>/local/<doc>/<seq>       own changes that are not proven yet
 *     space/<id>/unchecked/<doc>         what of a snapshot was not held against the tags yet, see unchecked.ts
 *     space/<id>/tags/<doc>/<actor>/<n>  tags that the audit came by, see kept-tags.ts
 *     space/<id>/replayed/<doc>          how far chains had been replayed before a skip, see unchecked.ts
 */

/** Longest row in bytes. */
export const MAX_ROW: number = 1024 * 1024 * 1024

export function relayKey(url: string): Uint8Array {
  return toUtf8(`relay/${url}`)
}

export function spacePrefix(space: SpaceId): Uint8Array {
  return toUtf8(`space/${space}/`)
}

export type SpaceRow =
  | 'view'
  | 'control'
  | 'skeleton'
  | 'trust'
  | 'confirmed'
  | 'evidence'
  | 'secrets'
  | 'outbox'
  | 'locked'

export function spaceKey(space: SpaceId, row: SpaceRow): Uint8Array {
  return toUtf8(`space/${space}/${row}`)
}

export type DocumentRow =
  | 'state'
  | 'meta'
  | 'file'
  | 'import'
  | 'parked'
  | 'body'
  | 'local'
  | 'unchecked'
  | 'tags'
  | 'replayed'

/** Without a document: the prefix of all rows of this kind. Without a part: the document's own row. */
export function documentKey(space: SpaceId, row: DocumentRow, document: DocumentId, part?: string): Uint8Array {
  return toUtf8(`space/${space}/${row}/${document}${part === undefined ? '' : `/${part}`}`)
}

export function rowPrefix(space: SpaceId, row: DocumentRow): Uint8Array {
  return toUtf8(`space/${space}/${row}/`)
}

/** One of the rows of the control state, by its name there; without one, the prefix of all. */
export function controlKey(space: SpaceId, name = ''): Uint8Array {
  return toUtf8(`space/${space}/control/${name}`)
}

/** A delivery that is to be audited, by the place of its entry; without one, the prefix of all. */
export function auditKey(space: SpaceId, index?: number): Uint8Array {
  return toUtf8(`space/${space}/audit/${index === undefined ? '' : ordinal(index)}`)
}

/** Fixed width, so that the order of keys is the order of numbers. */
export function ordinal(n: number): string {
  return n.toString(16).padStart(14, '0')
}

/** Stands for a space in the list of all, which is read without what is in them. */
export function listedKey(space: SpaceId): Uint8Array {
  return toUtf8(`spaces/${space}`)
}

/** The ids of all spaces in this store. */
export async function listSpaces(store: ReplicaStore): Promise<readonly SpaceId[]> {
  return (await store.scan(toUtf8('spaces/'))).map(([key]) => lastPart(key) as SpaceId)
}

/** The last part of a key's path. */
export function lastPart(key: Uint8Array): string {
  return fromUtf8(key).split('/').at(-1) ?? ''
}

const pinnedRelay: Format<PinnedRelay> = record({ name: textUpTo(255), key: bytesOf(32) })

export function encodePinnedRelay(relay: PinnedRelay): Uint8Array {
  return encodeCbor(pinnedRelay.write(relay))
}

export function decodePinnedRelay(bytes: Uint8Array): PinnedRelay {
  return readRow('pinned relay', () => pinnedRelay.read(decodeCbor(bytes, 4096), 'pinned relay'))
}

/** Runs a decoder over what this library wrote itself: anything amiss there is corruption. */
export function readRow<T>(what: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof SealogError && error.code === 'ERR_UPGRADE') throw error
    throw new SealogError('ERR_STORE_CORRUPT', `the stored ${what} is damaged`, {
      cause: asSealogError(error, 'ERR_STORE_CORRUPT', what),
    })
  }
}
