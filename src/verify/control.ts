import { concat, toUtf8 } from '../bytes.ts'
import { asBytes, asBytesUpTo, asText, asTuple, asUint, type Cbor, decodeCbor, encodeCbor } from '../codec.ts'
import { SealogError } from '../errors.ts'
import { idBytes, type MemberId, memberIdOf } from '../ids.ts'

/** Ascending power; a member may act on roles below its own (DESIGN §4). */
export const ROLES = ['reader', 'writer', 'admin', 'owner'] as const
export type Role = (typeof ROLES)[number]

const HISTORIES = ['all', 'from-join'] as const
/** What a new member may read: everything, or what is written in epochs granted to it (DESIGN §7). */
export type History = (typeof HISTORIES)[number]

/** The public keys of one device, with the proof that their holder has the signing key. */
export interface DeviceKeys {
  /** Ed25519, 32 bytes. */
  readonly signing: Uint8Array
  /** X-Wing, 1,216 bytes. */
  readonly kem: Uint8Array
  /** Ed25519 over `possessionInput`, 64 bytes. */
  readonly possession: Uint8Array
}

export interface RelayIdentity {
  /** DNS-like name that stands in every checkpoint. */
  readonly name: string
  /** Ed25519, 32 bytes: signs the checkpoints. */
  readonly key: Uint8Array
  /** WebSocket address where the relay was first met. */
  readonly url: string
}

/** What an entry that starts an epoch commits to. Hashes have 32 bytes. */
export interface EpochStart {
  readonly commit: Uint8Array
  readonly readCommit: Uint8Array
}

export interface Policy {
  /** Which rules the guard applies to content; 1 is the only one so far. */
  readonly contentRules: number
  /** Largest body of an entry in this space, in bytes. */
  readonly maxBodyLength: number
  /** Distinct other members that must have cosigned a checkpoint before it may be skipped to (DESIGN §5.4). */
  readonly attestations: number
}

export interface GenesisBody {
  readonly type: 'genesis'
  readonly relay: RelayIdentity
  readonly device: DeviceKeys
  readonly member: MemberId
  readonly epoch: EpochStart
  /** The epoch secret for the first device, so that its key alone restores it; see crypto/wrap. */
  readonly wrap: Uint8Array
  readonly policy: Policy
  /** Sealed under the epoch's read secret, like all names here. */
  readonly spaceName: Uint8Array
  readonly memberName: Uint8Array
  readonly deviceName: Uint8Array
}

/** An instant invite: admits a provisional device, whose only permitted act is one `join`. */
export interface InviteBody {
  readonly type: 'invite'
  readonly device: DeviceKeys
  readonly member: MemberId
  readonly role: Role
  readonly history: History
  /** Unix time in milliseconds. */
  readonly expires: number
  readonly wrap: Uint8Array
}

/** Written by the provisional device of an invite: replaces it by the joiner's own. */
export interface JoinBody {
  readonly type: 'join'
  readonly device: DeviceKeys
  readonly wrap: Uint8Array
  readonly memberName: Uint8Array
  readonly deviceName: Uint8Array
}

export type ControlBody = GenesisBody | InviteBody | JoinBody

export const MAX_CONTROL_BODY_LENGTH: number = 64 * 1024
export const MAX_SEALED_NAME_LENGTH = 512
export const WRAP_LENGTH: number = 1120 + 32 + 16

const TYPES = [
  'genesis',
  'invite',
  'revoke',
  'join',
  'add-device',
  'remove-device',
  'remove-member',
  'leave',
  'set-role',
  'rotate',
  'repair',
  'policy',
] as const

/** As many as fit into one note beside the relay's own signature. */
const MAX_ATTESTATIONS = 15

const POSSESSION_LABEL = toUtf8('sealog/v1/possession\0')

/**
 * What a new device signs to show that it holds its signing key, and that it chose this KEM key for this space.
 * @param space 32 bytes; zero bytes in a genesis, whose own header signature binds it
 */
export function possessionInput(space: Uint8Array, signing: Uint8Array, kem: Uint8Array): Uint8Array {
  return concat(POSSESSION_LABEL, space, signing, kem)
}

export function encodeControlBody(body: ControlBody): Uint8Array {
  return encodeCbor([TYPES.indexOf(body.type), ...fieldsOf(body)])
}

/** @throws SealogError ERR_MALFORMED, ERR_LIMIT; ERR_UPGRADE for a type of a later build */
export function decodeControlBody(bytes: Uint8Array): ControlBody {
  const item = decodeCbor(bytes, MAX_CONTROL_BODY_LENGTH)
  const typeNumber = asUint(Array.isArray(item) ? item[0] : undefined, 'control type')
  switch (TYPES[typeNumber]) {
    case 'genesis': {
      const fields = asTuple(item, 10, 'genesis')
      return {
        type: 'genesis',
        relay: asRelayIdentity(fields[1]),
        device: asDeviceKeys(fields[2]),
        member: memberIdOf(asBytes(fields[3], 16, 'member')),
        epoch: asEpochStart(fields[4]),
        wrap: asBytes(fields[5], WRAP_LENGTH, 'wrap'),
        policy: asPolicy(fields[6]),
        spaceName: asName(fields[7], 'space name'),
        memberName: asName(fields[8], 'member name'),
        deviceName: asName(fields[9], 'device name'),
      }
    }
    case 'invite': {
      const fields = asTuple(item, 7, 'invite')
      return {
        type: 'invite',
        device: asDeviceKeys(fields[1]),
        member: memberIdOf(asBytes(fields[2], 16, 'member')),
        role: asRole(fields[3]),
        history: asHistory(fields[4]),
        expires: asUint(fields[5], 'expires'),
        wrap: asBytes(fields[6], WRAP_LENGTH, 'wrap'),
      }
    }
    case 'join': {
      const fields = asTuple(item, 5, 'join')
      return {
        type: 'join',
        device: asDeviceKeys(fields[1]),
        wrap: asBytes(fields[2], WRAP_LENGTH, 'wrap'),
        memberName: asName(fields[3], 'member name'),
        deviceName: asName(fields[4], 'device name'),
      }
    }
    default:
      throw new SealogError('ERR_UPGRADE', `control entry of type ${typeNumber}`)
  }
}

export function asRole(item: Cbor | undefined): Role {
  return ROLES[asUint(item, 'role', ROLES.length - 1)] as Role
}

export function roleNumber(role: Role): number {
  return ROLES.indexOf(role)
}

export function asHistory(item: Cbor | undefined): History {
  return HISTORIES[asUint(item, 'history', HISTORIES.length - 1)] as History
}

export function historyNumber(history: History): number {
  return HISTORIES.indexOf(history)
}

export function asRelayIdentity(item: Cbor | undefined): RelayIdentity {
  const fields = asTuple(item, 3, 'relay')
  return {
    name: asText(fields[0], 255, 'relay name'),
    key: asBytes(fields[1], 32, 'relay key'),
    url: asText(fields[2], 2048, 'relay address'),
  }
}

export function relayIdentityFields(relay: RelayIdentity): Cbor {
  return [relay.name, relay.key, relay.url]
}

export function epochStartFields(epoch: EpochStart): Cbor {
  return [epoch.commit, epoch.readCommit]
}

export function asEpochStart(item: Cbor | undefined): EpochStart {
  const fields = asTuple(item, 2, 'epoch')
  return { commit: asBytes(fields[0], 32, 'commit'), readCommit: asBytes(fields[1], 32, 'read commitment') }
}

export function policyFields(policy: Policy): Cbor {
  return [policy.contentRules, policy.maxBodyLength, policy.attestations]
}

export function asPolicy(item: Cbor | undefined): Policy {
  const fields = asTuple(item, 3, 'policy')
  const contentRules = asUint(fields[0], 'content rules')
  if (contentRules !== 1) throw new SealogError('ERR_UPGRADE', `content rules ${contentRules}`)
  return {
    contentRules,
    maxBodyLength: asUint(fields[1], 'largest body', 64 * 1024 * 1024),
    attestations: asUint(fields[2], 'attestations', MAX_ATTESTATIONS),
  }
}

function fieldsOf(body: ControlBody): Cbor[] {
  switch (body.type) {
    case 'genesis':
      return [
        relayIdentityFields(body.relay),
        deviceKeysFields(body.device),
        idBytes(body.member),
        epochStartFields(body.epoch),
        body.wrap,
        policyFields(body.policy),
        body.spaceName,
        body.memberName,
        body.deviceName,
      ]
    case 'invite':
      return [
        deviceKeysFields(body.device),
        idBytes(body.member),
        roleNumber(body.role),
        historyNumber(body.history),
        body.expires,
        body.wrap,
      ]
    case 'join':
      return [deviceKeysFields(body.device), body.wrap, body.memberName, body.deviceName]
  }
}

function deviceKeysFields(keys: DeviceKeys): Cbor {
  return [keys.signing, keys.kem, keys.possession]
}

function asDeviceKeys(item: Cbor | undefined): DeviceKeys {
  const fields = asTuple(item, 3, 'device keys')
  return {
    signing: asBytes(fields[0], 32, 'signing key'),
    kem: asBytes(fields[1], 1216, 'KEM key'),
    possession: asBytes(fields[2], 64, 'proof of possession'),
  }
}

function asName(item: Cbor | undefined, what: string): Uint8Array {
  return asBytesUpTo(item, MAX_SEALED_NAME_LENGTH, what)
}
