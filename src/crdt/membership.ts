import { toBase64Url } from '../bytes.ts'
import { commitmentsOf, namesSecretOf, readSecretOf } from '../crypto/commitments.ts'
import { sealGrant } from '../crypto/grant.ts'
import { ZERO_32 } from '../crypto/hash.ts'
import { sealLabel } from '../crypto/keyring.ts'
import { publicKeyOf, signSync } from '../crypto/sign.ts'
import { kemPublicKeyOf, wrapSecret } from '../crypto/wrap.ts'
import type { Random } from '../environment.ts'
import type { MemberId } from '../ids.ts'
import {
  type AddDeviceBody,
  type ApproveBody,
  type DeviceKeys,
  type GenesisBody,
  type GrantBody,
  type History,
  type InviteBody,
  type InviteKind,
  type JoinBody,
  type Policy,
  possessionInput,
  type RelayIdentity,
  type Role,
} from '../verify/control.ts'
import { type ControlState, type DeviceRecord, latestEpoch } from '../verify/control-state.ts'
import type { SpaceKeys } from './epoch-secrets.ts'
import type { NameKind } from './names.ts'
import type { DeviceSecrets } from './secrets.ts'

/** Bodies up to this length may be written in a new space, in bytes. */
const MAX_BODY_LENGTH: number = 16 * 1024 * 1024

export const DEFAULT_POLICY: Policy = {
  contentRules: 1,
  maxBodyLength: MAX_BODY_LENGTH,
  attestations: 1,
  rotateEntries: 0,
  rotateDays: 0,
}

export interface Names {
  readonly space: string
  readonly member: string
  readonly device: string
}

/** What every control body is made with. */
export interface Writing {
  /** 32 bytes. */
  readonly space: Uint8Array
  /** The own clock: Unix time in milliseconds. */
  readonly time: number
  readonly random: Random
  /** The epoch in force. */
  readonly epoch: number
  readonly keys: SpaceKeys
}

export function newDevice(random: Random): DeviceSecrets {
  return { signing: random(32), kem: random(32) }
}

/** The public half of a device, with its proof of possession for this member of this space. */
export function deviceKeysOf(secrets: DeviceSecrets, space: Uint8Array, member: MemberId): DeviceKeys {
  const signing = publicKeyOf(secrets.signing)
  const kem = kemPublicKeyOf(secrets.kem)
  return { signing, kem, possession: signSync(secrets.signing, possessionInput(space, member, signing, kem)) }
}

export function genesisBody(options: {
  readonly relay: RelayIdentity
  readonly device: DeviceSecrets
  readonly member: MemberId
  readonly epochSecret: Uint8Array
  readonly names: Names
  readonly policy: Policy
  readonly time: number
  readonly random: Random
}): GenesisBody {
  const { relay, device, member, epochSecret, names, policy, time, random } = options
  const keys = deviceKeysOf(device, ZERO_32, member)
  const secret = namesSecretOf(readSecretOf(epochSecret))
  const label = (context: NameKind, text: string): Uint8Array => sealLabel({ secret, context, text, random })
  return {
    type: 'genesis',
    time,
    relay,
    device: keys,
    member,
    epoch: commitmentsOf(epochSecret),
    wrap: wrapSecret({
      secret: epochSecret,
      space: ZERO_32,
      epoch: 0,
      device: undefined,
      payloadKind: 0,
      kemPublicKey: keys.kem,
    }),
    policy,
    spaceName: label('space', names.space),
    memberName: label('member', names.member),
    deviceName: label('device', names.device),
  }
}

export interface Inviting {
  readonly kind: InviteKind
  readonly provisional: DeviceSecrets
  /** Approved only, 32 bytes. */
  readonly nameKey: Uint8Array
  readonly member: MemberId
  readonly role: Role
  readonly history: History
  /** Unix time in milliseconds. */
  readonly expires: number
}

/** @throws SealogError ERR_KEY where this replica does not have what it would give away */
export function inviteBody(writing: Writing, inviting: Inviting): InviteBody {
  const { kind, provisional, nameKey, member, role, history, expires } = inviting
  const device = deviceKeysOf(provisional, writing.space, member)
  const isApproved = kind === 'approved'
  return {
    type: 'invite',
    time: writing.time,
    kind,
    device,
    member,
    role,
    history,
    expires,
    wrap: kind === 'device' || (!isApproved && history === 'all') ? inlineWrap(writing, device.kem, history) : NONE,
    nameKey: isApproved ? nameBody(writing, 'invite', toBase64Url(nameKey)) : NONE,
  }
}

/** @param nameKey under which an approved invite has the names sealed; undefined: that of the epoch */
export function joinBody(
  writing: Pick<Writing, 'space' | 'time' | 'random'>,
  device: DeviceKeys,
  names: Pick<Names, 'member' | 'device'>,
  secret: Uint8Array,
): JoinBody {
  const { time, random } = writing
  return {
    type: 'join',
    time,
    device,
    memberName: sealLabel({ secret, context: 'member', text: names.member, random }),
    deviceName: sealLabel({ secret, context: 'device', text: names.device, random }),
  }
}

/** @throws SealogError ERR_KEY where this replica does not have what it would give away */
export function approveBody(
  writing: Writing,
  request: DeviceRecord,
  history: History,
  names: Pick<Names, 'member' | 'device'>,
): ApproveBody {
  return {
    type: 'approve',
    time: writing.time,
    request: request.number,
    wrap: history === 'all' ? inlineWrap(writing, request.kem, history) : NONE,
    memberName: nameBody(writing, 'member', names.member),
    deviceName: nameBody(writing, 'device', names.device),
  }
}

/** @throws SealogError ERR_KEY where this replica does not have what it would give away */
export function addDeviceBody(writing: Writing, device: DeviceKeys, history: History, name: string): AddDeviceBody {
  return {
    type: 'add-device',
    time: writing.time,
    device,
    wrap: inlineWrap(writing, device.kem, history),
    deviceName: nameBody(writing, 'device', name),
  }
}

/** Read secrets that fit into one grant. */
export const MAX_GRANTED = 1024

/** Epochs whose read secrets go into one grant. */
export interface GrantStretch {
  readonly from: number
  /** The first epoch behind them. */
  readonly end: number
}

/**
 * What to grant so that a device can read from epoch `from` on: all that there is, whatever it should have been given
 * before. Nobody but the device can tell whether an earlier grant held what it was to hold.
 * @returns in stretches that fit into an entry, the newest first: what a device may read has no gaps
 */
export function grantStretches(
  control: ControlState,
  keys: SpaceKeys,
  { readsFrom }: DeviceRecord,
  from: number,
): readonly GrantStretch[] {
  // Who reads from its own admission on may lack an epoch that the device has.
  let end = Math.max(from, Math.min(readsFrom, latestEpoch(control) + 1))
  while (end <= latestEpoch(control) && keys.canRead(end)) end++
  const stretches: GrantStretch[] = []
  for (; end > from; end = Math.max(from, end - MAX_GRANTED)) {
    stretches.push({ from: Math.max(from, end - MAX_GRANTED), end })
  }
  return stretches
}

/**
 * Read secrets of the epochs from `from` to before `end`; by default up to where the device can read already.
 * @throws SealogError ERR_KEY
 */
export function grantBody(
  writing: Writing,
  device: DeviceRecord,
  from: number,
  end: number = device.readsFrom,
): GrantBody {
  const { space, time, random, keys } = writing
  const secrets = Array.from({ length: end - from }, (_, i) => keys.readSecret(from + i))
  const sealed = sealGrant({ space, device: device.number, from, kemPublicKey: device.kem, secrets, random })
  return { type: 'grant', time, device: device.number, from, sealed }
}

/** Sealed under the names secret of the epoch in force. */
export function nameBody({ keys, epoch, random }: Writing, context: NameKind, text: string): Uint8Array {
  return sealLabel({ secret: keys.namesSecret(epoch), context, text, random })
}

const NONE: Uint8Array = new Uint8Array(0)

/** In the entry that admits a device its number is not known yet; its KEM key, never admitted twice, names it. */
function inlineWrap({ space, epoch, keys }: Writing, kemPublicKey: Uint8Array, history: History): Uint8Array {
  const payloadKind = history === 'all' ? 0 : 1
  const secret = payloadKind === 0 ? keys.secret(epoch) : keys.readSecret(epoch)
  return wrapSecret({ secret, space, epoch, device: undefined, payloadKind, kemPublicKey })
}
