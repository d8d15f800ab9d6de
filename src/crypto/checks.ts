/** @throws TypeError naming `argument`, unless `value` is a `Uint8Array` (of exactly `length` bytes, if given) */
export function assertBytes(value: Uint8Array, argument: string, length?: number): void {
  if (!(value instanceof Uint8Array)) throw new TypeError(`${argument}: expected a Uint8Array`)
  if (length !== undefined && value.length !== length) {
    throw new TypeError(`${argument}: expected ${length} bytes, got ${value.length}`)
  }
}

/** @throws TypeError naming `argument`, unless `value` is an integer from 0 to 2⁵³−1 */
export function assertUint(value: number, argument: string): void {
  if (!Number.isSafeInteger(value) || value < 0)
    throw new TypeError(`${argument}: expected an integer from 0 to 2^53-1`)
}
