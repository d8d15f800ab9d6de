/** Longest name in UTF-8, in bytes. */
const MAX_NAME = 256

/** @throws TypeError */
export function assertInteger(value: number, argument: string, max: number = Number.MAX_SAFE_INTEGER): void {
  if (!Number.isSafeInteger(value) || value < 0 || value > max) {
    throw new TypeError(`${argument}: expected an integer from 0 to ${max}`)
  }
}

/** A name as people give it, before it is sealed. @throws TypeError */
export function assertName(name: unknown, argument: string): asserts name is string {
  if (typeof name !== 'string' || /\p{Surrogate}/u.test(name) || new TextEncoder().encode(name).length > MAX_NAME) {
    throw new TypeError(`${argument}: expected a string of at most ${MAX_NAME} bytes`)
  }
}

/** How long something is good for, in milliseconds. @throws TypeError */
export function assertDuration(value: number, argument: string): void {
  if (!Number.isSafeInteger(value) || value <= 0) throw new TypeError(`${argument}: expected milliseconds`)
}

/** Address of an app, to which a link is added as a fragment. @throws TypeError */
export function assertBase(base: string | undefined): void {
  if (base !== undefined && !URL.canParse(base)) throw new TypeError('base: expected an address')
}
