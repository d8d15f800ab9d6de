import { toHex } from '../../src/bytes.ts'
import { spaceKey } from '../../src/crdt/rows.ts'
import { decodeSecrets } from '../../src/crdt/secrets.ts'
import type { ReplicaStore } from '../../src/crdt/store.ts'
import { loadView } from '../../src/crdt/view-rows.ts'
import type { SigningKey } from '../../src/crypto/sign.ts'
import { nobleSigningKey } from '../../src/crypto/sign-backend.ts'
import type { SpaceId } from '../../src/ids.ts'
import type { NoteSignature } from '../../src/verify/checkpoint.ts'
import { cosign } from '../../src/verify/cosignature.ts'

/** A member's device, with all that it may sign. */
export interface MemberDevice {
  readonly number: number
  readonly signer: SigningKey
  /** This device's line under a note, whatever the note says. @param text its signed lines */
  cosign(text: Uint8Array): Promise<NoteSignature>
}

/** @param store of the member's replica, open */
export async function deviceOf(store: ReplicaStore, space: SpaceId): Promise<MemberDevice> {
  const secrets = decodeSecrets((await store.get(spaceKey(space, 'secrets'))) as Uint8Array)
  const signer = nobleSigningKey(secrets.device.signing)
  const stored = await loadView(store, space)
  const devices = [...(stored?.view.state?.control.devices ?? [])]
  const number = devices.find(([, device]) => toHex(device.signing) === toHex(signer.publicKey))?.[0]
  if (number === undefined) throw new Error('the log does not admit this device')
  return { number, signer, cosign: text => cosign(text, space, number, 1_700_000_000, signer) }
}
