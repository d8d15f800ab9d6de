import * as Automerge from '@automerge/automerge/slim'
import { toHex } from '../bytes.ts'
import { publicKeyOf } from '../crypto/sign.ts'
import type { Random } from '../environment.ts'
import { SealogError } from '../errors.ts'
import type { ActorId, DocumentId, SpaceId } from '../ids.ts'
import { carryOver } from './carry-over.ts'
import { hasChange, localRow } from './content.ts'
import type { RowChanges } from './document-ledger.ts'
import type { DocumentMeta } from './document-meta.ts'
import { DocumentRows } from './document-rows.ts'
import type { LocalChange } from './local-row.ts'
import { openContent } from './open-content.ts'
import { ownActor } from './seal.ts'
import type { DeviceSecrets } from './secrets.ts'
import type { ReplicaStore, StoreRow } from './store.ts'

export interface DeviceChange {
  readonly space: SpaceId
  readonly store: ReplicaStore
  readonly random: Random
  /** By the verified log, it can write nothing in the space any more; or it never could. */
  readonly from: DeviceSecrets
  /** Was it ever admitted, so that the log may have entries of it? */
  readonly hasWritten: boolean
  readonly to: DeviceSecrets
  /** Documents that are here as far as the log was verified; undefined: all. */
  readonly held: ReadonlySet<DocumentId> | undefined
}

/**
 * The rows by which one device goes on with the documents of another, in the same store: what is proven stays, and own
 * changes that were not sent move to actors of the new device (DESIGN §3). The log up to where
 * the old device ended is here, and holds all that it will ever have of that device: so what it has is not sent again.
 * What a copy of the old device wrote (R-CLONE-1) is held back until that device retires its actor, which it cannot any
 * more; and what waits behind an import is not looked at yet, and may hold what is unsent here. Two copies of a store
 * with the same unsent changes that both come back are two devices, and both send them.
 * @throws SealogError ERR_CONTENT where that is not so, something is held back so, or changes do not fit on what is here;
 * ERR_STORE…
 */
export async function changeDevice(change: DeviceChange): Promise<RowChanges> {
  const { space, store, random, held, hasWritten } = change
  const rows = new DocumentRows(space, store)
  const pending = await rows.pending()
  const puts: StoreRow[] = []
  const deletes: Uint8Array[] = []
  for (const before of await rows.metas()) {
    const { document, incarnation } = before
    if (incarnation === undefined) continue
    if (before.clonedAt !== undefined) {
      throw new SealogError('ERR_CONTENT', 'a copy of this device wrote as well, and what it wrote is held back')
    }
    // An import is sealed by whom the store names, also after a restart.
    if (!pending.has(document) && before.importing === undefined) {
      puts.push(rows.metaRow({ ...before, incarnation: undefined }))
      continue
    }
    if (hasWritten && (held?.has(document) === false || before.importer !== undefined)) {
      throw new SealogError('ERR_CONTENT', 'it is not known yet which own changes the log has of a document')
    }
    const meta = { ...before, incarnation: random(8) }
    const locals = await rows.locals(document)
    const moved = await move(rows, meta, locals, {
      from: actorOf(change, change.from, document, incarnation),
      to: actorOf(change, change.to, document, meta.incarnation),
    })
    const written = [rows.metaRow(meta), ...moved.map(local => rows.localRow(document, local))]
    const kept = new Set(written.map(([key]) => toHex(key)))
    puts.push(...written)
    deletes.push(...locals.map(({ seq }) => rows.localKey(document, seq)).filter(key => !kept.has(toHex(key))))
  }
  return { puts, deletes }
}

function actorOf(
  { space }: DeviceChange,
  device: DeviceSecrets,
  document: DocumentId,
  incarnation: Uint8Array,
): ActorId {
  return ownActor(space, document, publicKeyOf(device.signing), incarnation)
}

/** Own changes that the document does not hold, as changes of another actor; they were tried on it. */
async function move(
  rows: DocumentRows,
  meta: DocumentMeta,
  locals: readonly LocalChange[],
  { from, to }: { readonly from: ActorId; readonly to: ActorId },
): Promise<readonly LocalChange[]> {
  const { content } = openContent(to, { ...(await rows.files(meta)), locals: [], tips: meta.tips })
  try {
    const unsent = locals.filter(({ hash }) => !hasChange(content.doc, hash))
    const carried = carryOver({ changes: unsent.map(({ bytes }) => bytes), from, to })
    if (content.trust(carried.map(local => localRow(to, local))) === undefined) {
      throw new SealogError('ERR_CONTENT', 'own changes do not go on from what the log has')
    }
    return carried
  } finally {
    Automerge.free(content.doc)
  }
}
