import { compareBytes } from './bytes.ts'
import { type Cbor, readCbor, writeCbor } from './cbor.ts'
import { SealogError } from './errors.ts'

export type { Cbor } from './cbor.ts'

/** Deterministic CBOR (RFC 8949 §4.2.1). @throws TypeError for what cannot be written */
export function encodeCbor(value: Cbor): Uint8Array {
  return writeCbor(value)
}

/**
 * Decodes one CBOR item; refuses every spelling but the one that `encodeCbor` gives it.
 * @param limit largest acceptable length in bytes
 * @param maxItems most items of all levels together, for formats whose limit in bytes alone would not bound the memory
 * @throws SealogError ERR_MALFORMED, ERR_LIMIT
 */
export function decodeCbor(bytes: Uint8Array, limit: number, maxItems?: number): Cbor {
  if (bytes.length > limit) {
    throw new SealogError('ERR_LIMIT', `message of ${bytes.length} bytes`, { details: { limit } })
  }
  try {
    return readCbor(bytes, maxItems)
  } catch (cause) {
    throw new SealogError('ERR_MALFORMED', 'not deterministic CBOR', { cause })
  }
}

function malformed(what: string, expected: string): SealogError {
  return new SealogError('ERR_MALFORMED', `${what}: expected ${expected}`)
}

/** An array of exactly `arity` items. */
export function asTuple(value: Cbor | undefined, arity: number, what: string): readonly Cbor[] {
  if (!isArray(value) || value.length !== arity) throw malformed(what, `an array of ${arity}`)
  return value
}

/** An array of at most `limit` items. */
export function asArray(value: Cbor | undefined, limit: number, what: string): readonly Cbor[] {
  if (!isArray(value)) throw malformed(what, 'an array')
  if (value.length > limit) throw new SealogError('ERR_LIMIT', `${what}: ${value.length} items`, { details: { limit } })
  return value
}

/** An integer 0 … max (default 2⁵³−1). */
export function asUint(value: Cbor | undefined, what: string, max: number = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0 || value > max) {
    throw malformed(what, `an integer from 0 to ${max}`)
  }
  return value
}

/** A byte string of exactly `length` bytes. */
export function asBytes(value: Cbor | undefined, length: number, what: string): Uint8Array {
  if (!(value instanceof Uint8Array) || value.length !== length) throw malformed(what, `${length} bytes`)
  return value
}

/** A byte string of at most `limit` bytes. */
export function asBytesUpTo(value: Cbor | undefined, limit: number, what: string): Uint8Array {
  if (!(value instanceof Uint8Array)) throw malformed(what, 'bytes')
  if (value.length > limit) throw new SealogError('ERR_LIMIT', `${what}: ${value.length} bytes`, { details: { limit } })
  return value
}

/** A text of at most `limit` UTF-16 code units, without lone surrogates. */
export function asText(value: Cbor | undefined, limit: number, what: string): string {
  if (typeof value !== 'string') throw malformed(what, 'text')
  if (value.length > limit)
    throw new SealogError('ERR_LIMIT', `${what}: ${value.length} characters`, { details: { limit } })
  return value
}

/** Zero or one item: how an optional field is written, as `[]` or `[item]`. */
export function asOptional<T>(
  value: Cbor | undefined,
  what: string,
  read: (item: Cbor, what: string) => T,
): T | undefined {
  const items = asArray(value, 1, what)
  const item = items[0]
  return item === undefined ? undefined : read(item, what)
}

export function optional<T>(value: T | undefined, write: (item: T) => Cbor): Cbor {
  return value === undefined ? [] : [write(value)]
}

/** Strictly ascending, so that a set has one spelling. @throws SealogError ERR_MALFORMED */
export function assertAscending(keys: readonly Uint8Array[], what: string): void {
  for (let i = 1; i < keys.length; i++) {
    if (compareBytes(keys[i - 1] as Uint8Array, keys[i] as Uint8Array) >= 0)
      throw malformed(what, 'strictly ascending keys')
  }
}

function isArray(value: Cbor | undefined): value is readonly Cbor[] {
  return Array.isArray(value)
}
