import { automergeWasmBase64 } from '@automerge/automerge/automerge.wasm.base64'
import { ensureBase64Wasm } from './crdt/wasm.ts'
import { openOnPlatform } from './open-replica.ts'
import { webSocketTransport } from './relay/websocket.ts'
import type { Replica } from './replica.ts'
import type { ReplicaOptions } from './replica-options.ts'

export {
  createPasskey,
  isPasskeyPrfAvailable,
  type NewPasskeyOptions,
  type Passkey,
  type PasskeyOptions,
  type PasskeySecretOptions,
  passkeySecret,
} from './passkey.ts'
export * from './public.ts'

/**
 * Opens a replica: the local copy of this device's spaces. Brings Automerge's WASM along; applications that want to
 * serve it as a file of its own use `sealog/slim`.
 * @throws SealogError ERR_STORE…, ERR_STORE_LOCKED where another tab has this store open, ERR_STORE_SEALED where it
 * is protected and `unlock` is missing, ERR_PASSPHRASE where that is wrong; TypeError
 */
export async function openReplica(options: ReplicaOptions): Promise<Replica> {
  await ensureBase64Wasm(automergeWasmBase64)
  return openOnPlatform(options, webSocketTransport())
}
