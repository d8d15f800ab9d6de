import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { ensureWasm } from '../../src/crdt/wasm.ts'

/** Initialises the slim build of Automerge, once per test file. */
export async function initializeAutomerge(): Promise<void> {
  await ensureWasm(() => readFile(createRequire(import.meta.url).resolve('@automerge/automerge/automerge.wasm')))
}
