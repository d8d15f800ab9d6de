import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { ensureWasm } from './crdt/wasm.ts'
import { openOnPlatform } from './open-replica.ts'
import { nodeWebSocketTransport } from './relay/websocket-node.ts'
import type { Replica } from './replica.ts'
import type { ReplicaOptions } from './replica-options.ts'

export { nodeStore } from './crdt/store-node.ts'
export * from './public.ts'

/**
 * Opens a replica in Node: the local copy of this device's spaces.
 * @throws SealogError ERR_STORE…, ERR_STORE_LOCKED where another process has this store open, ERR_STORE_SEALED where it
 * is protected and `unlock` is missing, ERR_PASSPHRASE where that is wrong; TypeError
 */
export async function openReplica(options: ReplicaOptions): Promise<Replica> {
  await ensureWasm(() => readFile(createRequire(import.meta.url).resolve('@automerge/automerge/automerge.wasm')))
  return openOnPlatform(options, nodeWebSocketTransport())
}
