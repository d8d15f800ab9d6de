import { asUint, decodeCbor, encodeCbor } from '../codec.ts'
import { SealogError } from '../errors.ts'
import {
  bytesOf,
  bytesUpTo,
  type Fields,
  memberId,
  oneOf,
  type RecordFormat,
  record,
  textUpTo,
  uint,
} from '../format.ts'
import {
  type ControlBody,
  type ControlType,
  type InviteBody,
  MAX_CONTROL_BODY_LENGTH,
  RENAMED,
  WRAP_LENGTH,
} from './control.ts'
import {
  delivery,
  deviceKeys,
  epochStart,
  history,
  inviteKind,
  policy,
  relayIdentity,
  role,
  sealed,
} from './control-parts.ts'

/** The number on the wire is the place in this list. */
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

/** A control body: `[number of the type, time, …]`, in Unix milliseconds by the clock of its author. */
const FORMATS: { readonly [Type in ControlType]: RecordFormat<BodyFields<Type>> } = {
  genesis: body({
    relay: relayIdentity,
    device: deviceKeys,
    member: memberId,
    epoch: epochStart,
    wrap: bytesOf(WRAP_LENGTH),
    policy,
    spaceName: sealed,
    memberName: sealed,
    deviceName: sealed,
  }),
  invite: body({
    kind: inviteKind,
    device: deviceKeys,
    member: memberId,
    role,
    history,
    expires: uint,
    wrap: bytesUpTo(MAX_CONTROL_BODY_LENGTH),
    nameKey: sealed,
  }),
  revoke: body({ invite: uint }),
  join: body({ device: deviceKeys, memberName: sealed, deviceName: sealed }),
  approve: body({ request: uint, wrap: bytesUpTo(WRAP_LENGTH), memberName: sealed, deviceName: sealed }),
  'add-device': body({ device: deviceKeys, wrap: bytesOf(WRAP_LENGTH), deviceName: sealed }),
  'remove-device': body({ device: uint }),
  'remove-member': body({ member: memberId }),
  leave: body({}),
  'set-role': body({ member: memberId, role }),
  rotate: body({ base: bytesOf(32), epoch: epochStart, delivery }),
  repair: body({ epoch: uint, delivery }),
  policy: body({ policy, url: textUpTo(2048) }),
  grant: body({ device: uint, from: uint, sealed: bytesUpTo(MAX_CONTROL_BODY_LENGTH) }),
  rename: body({ what: oneOf(RENAMED), member: memberId, device: uint, name: sealed }),
}

type BodyFields<Type extends ControlType> = Omit<Extract<ControlBody, { readonly type: Type }>, 'type'>

function body<T extends { readonly time: number }>(fields: Fields<Omit<T, 'time'>>): RecordFormat<T> {
  return record({ time: uint, ...fields } as Fields<T>)
}

export function encodeControlBody(body: ControlBody): Uint8Array {
  const { write } = FORMATS[body.type] as Pick<RecordFormat<unknown>, 'write'>
  return encodeCbor([TYPES.indexOf(body.type), ...write(body)])
}

/** @throws SealogError ERR_MALFORMED, ERR_LIMIT; ERR_UPGRADE for a type of a later build */
export function decodeControlBody(bytes: Uint8Array): ControlBody {
  const item = decodeCbor(bytes, MAX_CONTROL_BODY_LENGTH)
  const [first, ...fields] = Array.isArray(item) ? item : []
  const number = asUint(first, 'control type')
  const type = TYPES[number]
  if (type === undefined) throw new SealogError('ERR_UPGRADE', `control entry of type ${number}`)
  const decoded = { type, ...FORMATS[type].read(fields, type) } as ControlBody
  if (decoded.type === 'invite') checkInvite(decoded)
  return decoded
}

/** Only an invite whose link holds a key has a wrap for it, and only one whose link holds none a key for names. */
function checkInvite({ kind, history, wrap, nameKey }: InviteBody): void {
  const hasKey = kind === 'device' || (kind === 'instant' && history === 'all')
  const isRight = wrap.length === (hasKey ? WRAP_LENGTH : 0) && (kind === 'approved' || nameKey.length === 0)
  if (!isRight) throw new SealogError('ERR_MALFORMED', `invite: not the keys of one of kind ${kind}`)
}
