import { decodeCbor, encodeCbor } from '../codec.ts'
import { bytesOf, converted, type Format, listOf, maybe, memberId, oneOf, record, uint } from '../format.ts'
import { history, inviteKind, policy, relayIdentity, role, sealed } from './control-parts.ts'
import { type ControlState, type OpenInvite, ROTATIONS, type SealedName } from './control-state.ts'

/** A row of a state, and what a state has of one kind: only what this library wrote is read back, so these are wide. */
export const MAX_ROW_LENGTH: number = 256 * 1024 * 1024
export const MAX_ROWS = 10_000_000

/** What a control state has beside its devices, members and epochs, which grow with the space. */
export type ControlCore = Omit<ControlState, 'devices' | 'members' | 'epochs'>

export const sealedName: Format<SealedName> = record({ epoch: uint, sealed })

const openInvite: Format<OpenInvite> = record({
  number: uint,
  kind: inviteKind,
  member: memberId,
  role,
  history,
  expires: uint,
  inviter: memberId,
  device: uint,
  nameKey: maybe(sealedName),
  requested: maybe(record<NonNullable<OpenInvite['requested']>>({ memberName: sealed, deviceName: sealed })),
})

const core: Format<ControlCore> = record({
  space: bytesOf(32),
  relay: relayIdentity,
  policy,
  spaceName: sealedName,
  invites: converted(
    listOf(MAX_ROWS, openInvite),
    invites => [...invites.values()],
    invites => new Map(invites.map(invite => [invite.number, invite])),
  ),
  rotation: oneOf(ROTATIONS),
  count: uint,
  head: bytesOf(32),
})

export function encodeControlCore(control: ControlCore): Uint8Array {
  return encodeCbor(core.write(control))
}

/** @throws SealogError ERR_MALFORMED, ERR_LIMIT, ERR_UPGRADE */
export function decodeControlCore(bytes: Uint8Array): ControlCore {
  return core.read(decodeCbor(bytes, MAX_ROW_LENGTH), 'control state')
}
