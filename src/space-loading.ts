import { type DueAudit, loadAudits } from './crdt/delivery-audits.ts'
import { Freshness } from './crdt/freshness.ts'
import { type LockedDocuments, loadLocked } from './crdt/locked-row.ts'
import { spaceKey } from './crdt/rows.ts'
import { decodeSecrets, type SpaceSecrets } from './crdt/secrets.ts'
import type { ReplicaStore } from './crdt/store.ts'
import { decodeTrustRow, type Vouched } from './crdt/trust.ts'
import { loadUnchecked, type UncheckedDocument } from './crdt/unchecked.ts'
import { loadView, type StoredView } from './crdt/view-rows.ts'
import { SealogError } from './errors.ts'
import type { SpaceId } from './ids.ts'

/** A space as it stands in the local store, but for its documents. */
export interface LoadedSpace extends StoredView {
  readonly secrets: SpaceSecrets
  readonly vouched: Vouched | undefined
  readonly freshness: Freshness
  readonly evidence: Uint8Array | undefined
  readonly audits: readonly DueAudit[]
  readonly locked: LockedDocuments
  readonly unchecked: readonly UncheckedDocument[]
}

/** @throws SealogError ERR_UNKNOWN_SPACE, ERR_STORE… */
export async function loadSpace(store: ReplicaStore, id: SpaceId): Promise<LoadedSpace> {
  const trust = await store.get(spaceKey(id, 'trust'))
  return {
    ...(await loadIdentity(store, id)),
    vouched: trust === undefined ? undefined : decodeTrustRow(trust),
    locked: await loadLocked(store, id),
    unchecked: await loadUnchecked(store, id),
    freshness: new Freshness(await store.get(spaceKey(id, 'confirmed'))),
    evidence: await store.get(spaceKey(id, 'evidence')),
    audits: await loadAudits(store, id),
  }
}

/** Who this device is in the space, and what it has verified. @throws SealogError ERR_UNKNOWN_SPACE, ERR_STORE… */
export async function loadIdentity(
  store: ReplicaStore,
  id: SpaceId,
): Promise<StoredView & { readonly secrets: SpaceSecrets }> {
  const secrets = await store.get(spaceKey(id, 'secrets'))
  const stored = await loadView(store, id)
  if (secrets === undefined || stored === undefined) {
    throw new SealogError('ERR_UNKNOWN_SPACE', 'no space of this id is in the local store')
  }
  return { ...stored, secrets: decodeSecrets(secrets) }
}
