import { deriveEpoch, type EpochKeys } from '../crypto/epoch.ts'
import { ZERO_32 } from '../crypto/hash.ts'
import { openLabel, sealLabel } from '../crypto/keyring.ts'
import { publicKeyOf, signSync } from '../crypto/sign.ts'
import { kemPublicKeyOf, openWrap, verifyOpenedWrap, wrapSecret } from '../crypto/wrap.ts'
import type { Random } from '../environment.ts'
import { SealogError } from '../errors.ts'
import type { MemberId } from '../ids.ts'
import {
  type DeviceKeys,
  decodeControlBody,
  encodeControlBody,
  possessionInput,
  type RelayIdentity,
  type Role,
} from '../verify/control.ts'
import type { DeviceSecrets } from './secrets.ts'

/** Bodies up to this length may be written in a new space, in bytes. */
const MAX_BODY_LENGTH: number = 16 * 1024 * 1024

export interface Names {
  readonly space: string
  readonly member: string
  readonly device: string
}

export function newDevice(random: Random): DeviceSecrets {
  return { signing: random(32), kem: random(32) }
}

/** The public half of a device, with its proof of possession for this space. */
function deviceKeysOf(secrets: DeviceSecrets, space: Uint8Array): DeviceKeys {
  const signing = publicKeyOf(secrets.signing)
  const kem = kemPublicKeyOf(secrets.kem)
  return { signing, kem, possession: signSync(secrets.signing, possessionInput(space, signing, kem)) }
}

export function genesisBody(options: {
  readonly relay: RelayIdentity
  readonly device: DeviceSecrets
  readonly member: MemberId
  readonly epochSecret: Uint8Array
  readonly names: Names
  readonly random: Random
}): Uint8Array {
  const { relay, device, member, epochSecret, names, random } = options
  const epoch = deriveEpoch(epochSecret)
  const keys = deviceKeysOf(device, ZERO_32)
  return encodeControlBody({
    type: 'genesis',
    relay,
    device: keys,
    member,
    epoch: { commit: epoch.commit, readCommit: epoch.readCommit },
    wrap: wrapSecret({
      epochSecret,
      space: ZERO_32,
      epoch: 0,
      device: undefined,
      payloadKind: 0,
      kemPublicKey: keys.kem,
    }),
    policy: { contentRules: 1, maxBodyLength: MAX_BODY_LENGTH, attestations: 1 },
    spaceName: label(epoch, 'space', names.space, random),
    memberName: label(epoch, 'member', names.member, random),
    deviceName: label(epoch, 'device', names.device, random),
  })
}

export function inviteBody(options: {
  readonly space: Uint8Array
  readonly provisional: DeviceSecrets
  readonly member: MemberId
  readonly role: Role
  readonly expires: number
  readonly epoch: number
  readonly epochSecret: Uint8Array
}): Uint8Array {
  const { space, provisional, member, role, expires, epoch, epochSecret } = options
  const device = deviceKeysOf(provisional, space)
  return encodeControlBody({
    type: 'invite',
    device,
    member,
    role,
    history: 'all',
    expires,
    wrap: wrapSecret({ epochSecret, space, epoch, device: undefined, payloadKind: 0, kemPublicKey: device.kem }),
  })
}

export function joinBody(options: {
  readonly space: Uint8Array
  readonly device: DeviceSecrets
  readonly epoch: number
  readonly epochSecret: Uint8Array
  readonly names: Pick<Names, 'member' | 'device'>
  readonly random: Random
}): Uint8Array {
  const { space, device, epoch, epochSecret, names, random } = options
  const keys = deviceKeysOf(device, space)
  const secrets = deriveEpoch(epochSecret)
  return encodeControlBody({
    type: 'join',
    device: keys,
    wrap: wrapSecret({ epochSecret, space, epoch, device: undefined, payloadKind: 0, kemPublicKey: keys.kem }),
    memberName: label(secrets, 'member', names.member, random),
    deviceName: label(secrets, 'device', names.device, random),
  })
}

/**
 * Opens the wrap of an invite. Whether its secret is the one that the log commits to shows when the log is here.
 * @returns `S_0`, 32 bytes
 * @throws SealogError ERR_INVITE
 */
export function openInvite(body: Uint8Array, space: Uint8Array, provisional: DeviceSecrets): Uint8Array {
  const context = { space, epoch: 0, device: undefined, seed: provisional.kem }
  try {
    const invite = decodeControlBody(body)
    if (invite.type !== 'invite') throw new SealogError('ERR_UNEXPECTED', `an entry of type ${invite.type}`)
    const epochSecret = openWrap({ ...context, payloadKind: 0, wrap: invite.wrap })
    verifyOpenedWrap({ ...context, epochSecret, wrap: invite.wrap })
    return epochSecret
  } catch (cause) {
    if (cause instanceof SealogError && cause.code === 'ERR_UPGRADE') throw cause
    throw new SealogError('ERR_INVITE', 'the invite does not hold a key for its link', { cause })
  }
}

/** The plain text of a name in the state; empty where there is none, or where it was not sealed as it should be. */
export function openName(readSecret: Uint8Array, context: 'space' | 'member' | 'device', sealed: Uint8Array): string {
  if (sealed.length === 0) return ''
  try {
    return openLabel({ readSecret, context, sealed })
  } catch (error) {
    if (error instanceof SealogError) return ''
    throw error
  }
}

function label(epoch: EpochKeys, context: 'space' | 'member' | 'device', text: string, random: Random): Uint8Array {
  return sealLabel({ readSecret: epoch.readSecret, context, text, random })
}
