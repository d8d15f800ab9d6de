import { deflateRawSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, equalBytes, toUtf8 } from '../../src/bytes.ts'
import { ByteReader, isLeb128 } from '../../src/crdt/guard/byte-reader.ts'
import { encodeNumbers, pushInt, pushUint } from '../../src/crdt/guard/column-writer.ts'
import { decodeNumbers, NULL } from '../../src/crdt/guard/columns.ts'
import { inflate } from '../../src/crdt/guard/inflate.ts'
import { decodeText, isUtf8 } from '../../src/crdt/guard/utf8.ts'
import { verdict } from './guard-support.ts'

const SAFE = { min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER }
const bytesOf = (write: (out: number[]) => void): Uint8Array => {
  const out: number[] = []
  write(out)
  return Uint8Array.from(out)
}

describe('LEB128', () => {
  it('every safe integer has one spelling, which is read back', () => {
    fc.assert(
      fc.property(fc.integer(SAFE), value => {
        const signed = bytesOf(out => pushInt(out, value))
        expect(new ByteReader(signed).int()).toBe(value)
        expect(isLeb128(signed, 0, signed.length, true)).toBe(true)
        const unsigned = bytesOf(out => pushUint(out, Math.abs(value)))
        expect(new ByteReader(unsigned).uint()).toBe(Math.abs(value))
        expect(isLeb128(unsigned, 0, unsigned.length, false)).toBe(true)
      }),
    )
  })

  it('longer spellings and larger numbers are refused', () => {
    const read = (kind: 'int' | 'uint', ...bytes: number[]): string =>
      verdict(() => new ByteReader(Uint8Array.from(bytes))[kind]())
    expect(read('uint', 0x80, 0)).toBe('integer')
    expect(read('uint', 0xff, 0x80, 0)).toBe('integer')
    expect(read('uint', 0xff)).toBe('truncated')
    expect(read('uint', ...new Array(7).fill(0xff), 0x0f)).toBe('accepted')
    expect(read('uint', ...new Array(7).fill(0xff), 0x1f)).toBe('integer')
    expect(read('uint', ...new Array(1000).fill(0xff), 1)).toBe('integer')
    expect(read('int', 0x80, 0)).toBe('integer')
    expect(read('int', 0xff, 0x7f)).toBe('integer')
    expect(read('int', 0xbf, 0)).toBe('integer')
    expect(read('int', 0xbf, 0x7f)).toBe('accepted')
    expect(read('int', ...new Array(1000).fill(0xff), 1)).toBe('integer')
  })
})

describe('run-length encoding', () => {
  const column = fc.array(fc.oneof(fc.constant(NULL), fc.nat(3), fc.nat(1000)), { maxLength: 40 })

  it('what is written is read back, and nothing else is read as the same', () => {
    fc.assert(
      fc.property(column, fc.boolean(), fc.nat(), fc.nat(255), (values, delta, at, byte) => {
        const written = encodeNumbers(values, delta)
        if (values.every(value => value === NULL)) {
          expect(written.length).toBe(0)
          return
        }
        const format = { delta, nullable: true, min: 0, max: 1000 }
        const decode = (bytes: Uint8Array): number[] => [...decodeNumbers(bytes, new Int32Array(values.length), format)]
        expect(decode(written)).toEqual(values)
        const other = written.slice()
        other[at % written.length] = byte
        let read: number[] | undefined
        const seen = verdict(() => {
          read = decode(other)
        })
        if (seen === 'accepted') expect(encodeNumbers(read ?? [], delta)).toEqual(other)
      }),
    )
  })

  it('two spellings of one column are never both accepted', () => {
    const format = { delta: false, nullable: true, min: 0, max: 1000 }
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 12 }), fc.nat(6), (bytes, rows) => {
        let read: Int32Array | undefined
        const seen = verdict(() => {
          read = decodeNumbers(bytes, new Int32Array(rows), format)
        })
        if (seen === 'accepted') expect(encodeNumbers(read ?? [], false)).toEqual(bytes)
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('inflate', () => {
  it('agrees with zlib on every level, and with stored blocks', () => {
    const text = fc.array(fc.constantFrom('lorem ', 'ipsum ', 'x', '\u{1f600}'), { maxLength: 400 })
    fc.assert(
      fc.property(
        fc.oneof(
          text.map(words => toUtf8(words.join(''))),
          fc.uint8Array({ maxLength: 2000 }),
        ),
        data => {
          for (const level of [0, 1, 6, 9]) {
            const packed = new Uint8Array(deflateRawSync(data, { level }))
            expect(inflate(packed, data.length)).toEqual(data)
          }
        },
      ),
      { numRuns: 60 },
    )
  })

  it('inflates what needs long codes, long distances and several blocks', () => {
    const data = new Uint8Array(300_000)
    for (let i = 0; i < data.length; i++) data[i] = (i * i * 31 + (i >> 7)) % (i % 5 === 0 ? 251 : 7)
    data.copyWithin(270_000, 238_000, 260_000)
    expect(equalBytes(inflate(new Uint8Array(deflateRawSync(data)), data.length), data)).toBe(true)
  })

  it('stops at the bound', () => {
    const packed = new Uint8Array(deflateRawSync(new Uint8Array(1000)))
    expect(inflate(packed, 1000).length).toBe(1000)
    expect(verdict(() => inflate(packed, 999))).toBe('too-large')
    const stored = new Uint8Array(deflateRawSync(new Uint8Array(1000), { level: 0 }))
    expect(verdict(() => inflate(stored, 999))).toBe('too-large')
  })

  it('refuses bytes behind the stream, an early end, and what is no deflate at all', () => {
    const packed = new Uint8Array(deflateRawSync(toUtf8('some text that is packed, some text')))
    expect(verdict(() => inflate(concat(packed, Uint8Array.of(0)), 100))).toBe('inflate')
    for (let end = 0; end < packed.length; end++) {
      expect(verdict(() => inflate(packed.subarray(0, end), 100))).toBe('inflate')
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), bytes => {
        const limit = 10_000
        let length = 0
        const seen = verdict(() => {
          length = inflate(bytes, limit).length
        })
        expect(['accepted', 'inflate', 'too-large']).toContain(seen)
        expect(length).toBeLessThanOrEqual(limit)
      }),
      { numRuns: 2_000 },
    )
  })

  it('many tiny blocks with full code tables cost no more than their bytes are worth', () => {
    const block = new Uint8Array(
      deflateRawSync(toUtf8(Array.from({ length: 300 }, (_, i) => String.fromCharCode(32 + (i % 90))).join(''))),
    )
    const start = performance.now()
    for (let i = 0; i < 2_000; i++) inflate(block, 1000)
    expect(performance.now() - start).toBeLessThan(3_000)
  })
})

describe('UTF-8', () => {
  it('the same verdict as the platform, byte order mark and all', () => {
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
    const odd = fc.uint8Array({ maxLength: 8 })
    const text = fc.string({ unit: 'binary', maxLength: 40 }).map(toUtf8)
    fc.assert(
      fc.property(fc.oneof(odd, text, fc.constant(toUtf8('\u{feff}x'))), bytes => {
        let expected: string | undefined
        try {
          expected = decoder.decode(bytes)
        } catch {
          expected = undefined
        }
        expect(isUtf8(bytes, 0, bytes.length)).toBe(expected !== undefined)
        let decoded: string | undefined
        const seen = verdict(() => {
          decoded = decodeText(bytes)
        })
        expect(seen).toBe(expected === undefined ? 'utf8' : 'accepted')
        expect(decoded).toBe(expected)
      }),
      { numRuns: 1_000 },
    )
  })
})
