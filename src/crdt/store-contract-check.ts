import { equalBytes, toHex } from '../bytes.ts'
import type { ErrorCode } from '../errors.ts'
import { hasCode } from '../errors.ts'
import type { ReplicaStore, StoreRow } from './store.ts'

// The little that an acceptance suite needs of a test library, so that it runs under any of them, and in a bare page.

export function check(condition: boolean, promise: string): asserts condition {
  if (!condition) throw new Error(`broken promise: ${promise}`)
}

export function checkBytes(actual: Uint8Array | undefined, expected: Uint8Array | undefined, promise: string): void {
  const equal = actual === undefined || expected === undefined ? actual === expected : equalBytes(actual, expected)
  check(equal, `${promise}; expected ${show(expected)}, got ${show(actual)}`)
}

export function checkRows(actual: readonly StoreRow[], expected: readonly StoreRow[], promise: string): void {
  check(actual.length === expected.length, `${promise}; expected ${expected.length} rows, got ${actual.length}`)
  for (const [index, [key, value]] of expected.entries()) {
    checkBytes(actual[index]?.[0], key, `${promise}; key of row ${index}`)
    checkBytes(actual[index]?.[1], value, `${promise}; value of row ${index}`)
  }
}

/** The whole content of a store. */
export function everything(store: ReplicaStore): Promise<readonly StoreRow[]> {
  return store.scan(new Uint8Array(0))
}

export async function checkRejects(
  action: () => Promise<unknown>,
  expected: ErrorCode | 'TypeError',
  promise: string,
): Promise<void> {
  const outcome: unknown = await action().then(
    () => 'no error',
    (error: unknown) => error,
  )
  const matches = expected === 'TypeError' ? outcome instanceof TypeError : hasCode(outcome, expected)
  check(matches, `${promise}; expected ${expected}, got ${String(outcome)}`)
}

function show(bytes: Uint8Array | undefined): string {
  if (bytes === undefined) return 'nothing'
  const head = toHex(bytes.subarray(0, 32))
  return bytes.length > 32 ? `${head}… (${bytes.length} bytes)` : `<${head}>`
}

/** A promise and how to check it, given a way to get new, unopened stores over one place that is empty at first. */
export type ContractCheck = readonly [promise: string, run: (store: () => ReplicaStore) => Promise<void>]

/** A check that needs one open store. */
export function openCase(promise: string, run: (store: ReplicaStore) => Promise<void>): ContractCheck {
  return [
    promise,
    async store => {
      const subject = store()
      await subject.open()
      await run(subject)
    },
  ]
}

export function bytes(...values: readonly number[]): Uint8Array {
  return Uint8Array.from(values)
}

/** Bytes that differ from place to place and by length. */
export function pattern(length: number): Uint8Array {
  const out = new Uint8Array(length)
  for (let i = 0; i < length; i++) out[i] = i * 31 + (i >> 8) + length
  return out
}

export function startsWith(key: Uint8Array, prefix: Uint8Array): boolean {
  return prefix.every((byte, i) => key[i] === byte)
}
