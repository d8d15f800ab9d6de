import { fromUtf8, toUtf8 } from './bytes.ts'

/**
 * What Sealog writes in CBOR (RFC 8949): arrays, unsigned integers up to 2⁵³−1, byte strings and text. No maps,
 * floats, tags, booleans or null, so that with shortest lengths every value has exactly one spelling (§4.2.1).
 */
export type Cbor = number | string | Uint8Array | readonly Cbor[]

const MAJOR = { uint: 0, bytes: 2, text: 3, array: 4 } as const
/** Deeper than anything that is written. */
const MAX_DEPTH = 16
const TWO_32 = 2 ** 32

/** @throws TypeError for what is no `Cbor` */
export function writeCbor(value: Cbor): Uint8Array {
  const out = new Uint8Array(sizeOf(value))
  write(out, 0, value)
  return out
}

/**
 * Reads exactly one item, refusing every spelling but the one that `writeCbor` gives it.
 * @param maxItems most items of all levels together: an item of one byte costs a hundred in memory
 * @throws RangeError, without a code: it is for the caller to say what the bytes should have been
 */
export function readCbor(bytes: Uint8Array, maxItems: number = Number.POSITIVE_INFINITY): Cbor {
  const reader = new Reader(bytes, maxItems)
  const value = reader.item(0)
  if (reader.at !== bytes.length) throw new RangeError('trailing bytes')
  return value
}

// -- Writing ------------------------------------------------------------------------------------------------------

function sizeOf(value: Cbor): number {
  if (typeof value === 'number') return headSize(assertUint(value))
  if (value instanceof Uint8Array) return headSize(value.length) + value.length
  if (typeof value === 'string') {
    const { length } = toUtf8(value)
    return headSize(length) + length
  }
  if (!Array.isArray(value)) throw new TypeError('value: expected a number, text, bytes or an array')
  return value.reduce((size: number, item: Cbor) => size + sizeOf(item), headSize(value.length))
}

function headSize(argument: number): number {
  if (argument < 24) return 1
  if (argument < 0x100) return 2
  if (argument < 0x10000) return 3
  return argument < TWO_32 ? 5 : 9
}

function write(out: Uint8Array, at: number, value: Cbor): number {
  if (typeof value === 'number') return writeHead(out, at, MAJOR.uint, value)
  if (value instanceof Uint8Array) return writeString(out, at, MAJOR.bytes, value)
  if (typeof value === 'string') return writeString(out, at, MAJOR.text, toUtf8(value))
  let next = writeHead(out, at, MAJOR.array, value.length)
  for (const item of value) next = write(out, next, item)
  return next
}

function writeString(out: Uint8Array, at: number, major: number, bytes: Uint8Array): number {
  const start = writeHead(out, at, major, bytes.length)
  out.set(bytes, start)
  return start + bytes.length
}

function writeHead(out: Uint8Array, at: number, major: number, argument: number): number {
  const size = headSize(argument)
  if (size === 1) {
    out[at] = major * 32 + argument
    return at + 1
  }
  out[at] = major * 32 + 24 + Math.log2(size - 1)
  let rest = argument
  for (let i = at + size - 1; i > at; i--) {
    out[i] = rest % 256
    rest = Math.floor(rest / 256)
  }
  return at + size
}

function assertUint(value: number): number {
  if (!Number.isSafeInteger(value) || value < 0 || Object.is(value, -0)) {
    throw new TypeError('value: expected integers from 0 to 2^53-1')
  }
  return value
}

// -- Reading ------------------------------------------------------------------------------------------------------

class Reader {
  readonly #bytes: Uint8Array
  #itemsLeft: number
  at = 0

  constructor(bytes: Uint8Array, maxItems: number) {
    this.#bytes = bytes
    this.#itemsLeft = maxItems
  }

  item(depth: number): Cbor {
    if (depth > MAX_DEPTH) throw new RangeError('nested too deeply')
    if (this.#itemsLeft-- <= 0) throw new RangeError('too many items')
    const initial = this.#byte()
    const argument = this.#argument(initial % 32)
    switch (Math.floor(initial / 32)) {
      case MAJOR.uint:
        return argument
      case MAJOR.bytes:
        return this.#take(argument).slice()
      case MAJOR.text:
        return this.#text(argument)
      case MAJOR.array:
        return this.#array(argument, depth)
      default:
        throw new RangeError('an item of another type')
    }
  }

  #array(length: number, depth: number): Cbor[] {
    // Every item has a byte at least: what is claimed beyond that is not allocated.
    if (length > this.#bytes.length - this.at) throw new RangeError('truncated')
    const items: Cbor[] = []
    for (let i = 0; i < length; i++) items.push(this.item(depth + 1))
    return items
  }

  #text(length: number): string {
    try {
      return fromUtf8(this.#take(length))
    } catch {
      throw new RangeError('text that is not UTF-8')
    }
  }

  #argument(info: number): number {
    if (info < 24) return info
    if (info > 27) throw new RangeError('an indefinite or reserved length')
    const size = 2 ** (info - 24)
    let argument = 0
    for (let i = 0; i < size; i++) argument = argument * 256 + this.#byte()
    if (headSize(argument) !== size + 1 || !Number.isSafeInteger(argument)) {
      throw new RangeError('an integer with a shorter spelling, or beyond 2^53-1')
    }
    return argument
  }

  #byte(): number {
    const byte = this.#bytes[this.at]
    if (byte === undefined) throw new RangeError('truncated')
    this.at++
    return byte
  }

  #take(length: number): Uint8Array {
    if (length > this.#bytes.length - this.at) throw new RangeError('truncated')
    this.at += length
    return this.#bytes.subarray(this.at - length, this.at)
  }
}
