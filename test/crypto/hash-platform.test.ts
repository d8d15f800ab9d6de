import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { labelledHash, sha256 } from '../../src/crypto/hash.ts'
import { platformSha256 } from '../../src/crypto/hash-platform.ts'

type Hash = (algorithm: string, message: Uint8Array) => Uint8Array

const platform = (hash: Hash): object => ({ process: { getBuiltinModule: () => ({ hash }) } })
const right: Hash = (_, message) => nobleSha256(message)

describe('SHA-256 of the platform', () => {
  test('is Node’s where Node has it, and gives what JavaScript gives', () => {
    const own = platformSha256(globalThis)
    if (own === undefined) throw new TypeError('expected Node 20.16 or later to have it')
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5000 }), bytes => {
        expect(own(bytes)).toEqual(nobleSha256(bytes))
      }),
    )
  })

  test('gives plain bytes of its own, which nothing changes later', () => {
    const hash = sha256(Uint8Array.of(1))
    expect(Object.getPrototypeOf(hash)).toBe(Uint8Array.prototype)
    expect(hash.buffer.byteLength).toBe(32)
    const copy = hash.slice()
    hash.fill(0)
    expect(sha256(Uint8Array.of(1))).toEqual(copy)
  })

  test('is not used where there is none', () => {
    for (const none of [{}, { process: {} }, { process: { getBuiltinModule: () => undefined } }]) {
      expect(platformSha256(none)).toBeUndefined()
    }
    const throwing = { process: { getBuiltinModule: () => raise() } }
    expect(platformSha256(throwing)).toBeUndefined()
  })

  test('is not used where a single length comes out wrong, or cannot be had', () => {
    expect(platformSha256(platform(right))).toBeDefined()
    for (const length of [0, 55, 64, 215]) {
      const wrong: Hash = (name, message) => (message.length === length ? new Uint8Array(32) : right(name, message))
      expect(platformSha256(platform(wrong))).toBeUndefined()
    }
    expect(platformSha256(platform(() => raise()))).toBeUndefined()
    expect(platformSha256(platform((_, message) => nobleSha256(message).subarray(0, 31)))).toBeUndefined()
  })
})

test('several parts are hashed as one message', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 100 })), parts => {
      expect(sha256(...parts)).toEqual(nobleSha256(Uint8Array.from(parts.flatMap(part => [...part]))))
    }),
  )
  expect(labelledHash('a', Uint8Array.of(7))).toEqual(nobleSha256(Uint8Array.of(0x61, 0, 7)))
})

function raise(): never {
  throw new Error('out of memory')
}
