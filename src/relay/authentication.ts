import { concat, toUtf8 } from '../bytes.ts'
import { sha256 } from '../crypto/hash.ts'
import { idBytes, type SpaceId } from '../ids.ts'

/**
 * What a device signs to open a space on a socket: bound to the relay's name and key, so that another relay
 * cannot pass it on, and to a challenge that the relay uses once.
 * @param relay name and 32-byte key that the device pinned
 * @param challenge 32 bytes from `welcome`
 * @param device public key, 32 bytes
 */
export function authenticationInput(
  relay: { readonly name: string; readonly key: Uint8Array },
  challenge: Uint8Array,
  space: SpaceId,
  device: Uint8Array,
): Uint8Array {
  return concat(
    toUtf8('sealog/v1/authenticate\0'),
    sha256(toUtf8(relay.name)),
    relay.key,
    challenge,
    idBytes(space),
    device,
  )
}
