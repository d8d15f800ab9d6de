/** Numbers of message types (protocol.md §7). */
export const TYPE = { welcome: 0, sync: 1, reject: 2, received: 4 } as const

/**
 * What stands at the beginning of a message (protocol.md §7): clients of a benchmark look at little more, so that little
 * of what is measured is theirs.
 */
export function headOf(frame: Uint8Array): { readonly type: number; readonly ref: number } {
  return { type: frame[1] ?? -1, ref: uintAt(frame, 2).value }
}

/** Behind the last entry of a `sync`. */
export function endOf(frame: Uint8Array): number {
  const ref = uintAt(frame, 2)
  // The space is 32 bytes behind a head of two; then the array of the batch.
  const from = uintAt(frame, ref.end + 34 + 1)
  return from.value + uintAt(frame, from.end).value
}

/** The argument of a CBOR item, and where its head ends. */
function uintAt(frame: Uint8Array, at: number): { readonly value: number; readonly end: number } {
  const info = (frame[at] ?? 0) & 0x1f
  if (info < 24) return { value: info, end: at + 1 }
  const size = 2 ** (info - 24)
  let value = 0
  for (let i = 1; i <= size; i++) value = value * 256 + (frame[at + i] ?? 0)
  return { value, end: at + 1 + size }
}
