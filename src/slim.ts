import { ensureWasm, isWasmReady, type WasmSource } from './crdt/wasm.ts'
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

/** As in `sealog`, without WASM inside. */
export interface SlimReplicaOptions extends ReplicaOptions {
  /** `automerge.wasm` as bytes, address or response; not needed where the application initialised Automerge. */
  readonly wasm?: WasmSource
}

/**
 * Opens a replica: the local copy of this device's spaces.
 * @throws SealogError ERR_STORE…, ERR_STORE_LOCKED where another tab has this store open, ERR_STORE_SEALED where it
 * is protected and `unlock` is missing, ERR_PASSPHRASE where that is wrong; TypeError
 */
export async function openReplica(options: SlimReplicaOptions): Promise<Replica> {
  const { wasm, ...rest } = options
  if (!isWasmReady()) {
    if (wasm === undefined) throw new TypeError('wasm: expected automerge.wasm, or Automerge initialised beforehand')
    await ensureWasm(() => wasm)
  }
  return openOnPlatform(rest, webSocketTransport())
}
