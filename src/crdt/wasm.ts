import { initializeBase64Wasm, initializeWasm, isWasmInitialized } from '@automerge/automerge/slim'

/** What Automerge's WASM module can be made from: its bytes, an address, a response. */
export type WasmSource = Parameters<typeof initializeWasm>[0]

let pending: Promise<void> | undefined

/** Initialises Automerge once, unless the application did already. */
export async function ensureWasm(source: () => WasmSource | Promise<WasmSource>): Promise<void> {
  await once(async () => initializeWasm(await source()))
}

/** The same from the base64 text that Automerge ships. */
export async function ensureBase64Wasm(base64: string): Promise<void> {
  await once(() => initializeBase64Wasm(base64))
}

export function isWasmReady(): boolean {
  return isWasmInitialized()
}

async function once(initialize: () => Promise<void>): Promise<void> {
  if (isWasmInitialized()) return
  pending ??= initialize().finally(() => {
    pending = undefined
  })
  await pending
}
