import { describe, expect, it } from 'vitest'
import { boundedCache } from '../../src/crypto/bounded-cache.ts'

describe('a bounded cache', () => {
  it('makes a value once and hands out the same one', () => {
    const cache = boundedCache<object>(2)
    const first = cache.get('a', () => ({}))
    expect(cache.get('a', () => ({}))).toBe(first)
    cache.delete('a')
    expect(cache.get('a', () => ({}))).not.toBe(first)
  })

  it('forgets what was used longest ago, however many keys it is shown', () => {
    const cache = boundedCache<number>(3)
    const makes = new Map<string, number>()
    const use = (key: string) => cache.get(key, () => makes.set(key, (makes.get(key) ?? 0) + 1).size)
    for (const key of ['a', 'b', 'c', 'a', 'd', 'a']) use(key)
    expect(makes.get('a')).toBe(1)
    use('b')
    expect(makes.get('b')).toBe(2)
    for (let i = 0; i < 100; i++) use(`new ${i}`)
    use('a')
    expect(makes.get('a')).toBe(2)
  })

  it('holds nothing where making failed, and holds undefined and null as values', () => {
    const cache = boundedCache<null>(2)
    const fail = () => {
      throw new Error('no')
    }
    expect(() => cache.get('a', fail)).toThrow('no')
    expect(cache.get('a', () => null)).toBe(null)
    expect(cache.get('a', fail)).toBe(null)
  })
})
