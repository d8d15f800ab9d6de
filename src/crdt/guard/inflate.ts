import { refuse } from './rules.ts'

/** Codes up to this length are looked up in one step; longer ones are rare, and a bigger table would make tiny hostile blocks expensive. */
const FAST_BITS = 9
const MAX_BITS = 15
const CODE_LENGTH_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]
const LENGTH_BASE: number[] = [
  3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258,
]
const LENGTH_EXTRA: number[] = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0]
const DISTANCE_BASE: number[] = [
  1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145,
  8193, 12289, 16385, 24577,
]
const DISTANCE_EXTRA: number[] = [
  0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13,
]

/** A canonical Huffman code (RFC 1951 §3.2.2). */
interface Huffman {
  /** By the next FAST_BITS bits: symbol << 4 | length; 0 where the code is longer or none. */
  readonly fast: Uint16Array
  /** How many codes of each length. */
  readonly counts: Uint16Array
  /** Symbols in order of their codes. */
  readonly symbols: Uint16Array
}

/**
 * Inflates one raw deflate stream (RFC 1951) that fills `input` exactly, and stops at the bound, not after it:
 * the platform's own inflaters are asynchronous, or unbounded, or both.
 * @param limit largest acceptable output in bytes
 * @throws SealogError ERR_GUARD inflate, too-large
 */
export function inflate(input: Uint8Array, limit: number): Uint8Array {
  let output = new Uint8Array(Math.min(limit, Math.max(256, input.length * 4)))
  let written = 0
  let position = 0
  let bits = 0
  let bitCount = 0

  function need(count: number): void {
    while (bitCount < count) {
      if (position >= input.length) refuse('inflate', 'stream ends early')
      bits |= (input[position++] as number) << bitCount
      bitCount += 8
    }
  }
  function take(count: number): number {
    if (count === 0) return 0
    need(count)
    const value = bits & ((1 << count) - 1)
    bits >>>= count
    bitCount -= count
    return value
  }
  function reserve(count: number): void {
    const size = written + count
    if (size <= output.length) return
    if (size > limit) refuse('too-large', 'inflated data')
    const grown = new Uint8Array(Math.min(limit, Math.max(size, output.length * 2)))
    grown.set(output.subarray(0, written))
    output = grown
  }
  function symbol(code: Huffman): number {
    // Near the end there may be fewer bits than the fast table wants; missing ones count as zero and are checked below.
    while (bitCount < FAST_BITS && position < input.length) {
      bits |= (input[position++] as number) << bitCount
      bitCount += 8
    }
    const hit = code.fast[bits & ((1 << FAST_BITS) - 1)] as number
    const length = hit & 15
    if (hit !== 0 && length <= bitCount) {
      bits >>>= length
      bitCount -= length
      return hit >> 4
    }
    let value = 0
    let first = 0
    let index = 0
    for (let size = 1; size <= MAX_BITS; size++) {
      value |= take(1)
      const count = code.counts[size] as number
      if (value - count < first) return code.symbols[index + (value - first)] as number
      index += count
      first = (first + count) << 1
      value <<= 1
    }
    return refuse('inflate', 'unknown code')
  }
  function stored(): void {
    // Give back what was read ahead; a stored block starts at the next byte boundary.
    position -= bitCount >> 3
    bits = 0
    bitCount = 0
    if (position + 4 > input.length) refuse('inflate', 'stream ends early')
    const length = (input[position] as number) | ((input[position + 1] as number) << 8)
    const complement = (input[position + 2] as number) | ((input[position + 3] as number) << 8)
    position += 4
    if ((length ^ complement) !== 0xffff) refuse('inflate', 'stored length')
    if (position + length > input.length) refuse('inflate', 'stream ends early')
    reserve(length)
    output.set(input.subarray(position, position + length), written)
    position += length
    written += length
  }
  function compressed(literals: Huffman, distances: Huffman): void {
    for (;;) {
      const code = symbol(literals)
      if (code < 256) {
        reserve(1)
        output[written++] = code
        continue
      }
      if (code === 256) return
      if (code > 285) refuse('inflate', 'length code')
      const length = (LENGTH_BASE[code - 257] as number) + take(LENGTH_EXTRA[code - 257] as number)
      const distanceCode = symbol(distances)
      if (distanceCode > 29) refuse('inflate', 'distance code')
      const distance = (DISTANCE_BASE[distanceCode] as number) + take(DISTANCE_EXTRA[distanceCode] as number)
      if (distance > written) refuse('inflate', 'distance too far')
      reserve(length)
      // Byte by byte: source and target overlap where the distance is shorter than the length.
      for (let i = 0; i < length; i++) output[written + i] = output[written + i - distance] as number
      written += length
    }
  }
  function dynamic(): void {
    const literalCount = take(5) + 257
    const distanceCount = take(5) + 1
    const codeCount = take(4) + 4
    if (literalCount > 286 || distanceCount > 30) refuse('inflate', 'code counts')
    const lengths = new Uint8Array(literalCount + distanceCount)
    const codeLengths = new Uint8Array(19)
    for (let i = 0; i < codeCount; i++) codeLengths[CODE_LENGTH_ORDER[i] as number] = take(3)
    const code = huffman(codeLengths, false)
    let filled = 0
    while (filled < lengths.length) {
      const next = symbol(code)
      if (next < 16) {
        lengths[filled++] = next
        continue
      }
      if (next === 16 && filled === 0) refuse('inflate', 'nothing to repeat')
      const value = next === 16 ? (lengths[filled - 1] as number) : 0
      const repeat = next === 16 ? 3 + take(2) : next === 17 ? 3 + take(3) : 11 + take(7)
      if (filled + repeat > lengths.length) refuse('inflate', 'too many code lengths')
      lengths.fill(value, filled, filled + repeat)
      filled += repeat
    }
    if (lengths[256] === 0) refuse('inflate', 'no end of block')
    compressed(huffman(lengths.subarray(0, literalCount), false), huffman(lengths.subarray(literalCount), true))
  }

  let last: number
  do {
    last = take(1)
    const type = take(2)
    if (type === 0) stored()
    else if (type === 1) compressed(...fixed())
    else if (type === 2) dynamic()
    else refuse('inflate', 'block type')
  } while (last === 0)
  if (position !== input.length || bitCount >= 8) refuse('inflate', 'bytes after the stream')
  return output.subarray(0, written)
}

/** @param mayBeIncomplete distance codes of a block with at most one distance are */
function huffman(lengths: Uint8Array, mayBeIncomplete: boolean): Huffman {
  const counts = new Uint16Array(MAX_BITS + 1)
  for (const length of lengths) if (length > 0) counts[length] = (counts[length] as number) + 1
  const offsets = new Uint16Array(MAX_BITS + 2)
  const nextCode = new Uint16Array(MAX_BITS + 2)
  let left = 1
  let used = 0
  for (let length = 1; length <= MAX_BITS; length++) {
    const count = counts[length] as number
    left = left * 2 - count
    if (left < 0) refuse('inflate', 'over-subscribed code')
    used += count
    offsets[length + 1] = used
    nextCode[length + 1] = ((nextCode[length] as number) + count) << 1
  }
  if (left > 0 && !(mayBeIncomplete && used <= 1)) refuse('inflate', 'incomplete code')
  const symbols = new Uint16Array(used)
  const fast = new Uint16Array(1 << FAST_BITS)
  for (let symbol = 0; symbol < lengths.length; symbol++) {
    const length = lengths[symbol] as number
    if (length === 0) continue
    symbols[offsets[length] as number] = symbol
    offsets[length] = (offsets[length] as number) + 1
    const code = nextCode[length] as number
    nextCode[length] = code + 1
    if (length > FAST_BITS) continue
    // Deflate sends a code's first bit first, so that the table is indexed by the reversed code.
    let reversed = 0
    for (let bit = 0; bit < length; bit++) reversed |= ((code >> bit) & 1) << (length - 1 - bit)
    for (let i = reversed; i < fast.length; i += 1 << length) fast[i] = (symbol << 4) | length
  }
  return { fast, counts, symbols }
}

let fixedCodes: [Huffman, Huffman] | undefined

function fixed(): [Huffman, Huffman] {
  if (fixedCodes === undefined) {
    const literals = new Uint8Array(288).fill(8).fill(9, 144, 256).fill(7, 256, 280)
    fixedCodes = [huffman(literals, false), huffman(new Uint8Array(32).fill(5), false)]
  }
  return fixedCodes
}
