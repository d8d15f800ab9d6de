import { asBytes, asBytesUpTo, asText, asTuple, asUint, type Cbor, decodeCbor, encodeCbor } from '../codec.ts'
import { SealogError } from '../errors.ts'
import { idBytes, type MemberId, memberIdOf } from '../ids.ts'
import {
  type ControlBody,
  type ControlType,
  type Delivery,
  type DeviceKeys,
  type EpochStart,
  HISTORIES,
  type History,
  historyNumber,
  INVITE_KINDS,
  type InviteKind,
  LINK_LENGTH,
  MAX_CONTROL_BODY_LENGTH,
  MAX_SEALED_NAME_LENGTH,
  type Policy,
  RENAMED,
  type RelayIdentity,
  ROLES,
  type Role,
  roleNumber,
  WRAP_LENGTH,
} from './control.ts'

const TYPES: readonly ControlType[] = [
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
  'approve',
  'grant',
  'rename',
]

/** As many as fit into one note beside the relay's own signature. */
const MAX_ATTESTATIONS = 15
const MAX_ROTATE_DAYS = 36_525

export function encodeControlBody(body: ControlBody): Uint8Array {
  return encodeCbor([TYPES.indexOf(body.type), body.time, ...fieldsOf(body)])
}

/** @throws SealogError ERR_MALFORMED, ERR_LIMIT; ERR_UPGRADE for a type of a later build */
export function decodeControlBody(bytes: Uint8Array): ControlBody {
  const item = decodeCbor(bytes, MAX_CONTROL_BODY_LENGTH)
  const number = asUint(Array.isArray(item) ? item[0] : undefined, 'control type')
  const type = TYPES[number]
  if (type === undefined) throw new SealogError('ERR_UPGRADE', `control entry of type ${number}`)
  return DECODERS[type](fields => asTuple(item, fields + 2, type))
}

type Fields = (count: number) => readonly Cbor[]
type Decoders = { readonly [Type in ControlType]: (fields: Fields) => Extract<ControlBody, { readonly type: Type }> }

/** Type and time stand before the fields, which count from 2. */
const DECODERS: Decoders = {
  genesis: fields => {
    const f = fields(9)
    return {
      type: 'genesis',
      time: asTime(f),
      relay: asRelayIdentity(f[2]),
      device: asDeviceKeys(f[3]),
      member: asMemberId(f[4]),
      epoch: asEpochStart(f[5]),
      wrap: asBytes(f[6], WRAP_LENGTH, 'wrap'),
      policy: asPolicy(f[7]),
      spaceName: asName(f[8], 'space name'),
      memberName: asName(f[9], 'member name'),
      deviceName: asName(f[10], 'device name'),
    }
  },
  invite: fields => {
    const f = fields(8)
    const kind = asInviteKind(f[2])
    const history = asHistory(f[6])
    const hasKey = kind === 'device' || (kind === 'instant' && history === 'all')
    return {
      type: 'invite',
      time: asTime(f),
      kind,
      device: asDeviceKeys(f[3]),
      member: asMemberId(f[4]),
      role: asRole(f[5]),
      history,
      expires: asUint(f[7], 'expires'),
      wrap: asBytes(f[8], hasKey ? WRAP_LENGTH : 0, 'wrap'),
      nameKey: kind === 'approved' ? asName(f[9], 'name key') : asBytes(f[9], 0, 'name key'),
    }
  },
  revoke: fields => {
    const f = fields(1)
    return { type: 'revoke', time: asTime(f), invite: asUint(f[2], 'invite') }
  },
  join: fields => {
    const f = fields(3)
    return {
      type: 'join',
      time: asTime(f),
      device: asDeviceKeys(f[2]),
      memberName: asName(f[3], 'member name'),
      deviceName: asName(f[4], 'device name'),
    }
  },
  approve: fields => {
    const f = fields(4)
    return {
      type: 'approve',
      time: asTime(f),
      request: asUint(f[2], 'request'),
      wrap: asBytesUpTo(f[3], WRAP_LENGTH, 'wrap'),
      memberName: asName(f[4], 'member name'),
      deviceName: asName(f[5], 'device name'),
    }
  },
  'add-device': fields => {
    const f = fields(3)
    return {
      type: 'add-device',
      time: asTime(f),
      device: asDeviceKeys(f[2]),
      wrap: asBytes(f[3], WRAP_LENGTH, 'wrap'),
      deviceName: asName(f[4], 'device name'),
    }
  },
  'remove-device': fields => {
    const f = fields(1)
    return { type: 'remove-device', time: asTime(f), device: asUint(f[2], 'device') }
  },
  'remove-member': fields => {
    const f = fields(1)
    return { type: 'remove-member', time: asTime(f), member: asMemberId(f[2]) }
  },
  leave: fields => ({ type: 'leave', time: asTime(fields(0)) }),
  'set-role': fields => {
    const f = fields(2)
    return { type: 'set-role', time: asTime(f), member: asMemberId(f[2]), role: asRole(f[3]) }
  },
  rotate: fields => {
    const f = fields(3)
    return {
      type: 'rotate',
      time: asTime(f),
      base: asBytes(f[2], 32, 'base'),
      epoch: asEpochStart(f[3]),
      delivery: asDelivery(f[4]),
    }
  },
  repair: fields => {
    const f = fields(2)
    return { type: 'repair', time: asTime(f), epoch: asUint(f[2], 'epoch'), delivery: asDelivery(f[3]) }
  },
  policy: fields => {
    const f = fields(2)
    return { type: 'policy', time: asTime(f), policy: asPolicy(f[2]), url: asText(f[3], 2048, 'relay address') }
  },
  grant: fields => {
    const f = fields(3)
    return {
      type: 'grant',
      time: asTime(f),
      device: asUint(f[2], 'device'),
      from: asUint(f[3], 'from'),
      sealed: asBytesUpTo(f[4], MAX_CONTROL_BODY_LENGTH, 'read secrets'),
    }
  },
  rename: fields => {
    const f = fields(4)
    return {
      type: 'rename',
      time: asTime(f),
      what: RENAMED[asUint(f[2], 'what', RENAMED.length - 1)] as (typeof RENAMED)[number],
      member: asMemberId(f[3]),
      device: asUint(f[4], 'device'),
      name: asName(f[5], 'name'),
    }
  },
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
        inviteKindNumber(body.kind),
        deviceKeysFields(body.device),
        idBytes(body.member),
        roleNumber(body.role),
        historyNumber(body.history),
        body.expires,
        body.wrap,
        body.nameKey,
      ]
    case 'revoke':
      return [body.invite]
    case 'join':
      return [deviceKeysFields(body.device), body.memberName, body.deviceName]
    case 'approve':
      return [body.request, body.wrap, body.memberName, body.deviceName]
    case 'add-device':
      return [deviceKeysFields(body.device), body.wrap, body.deviceName]
    case 'remove-device':
      return [body.device]
    case 'remove-member':
      return [idBytes(body.member)]
    case 'leave':
      return []
    case 'set-role':
      return [idBytes(body.member), roleNumber(body.role)]
    case 'rotate':
      return [body.base, epochStartFields(body.epoch), deliveryFields(body.delivery)]
    case 'repair':
      return [body.epoch, deliveryFields(body.delivery)]
    case 'policy':
      return [policyFields(body.policy), body.url]
    case 'grant':
      return [body.device, body.from, body.sealed]
    case 'rename':
      return [RENAMED.indexOf(body.what), idBytes(body.member), body.device, body.name]
  }
}

// -- Parts, which the state is made of too -------------------------------------------------------------------------

export function asRole(item: Cbor | undefined): Role {
  return ROLES[asUint(item, 'role', ROLES.length - 1)] as Role
}

export function asHistory(item: Cbor | undefined): History {
  return HISTORIES[asUint(item, 'history', HISTORIES.length - 1)] as History
}

export function asInviteKind(item: Cbor | undefined): InviteKind {
  return INVITE_KINDS[asUint(item, 'kind of invite', INVITE_KINDS.length - 1)] as InviteKind
}

export function inviteKindNumber(kind: InviteKind): number {
  return INVITE_KINDS.indexOf(kind)
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
  return [epoch.readCommit]
}

export function asEpochStart(item: Cbor | undefined): EpochStart {
  const fields = asTuple(item, 1, 'epoch')
  return { readCommit: asBytes(fields[0], 32, 'read commitment') }
}

export function deliveryFields(delivery: Delivery): Cbor {
  return [delivery.wrapsRoot, delivery.wrapsCount, delivery.target, delivery.link, delivery.namesLink]
}

export function asDelivery(item: Cbor | undefined): Delivery {
  const fields = asTuple(item, 5, 'delivery')
  return {
    wrapsRoot: asBytes(fields[0], 32, 'root of the wraps'),
    wrapsCount: asUint(fields[1], 'number of wraps'),
    target: asUint(fields[2], 'target of the link'),
    link: asBytes(fields[3], LINK_LENGTH, 'link'),
    namesLink: asBytes(fields[4], LINK_LENGTH, 'names link'),
  }
}

export function policyFields(policy: Policy): Cbor {
  return [policy.contentRules, policy.maxBodyLength, policy.attestations, policy.rotateEntries, policy.rotateDays]
}

export function asPolicy(item: Cbor | undefined): Policy {
  const fields = asTuple(item, 5, 'policy')
  const contentRules = asUint(fields[0], 'content rules')
  if (contentRules !== 1) throw new SealogError('ERR_UPGRADE', `content rules ${contentRules}`)
  return {
    contentRules,
    maxBodyLength: asUint(fields[1], 'largest body', 64 * 1024 * 1024),
    attestations: asUint(fields[2], 'attestations', MAX_ATTESTATIONS),
    rotateEntries: asUint(fields[3], 'entries of an epoch'),
    rotateDays: asUint(fields[4], 'days of an epoch', MAX_ROTATE_DAYS),
  }
}

export function asMemberId(item: Cbor | undefined): MemberId {
  return memberIdOf(asBytes(item, 16, 'member'))
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

function asTime(fields: readonly Cbor[]): number {
  return asUint(fields[1], 'time')
}
