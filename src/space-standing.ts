import type { DocumentSet } from './crdt/document-set.ts'
import { canRotate } from './crdt/rotation.ts'
import type { SpaceSecrets } from './crdt/secrets.ts'
import type { SpaceSync } from './crdt/space-sync.ts'
import { SealogError } from './errors.ts'
import { DIRECTORY_DOCUMENT } from './ids.ts'
import type { ConnectionState } from './relay/client.ts'
import type { SpaceStatus, Trust } from './space-status.ts'
import { type Role, roleNumber } from './verify/control.ts'
import { currentMember } from './verify/control-state.ts'

/** What a status is told from. */
export interface Standing {
  readonly sync: SpaceSync
  readonly documents: DocumentSet
  readonly connection: ConnectionState
  readonly storage: SpaceStatus['storage']
  /** Unix time in milliseconds. */
  readonly now: number
  /** In milliseconds. */
  readonly staleAfter: number
}

export function statusOf({ sync, documents, connection, storage, now, staleAfter }: Standing): SpaceStatus {
  let unsaved = 0
  let pending = 0
  for (const core of documents.cores()) {
    unsaved += core.unsaved().length
    pending += core.pending().length
  }
  const at = sync.view.head?.time
  return {
    connection: sync.isPaused ? 'paused' : connection,
    membership: membershipOf(sync),
    waitingFor: awaited(sync),
    local: { unsaved, pending, sequenced: sync.inFlight },
    confirmed: {
      size: sync.view.range.size,
      at,
      stale: at === undefined || now - at > staleAfter,
      byOther: sync.freshness.latest,
    },
    trust: trustIn(sync),
    frozen: sync.evidence !== undefined,
    storage,
    halted: sync.halted,
  }
}

function membershipOf(sync: SpaceSync): SpaceStatus['membership'] {
  if (sync.removed !== undefined) return 'removed'
  if (isAdmitted(sync.secrets)) return 'member'
  return sync.isPending ? 'pending' : 'joining'
}

/** What other members have yet to do before this device can go on, as far as the log shows it. */
function awaited(sync: SpaceSync): SpaceStatus['waitingFor'] {
  if (sync.removed !== undefined) return undefined
  if (sync.isPending) return 'approval'
  const { admission } = sync.secrets
  const { control } = sync.view.state ?? {}
  // Who asks to be let in needs no key for that.
  const isAsking = admission?.type === 'join' && admission.nameKey !== undefined
  if (isAsking || control === undefined || !sync.isCurrent) return undefined
  const isLacking = control.rotation === 'tainted' || !sync.holdsKey || sync.isLocked(DIRECTORY_DOCUMENT)
  // Who can start the next epoch does so by itself, and needs nobody for it.
  if (sync.device !== undefined && canRotate(control, sync.device, sync.keys, sync.view.range.size)) return undefined
  return isLacking ? 'keys' : undefined
}

function trustIn({ vouched, unchecked, view }: SpaceSync): Trust {
  const documents = [...unchecked.keys()]
  if (vouched !== undefined) {
    const { target, by, audited } = vouched
    return { level: 'vouched', size: target.size, by, audited: audited.range.size, documents }
  }
  if (documents.length === 0) return { level: 'verified' }
  const by = [...new Set([...unchecked.values()].map(({ snapshot }) => snapshot.member))]
  const { size } = view.range
  return { level: 'vouched', size, by, audited: size, documents }
}

/** The log proves that this device is a member, or it is the one that founded the space. */
export function isAdmitted({ admission }: SpaceSecrets): boolean {
  return admission === undefined || admission.type === 'genesis'
}

/** The role of the own member, also while the log does not have it yet. */
export function roleIn(sync: SpaceSync): Role {
  const { control } = sync.view.state ?? {}
  const role = control && currentMember(control, sync.member)?.role
  return role ?? (sync.secrets.admission?.type === 'genesis' ? 'owner' : 'reader')
}

/** @throws SealogError ERR_REMOVED, ERR_READ_ONLY */
export function assertWriter(sync: SpaceSync): void {
  if (sync.removed !== undefined) throw new SealogError('ERR_REMOVED', 'this device was removed from the space')
  const role = roleIn(sync)
  if (roleNumber(role) < roleNumber('writer')) {
    throw new SealogError('ERR_READ_ONLY', `a member of role ${role} cannot write`)
  }
}
