import {
  encodeMessage,
  type PinnedRelay,
  platformEnvironment,
  type SigningKey,
  type SpaceId,
  signingKeyFromSeed,
} from 'sealog/protocol'
import { authorGenesis, makeDevice, pushEntryOf, spaceOf } from '../../relay-server/test/helpers/authoring.ts'
import { exchange } from './exchange.ts'

/** A space that light clients write by one device, each with an actor of its own; plain data, for child processes. */
export interface LightSpace {
  readonly id: SpaceId
  /** Leaf hash of its genesis, 32 bytes. */
  readonly genesis: Uint8Array
  /** Of the device's signing key, 32 bytes. */
  readonly seed: Uint8Array
}

export function keyOf({ seed }: LightSpace): SigningKey {
  return signingKeyFromSeed(seed)
}

/** Creates a space at the relay. @throws Error unless it lands */
export async function createLightSpace(url: string, relay: PinnedRelay): Promise<LightSpace> {
  const { random } = platformEnvironment()
  const device = makeDevice(random)
  const genesis = authorGenesis(random, device, relay)
  const space = spaceOf(genesis)
  await exchange(url, (message, socket) => {
    if (message.type === 'welcome') {
      socket.send(encodeMessage({ type: 'push', ref: 1, space, entries: [pushEntryOf(genesis)] }))
    }
    if (message.type === 'reject') throw new Error(`the genesis is refused: ${message.code}`)
    return message.type === 'sync'
  })
  return { id: space, genesis: genesis.hash, seed: device.seed }
}
