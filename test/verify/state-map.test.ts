import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compareBytes, toHex } from '../../src/bytes.ts'
import { sha256 } from '../../src/crypto/hash.ts'
import { deleteAt, emptyMap, entriesOf, getAt, mapRoot, mapSize, setAt, stubMap } from '../../src/verify/state-map.ts'
import {
  anyDelete,
  anyKey,
  anySet,
  anyValue,
  applyToMap,
  applyToModel,
  hashValue,
  mapOf,
  naiveStateRoot,
  type Operation,
  type Value,
} from './naive-state.ts'

const empty = emptyMap(hashValue)
const anyHistory = fc.array(fc.oneof({ weight: 3, arbitrary: anySet }, { weight: 2, arbitrary: anyDelete }), {
  maxLength: 40,
})
const rootHex = (operations: readonly Operation[]): string => toHex(mapRoot(applyToMap(empty, operations)))

describe('the state root', () => {
  it('gives the known answers', () => {
    // Values are hashed as they stand here: the vectors come from another implementation.
    const known = (count: number): string => {
      let map = emptyMap<Uint8Array>(value => value)
      for (let i = 0; i < count; i++) map = setAt(map, sha256(Uint8Array.of(i)), sha256(Uint8Array.of(i, i)))
      return toHex(mapRoot(map))
    }
    expect(known(0)).toBe('0'.repeat(64))
    expect(known(1)).toBe('3fa13040794802ef854096500f3ea3b85b4301b0ece339e91ed7c836185b4832')
    expect(known(2)).toBe('2c4991d59be83bcd6aca147c3ebb22bffd7ac0e0b0ff0a21298d4cbf40453211')
    expect(known(5)).toBe('d63d3862b0036d5ab363559543590f9b5e809b7efdf0c0e2e8bf10e372481e82')
  })

  it('gives the known answer for two keys that differ in the last of 256 bits', () => {
    const twin = new Uint8Array(32)
    twin[31] = 1
    const map = mapOf([
      [new Uint8Array(32), Uint8Array.of(0x61)],
      [twin, Uint8Array.of(0x62)],
    ])
    expect(toHex(mapRoot(map))).toBe('34880ccbca38fa4f619fe7a076848d9503a57200038d267c448999d9e644b083')
  })

  it('is that of the definition, whatever the history', () => {
    fc.assert(
      fc.property(anyHistory, history => {
        const model = applyToModel(new Map(), history)
        expect(rootHex(history)).toBe(toHex(naiveStateRoot(model)))
      }),
      { numRuns: 150 },
    )
  })

  it('does not depend on the order of sets, nor on keys that came and went', () => {
    const cases = fc
      .uniqueArray(fc.tuple(anyKey, anyValue), { selector: ([key]) => toHex(key), maxLength: 25 })
      .chain(entries =>
        fc.tuple(fc.constant(entries), fc.shuffledSubarray(entries, { minLength: entries.length }), anyHistory),
      )
    fc.assert(
      fc.property(cases, ([entries, shuffled, detour]) => {
        const sets = (list: typeof entries): Operation[] => list.map(([key, value]) => ({ type: 'set', key, value }))
        const undone = detour.map(({ key }): Operation => ({ type: 'delete', key }))
        expect(rootHex([...detour, ...undone, ...sets(shuffled)])).toBe(rootHex(sets(entries)))
      }),
      { numRuns: 100 },
    )
  })

  it('differs between a key with its value and the two exchanged', () => {
    const [a, b] = [sha256(Uint8Array.of(1)), sha256(Uint8Array.of(2))]
    const identity = emptyMap<Uint8Array>(value => value)
    expect(mapRoot(setAt(identity, a, b))).not.toEqual(mapRoot(setAt(identity, b, a)))
  })
})

describe('the map', () => {
  it('finds what was set last, in ascending order, and nothing else', () => {
    fc.assert(
      fc.property(anyHistory, fc.array(anyKey), (history, probes) => {
        const map = applyToMap(empty, history)
        const model = applyToModel(new Map(), history)
        expect(mapSize(map)).toBe(model.size)
        expect([...entriesOf(map)].map(([key]) => toHex(key))).toEqual([...model.keys()].sort())
        for (const [key, value] of entriesOf(map)) expect(value).toBe(model.get(toHex(key)))
        for (const key of probes) expect(getAt(map, key)).toBe(model.get(toHex(key)))
      }),
      { numRuns: 100 },
    )
  })

  it('is not changed by updates of it', () => {
    fc.assert(
      fc.property(anyHistory, anyHistory, (before, after) => {
        const map = applyToMap(empty, before)
        const entries = [...entriesOf(map)]
        // The first time the root is asked for after the updates: the hash must not have been taken from them.
        mapRoot(applyToMap(map, after))
        expect([...entriesOf(map)]).toEqual(entries)
        expect(toHex(mapRoot(map))).toBe(toHex(naiveStateRoot(applyToModel(new Map(), before))))
      }),
      { numRuns: 60 },
    )
  })

  it('is the same object where nothing changes', () => {
    const [key, value] = [sha256(Uint8Array.of(1)), Uint8Array.of(1)]
    const map = mapOf([
      [key, value],
      [sha256(Uint8Array.of(2)), value],
    ])
    expect(setAt(map, key, value)).toBe(map)
    expect(deleteAt(map, sha256(Uint8Array.of(3)))).toBe(map)
    expect(deleteAt(empty, key)).toBe(empty)
  })

  it('hashes each node once: an update costs its path', () => {
    let hashed = 0
    let map = emptyMap<Value>(value => {
      hashed++
      return sha256(value)
    })
    const keys = Array.from({ length: 500 }, (_, i) => sha256(Uint8Array.of(i & 255, i >> 8)))
    for (const key of keys) map = setAt(map, key, key)
    mapRoot(map)
    expect(hashed).toBe(500)
    mapRoot(setAt(map, keys[77] as Uint8Array, Uint8Array.of(1)))
    mapRoot(map)
    expect(hashed).toBe(501)
  })

  it('orders entries as their keys, bytes unsigned', () => {
    const keys = [0, 1, 0x7f, 0x80, 0xff].map(byte => new Uint8Array(32).fill(byte))
    const map = mapOf([...keys].reverse().map(key => [key, key] as const))
    expect([...entriesOf(map)].map(([key]) => key)).toEqual([...keys].sort(compareBytes))
  })

  it('refuses keys and hashes of other lengths', () => {
    const short = new Uint8Array(31)
    expect(() => getAt(empty, short)).toThrow(TypeError)
    expect(() => setAt(empty, short, short)).toThrow(TypeError)
    expect(() => deleteAt(empty, new Uint8Array(33))).toThrow(TypeError)
    expect(() => stubMap(short, hashValue)).toThrow(TypeError)
    const careless = setAt(
      emptyMap<Uint8Array>(value => value),
      new Uint8Array(32),
      short,
    )
    expect(() => mapRoot(careless)).toThrow(TypeError)
  })
})

describe('a map of which only the root is known', () => {
  const root = sha256(Uint8Array.of(1))
  const stub = stubMap(root, hashValue)
  const key = new Uint8Array(32)

  it('has that root, and answers nothing', () => {
    expect(mapRoot(stub)).toEqual(root)
    expect(() => getAt(stub, key)).toThrow('ERR_PROOF')
    expect(() => setAt(stub, key, key)).toThrow('ERR_PROOF')
    expect(() => deleteAt(stub, key)).toThrow('ERR_PROOF')
    expect(() => mapSize(stub)).toThrow('ERR_PROOF')
    expect(() => [...entriesOf(stub)]).toThrow('ERR_PROOF')
  })

  it('is the empty map where the root says so', () => {
    const nothing = stubMap(new Uint8Array(32), hashValue)
    expect(mapSize(nothing)).toBe(0)
    expect(getAt(nothing, key)).toBeUndefined()
    expect(mapRoot(setAt(nothing, key, key))).toEqual(mapRoot(setAt(empty, key, key)))
  })
})
