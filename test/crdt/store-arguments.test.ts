import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compareBytes } from '../../src/bytes.ts'
import { keyText, prefixEnd } from '../../src/crdt/store-arguments.ts'

// Few values, so that common beginnings, and runs of 0xff, are frequent.
const shortBytes = fc.array(fc.constantFrom(0, 1, 0xfe, 0xff), { maxLength: 4 }).map(bytes => Uint8Array.from(bytes))

test('the keys with a prefix are exactly those from the prefix up to its end', () => {
  fc.assert(
    fc.property(shortBytes, shortBytes, (prefix, key) => {
      const end = prefixEnd(prefix)
      const inRange = compareBytes(key, prefix) >= 0 && (end === undefined || compareBytes(key, end) < 0)
      expect(inRange).toBe(prefix.every((byte, i) => key[i] === byte))
    }),
    { numRuns: 2000 },
  )
})

test('keys as text are equal, and sort, as the bytes do', () => {
  fc.assert(
    fc.property(shortBytes, shortBytes, (a, b) => {
      const [x, y] = [keyText(a), keyText(b)]
      expect(x < y ? -1 : Number(x > y)).toBe(Math.sign(compareBytes(a, b)))
    }),
  )
})
