import { toUtf8 } from '../../src/bytes.ts'
import { sha256 } from '../../src/crypto/hash.ts'
import { publicKeyOf, signSync } from '../../src/crypto/sign.ts'
import { kemPublicKeyOf } from '../../src/crypto/wrap.ts'
import { type MemberId, memberIdOf } from '../../src/ids.ts'
import { type DeviceKeys, possessionInput } from '../../src/verify/control.ts'

/** 32 bytes that are the same in every run. */
export function bytesOf(label: string): Uint8Array {
  return sha256(toUtf8(label))
}

export function memberNamed(name: string): MemberId {
  return memberIdOf(bytesOf(name).slice(0, 16))
}

/** A device of a hand-made log: its secrets, and the number under which the log knows it. */
export interface TestDevice {
  /** Ed25519 seed, 32 bytes. */
  readonly signing: Uint8Array
  /** X-Wing public key, 1,216 bytes. */
  readonly kem: Uint8Array
  /** The seed that it grows from, 32 bytes. */
  readonly kemSeed: Uint8Array
  /** 8 bytes. */
  readonly incarnation: Uint8Array
  readonly number: number
}

const kemKeys = new Map<string, Uint8Array>()

export function testDevice(name: string, number: number): TestDevice {
  const kemSeed = bytesOf(`${name} kem`)
  const kem = kemKeys.get(name) ?? kemPublicKeyOf(kemSeed)
  kemKeys.set(name, kem)
  const incarnation = bytesOf(`${name} incarnation`).slice(0, 8)
  return { signing: bytesOf(`${name} signing`), kem, kemSeed, incarnation, number }
}

/** The public half of a device, with a proof of possession for this space and member. */
export function deviceKeys(device: TestDevice, space: Uint8Array, member: MemberId): DeviceKeys {
  const signing = publicKeyOf(device.signing)
  const possession = signSync(device.signing, possessionInput(space, member, signing, device.kem))
  return { signing, kem: device.kem, possession }
}
