import { describe, expect, it } from 'vitest'
import { concat, fromHex, toHex, toUtf8 } from '../../src/bytes.ts'
import { type Cbor, decodeCbor, encodeCbor } from '../../src/codec.ts'
import { sha256 } from '../../src/crypto/hash.ts'
import { documentIdOf } from '../../src/ids.ts'
import {
  actorOf,
  decodeHeader,
  encodeHeader,
  entryHash,
  entrySigningInput,
  type Header,
  headerContext,
  MAX_HEADER_LENGTH,
} from '../../src/verify/entry.ts'
import { verdictOf } from '../helpers/log-builder.ts'

const fill = (length: number, byte: number): Uint8Array => new Uint8Array(length).fill(byte)

const HEADER: Header = {
  space: fill(32, 0x11),
  document: documentIdOf(fill(16, 0x22)),
  device: 3,
  incarnation: fill(8, 0x33),
  seq: 500,
  prev: fill(32, 0x44),
  seenSize: 70_000,
  seenRoot: fill(32, 0x55),
  epoch: 0,
  kind: 'changes',
  tag: fill(32, 0x66),
  bodyHash: fill(32, 0x77),
  bodyLength: 4_000_000,
}

/** Written by hand from the CDDL: array of 14, then each field. */
const ENCODED = [
  '8e', // array(14)
  '01', // version
  `5820${'11'.repeat(32)}`,
  `50${'22'.repeat(16)}`,
  '03', // device
  `48${'33'.repeat(8)}`,
  '1901f4', // seq 500
  `5820${'44'.repeat(32)}`,
  '1a00011170', // seenSize 70,000
  `5820${'55'.repeat(32)}`,
  '00', // epoch
  '00', // kind
  `5820${'66'.repeat(32)}`,
  `5820${'77'.repeat(32)}`,
  '1a003d0900', // bodyLength 4,000,000
].join('')

/** The header with the items at some places replaced. */
function changed(replaced: Readonly<Record<number, Cbor>>): Uint8Array {
  const items = [...(decodeCbor(fromHex(ENCODED), MAX_HEADER_LENGTH) as Cbor[])]
  for (const [place, item] of Object.entries(replaced)) items[Number(place)] = item
  return encodeCbor(items)
}

const decode = (bytes: Uint8Array): Promise<string> => verdictOf(() => decodeHeader(bytes))

describe('a header (R-ENTRY-1)', () => {
  it('is the known answer, byte for byte', () => {
    expect(toHex(encodeHeader(HEADER))).toBe(ENCODED)
    expect(decodeHeader(fromHex(ENCODED))).toEqual(HEADER)
  })

  it.each(['changes', 'snapshot', 'import', 'retire', 'control'] as const)('of kind %s keeps its kind', kind => {
    expect(decodeHeader(encodeHeader({ ...HEADER, kind })).kind).toBe(kind)
  })

  it('with the largest of all numbers is still within its limit', () => {
    const max = Number.MAX_SAFE_INTEGER
    const header = { ...HEADER, device: max, seq: max, seenSize: max, epoch: max, bodyLength: 64 * 1024 * 1024 }
    const bytes = encodeHeader(header)
    expect(bytes.length).toBeLessThanOrEqual(MAX_HEADER_LENGTH)
    expect(decodeHeader(bytes)).toEqual(header)
  })

  it('is sealed to its body without the two fields about the body', () => {
    const context = headerContext(HEADER)
    expect(toHex(context)).toBe(`8c${ENCODED.slice(2, -(68 + 10))}`)
  })

  it.each<readonly [string, Readonly<Record<number, Cbor>>]>([
    ['a space of 31 bytes', { 1: fill(31, 1) }],
    ['a space of 33 bytes', { 1: fill(33, 1) }],
    ['a space in text', { 1: 'a'.repeat(32) }],
    ['a document of 15 bytes', { 2: fill(15, 1) }],
    ['a document of 17 bytes', { 2: fill(17, 1) }],
    ['a device that is no integer', { 3: fill(1, 1) }],
    ['an incarnation of 7 bytes', { 4: fill(7, 1) }],
    ['an incarnation of 9 bytes', { 4: fill(9, 1) }],
    ['a seq that is no integer', { 5: [] }],
    ['a prev of 31 bytes', { 6: fill(31, 1) }],
    ['a seenSize that is no integer', { 7: 'x' }],
    ['a seenRoot of 33 bytes', { 8: fill(33, 1) }],
    ['an epoch that is no integer', { 9: [0] }],
    ['a kind that is no integer', { 10: fill(1, 0) }],
    ['a tag of 0 bytes', { 11: fill(0, 0) }],
    ['a body hash of 20 bytes', { 12: fill(20, 1) }],
    ['a body longer than any may be', { 13: 64 * 1024 * 1024 + 1 }],
  ])('with %s is refused', async (_, replaced) => {
    expect(await decode(changed(replaced))).toBe('ERR_MALFORMED')
  })

  it.each([3, 5, 7, 9, 13])('with a negative number or one of 2⁵³ at place %d is refused', async place => {
    const marked = toHex(changed({ [place]: 0xabcdef }))
    expect(marked).toContain('1a00abcdef')
    expect(await decode(fromHex(marked.replace('1a00abcdef', '20')))).toBe('ERR_MALFORMED')
    expect(await decode(fromHex(marked.replace('1a00abcdef', '1b0020000000000000')))).toBe('ERR_MALFORMED')
    // A second spelling of a small number would be a second leaf hash of one header.
    expect(await decode(fromHex(marked.replace('1a00abcdef', '1803')))).toBe('ERR_MALFORMED')
  })

  it('with a field less or more, or with bytes behind it, is refused', async () => {
    const items = decodeCbor(fromHex(ENCODED), MAX_HEADER_LENGTH) as Cbor[]
    expect(await decode(encodeCbor(items.slice(0, 13)))).toBe('ERR_MALFORMED')
    expect(await decode(encodeCbor([...items, 0]))).toBe('ERR_MALFORMED')
    expect(await decode(concat(fromHex(ENCODED), Uint8Array.of(0)))).toBe('ERR_MALFORMED')
    expect(await decode(fromHex(ENCODED).slice(0, -1))).toBe('ERR_MALFORMED')
    expect(await decode(new Uint8Array(0))).toBe('ERR_MALFORMED')
    expect(await decode(encodeCbor(1))).toBe('ERR_MALFORMED')
  })

  it('longer than 320 bytes is not even decoded', async () => {
    expect(await decode(fill(MAX_HEADER_LENGTH + 1, 0))).toBe('ERR_LIMIT')
  })

  it('of a later version or kind is for a later build, and is not judged (R-UPGRADE-1)', async () => {
    expect(await decode(changed({ 0: 0 }))).toBe('ERR_UPGRADE')
    expect(await decode(changed({ 0: 2 }))).toBe('ERR_UPGRADE')
    expect(await decode(changed({ 10: 5 }))).toBe('ERR_UPGRADE')
    // Of a later version, not even the number of fields is known.
    expect(await decode(encodeCbor([2, 'whatever']))).toBe('ERR_UPGRADE')
  })
})

describe('the identity of an entry (R-ENTRY-2)', () => {
  it('is the RFC 6962 leaf hash of its header, and what the author signs', () => {
    const bytes = encodeHeader(HEADER)
    expect(entryHash(bytes)).toEqual(sha256(concat(Uint8Array.of(0), bytes)))
    expect(toHex(entryHash(bytes))).toBe('8cb00884b9687c594191893321e96d99d6f3c8484976794d2d66218fa4f3ead9')
    expect(entrySigningInput(entryHash(bytes))).toEqual(concat(toUtf8('sealog/v1/entry\0'), entryHash(bytes)))
  })

  it('changes with every bit of the header', () => {
    const bytes = encodeHeader(HEADER)
    const hashes = new Set([toHex(entryHash(bytes))])
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = bytes.slice()
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7))
      hashes.add(toHex(entryHash(flipped)))
    }
    expect(hashes.size).toBe(bytes.length * 8 + 1)
  })
})

describe('an actor id (R-ACTOR-1)', () => {
  const space = fill(32, 1)
  const document = documentIdOf(fill(16, 2))
  const device = fill(32, 3)
  const incarnation = fill(8, 4)

  it('is the known answer, of another implementation too', () => {
    const input = concat(toUtf8('sealog/v1/actor\0'), space, fill(16, 2), device, incarnation)
    expect(actorOf(space, document, device, incarnation)).toBe(toHex(sha256(input)).slice(0, 32))
    expect(actorOf(space, document, device, incarnation)).toBe('b7e17735e5e32f34d2fb4c433e9b21ff')
  })

  it('is another one for another space, document, device or incarnation', () => {
    const ids = [
      actorOf(space, document, device, incarnation),
      actorOf(fill(32, 9), document, device, incarnation),
      actorOf(space, documentIdOf(fill(16, 9)), device, incarnation),
      actorOf(space, document, fill(32, 9), incarnation),
      actorOf(space, document, device, fill(8, 9)),
    ]
    expect(new Set(ids).size).toBe(ids.length)
  })
})
