import { defaultVerifier } from './crypto/sign-backend.ts'
import { platformEnvironment } from './environment-platform.ts'
import { platformHeadChannel } from './head-exchange.ts'
import type { Transport } from './relay/transport.ts'
import { Replica } from './replica.ts'
import type { ReplicaOptions } from './replica-options.ts'

/** Opens a replica on the platform's clock, randomness and signature backend. */
export async function openOnPlatform(options: ReplicaOptions, transport: Transport): Promise<Replica> {
  const heads = platformHeadChannel()
  return Replica.open(options, {
    transport,
    environment: platformEnvironment(),
    verifier: await defaultVerifier(),
    ...(heads === undefined ? {} : { heads }),
    onNetworkBack: listener => {
      if (typeof globalThis.addEventListener !== 'function') return () => {}
      globalThis.addEventListener('online', listener)
      return () => globalThis.removeEventListener('online', listener)
    },
  })
}
