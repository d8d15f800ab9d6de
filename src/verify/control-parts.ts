import { SealogError } from '../errors.ts'
import { bytesOf, bytesUpTo, type Format, oneOf, record, textUpTo, uint, uintUpTo } from '../format.ts'
import {
  type Delivery,
  type DeviceKeys,
  type EpochStart,
  HISTORIES,
  type History,
  INVITE_KINDS,
  type InviteKind,
  LINK_LENGTH,
  MAX_SEALED_NAME_LENGTH,
  type Policy,
  type RelayIdentity,
  ROLES,
  type Role,
} from './control.ts'

/* The nouns that control entries and the control state have in common (protocol.md §3). */

/** As many as fit into one note beside the relay's own signature. */
const MAX_ATTESTATIONS = 15
const MAX_ROTATE_DAYS = 36_525

export const role: Format<Role> = oneOf(ROLES)
export const history: Format<History> = oneOf(HISTORIES)
export const inviteKind: Format<InviteKind> = oneOf(INVITE_KINDS)
/** A name, sealed under the names secret of an epoch. */
export const sealed: Format<Uint8Array> = bytesUpTo(MAX_SEALED_NAME_LENGTH)

export const relayIdentity: Format<RelayIdentity> = record({
  name: textUpTo(255),
  key: bytesOf(32),
  url: textUpTo(2048),
})

export const deviceKeys: Format<DeviceKeys> = record({
  signing: bytesOf(32),
  kem: bytesOf(1216),
  possession: bytesOf(64),
})

export const epochStart: Format<EpochStart> = record({ readCommit: bytesOf(32) })

export const delivery: Format<Delivery> = record({
  wrapsRoot: bytesOf(32),
  wrapsCount: uint,
  target: uint,
  link: bytesOf(LINK_LENGTH),
  namesLink: bytesOf(LINK_LENGTH),
})

const contentRules: Format<number> = {
  write: uint.write,
  read: (item, what) => {
    const rules = uint.read(item, what)
    if (rules !== 1) throw new SealogError('ERR_UPGRADE', `content rules ${rules}`)
    return rules
  },
}

export const policy: Format<Policy> = record({
  contentRules,
  maxBodyLength: uintUpTo(64 * 1024 * 1024),
  attestations: uintUpTo(MAX_ATTESTATIONS),
  rotateEntries: uint,
  rotateDays: uintUpTo(MAX_ROTATE_DAYS),
})
