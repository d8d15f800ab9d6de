import { authenticationInput, equalBytes, type Open, SealogError } from 'sealog/protocol'
import type { RelayContext } from './context.ts'
import type { SpaceSequencer } from './space-sequencer.ts'

/**
 * Number of the device with this signing key.
 * @throws SealogError ERR_UNKNOWN_SPACE, ERR_UNAUTHORIZED
 */
export function currentDevice({ state }: SpaceSequencer, signing: Uint8Array): number {
  if (state === undefined) throw new SealogError('ERR_UNKNOWN_SPACE', 'no such space here')
  for (const [number, device] of state.control.devices) {
    if (device.removed === undefined && equalBytes(device.signing, signing)) return number
  }
  throw new SealogError('ERR_UNAUTHORIZED', 'not a current device of the space')
}

/**
 * Does whoever opens the space hold the key that it names?
 * @param challenge what this relay gave to the socket, 32 bytes
 * @throws SealogError ERR_UNAUTHORIZED
 */
export async function authenticate(
  { name, signingKey, verifier }: RelayContext,
  challenge: Uint8Array,
  { space, device, signature }: Open,
): Promise<void> {
  const message = authenticationInput({ name, key: signingKey.publicKey }, challenge, space, device)
  const holds = await verifier.verify({ publicKey: device, message, signature })
  if (!holds) throw new SealogError('ERR_UNAUTHORIZED', 'the signature over the challenge does not verify')
}
