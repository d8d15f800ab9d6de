import fc from 'fast-check'
import { concat, toHex } from '../../src/bytes.ts'
import { sha256 } from '../../src/crypto/hash.ts'
import { deleteAt, emptyMap, type StateMap, setAt } from '../../src/verify/state-map.ts'

/** A value is some bytes, and its commitment their SHA-256. */
export type Value = Uint8Array
export const hashValue = (value: Value): Uint8Array => sha256(value)

/** Entries by key in hex: what a state map is compared with. */
export type Model = ReadonlyMap<string, Value>

/** The definition of DESIGN §5.2 over all entries at once, on strings of bits. */
export function naiveStateRoot(model: Model): Uint8Array {
  const bits = [...model].map(([key, value]) => ({ key, value, path: bitString(key) }))
  const subtree = (entries: typeof bits, depth: number): Uint8Array => {
    const [only] = entries
    if (only === undefined) return new Uint8Array(32)
    if (entries.length === 1) return sha256(concat(Uint8Array.of(0), bytesOf(only.key), sha256(only.value)))
    const side = (bit: string): Uint8Array =>
      subtree(
        entries.filter(({ path }) => path[depth] === bit),
        depth + 1,
      )
    return sha256(concat(Uint8Array.of(1), side('0'), side('1')))
  }
  return subtree(bits, 0)
}

function bitString(hex: string): string {
  return [...hex].map(digit => Number.parseInt(digit, 16).toString(2).padStart(4, '0')).join('')
}

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], pair => Number.parseInt(pair, 16))
}

/** Keys that collide in few bits, in many, and in all but the last: shared prefixes of every length. */
export const anyKey: fc.Arbitrary<Uint8Array> = fc
  .record({ first: fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), middle: fc.constantFrom(0, 1), last: fc.nat({ max: 3 }) })
  .map(({ first, middle, last }) => {
    const key = new Uint8Array(32)
    key[0] = first
    key[16] = middle
    key[31] = last
    return key
  })

export const anyValue: fc.Arbitrary<Value> = fc.nat({ max: 5 }).map(byte => Uint8Array.of(byte))

export type Operation =
  | { readonly type: 'set'; readonly key: Uint8Array; readonly value: Value }
  | { readonly type: 'delete'; readonly key: Uint8Array }

export const anySet: fc.Arbitrary<Operation> = fc.record({
  type: fc.constant('set' as const),
  key: anyKey,
  value: anyValue,
})
export const anyDelete: fc.Arbitrary<Operation> = fc.record({ type: fc.constant('delete' as const), key: anyKey })

export function applyToMap(map: StateMap<Value>, operations: readonly Operation[]): StateMap<Value> {
  return operations.reduce((now, op) => (op.type === 'set' ? setAt(now, op.key, op.value) : deleteAt(now, op.key)), map)
}

export function applyToModel(model: Model, operations: readonly Operation[]): Model {
  const now = new Map(model)
  for (const op of operations) {
    if (op.type === 'set') now.set(toHex(op.key), op.value)
    else now.delete(toHex(op.key))
  }
  return now
}

export function mapOf(entries: Iterable<readonly [Uint8Array, Value]>): StateMap<Value> {
  let map = emptyMap(hashValue)
  for (const [key, value] of entries) map = setAt(map, key, value)
  return map
}
