import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { nextGroup, type Waiting } from '../src/push-queue.ts'

interface Item extends Waiting {
  readonly name: string
}

const push = (name: string, entries = 1, bytes = entries): Item => ({
  name,
  by: name[0],
  entries,
  bytes,
  isControl: false,
})
const barrier = (name: string): Item => ({ name, by: undefined, entries: 0, bytes: 0, isControl: false })
const waitingFor = (name: string, by: string): Item => ({ ...barrier(name), waitsFor: push => push.by === by })
const names = (items: readonly Item[]): string => items.map(item => item.name).join(' ')

function split(items: readonly Item[], entries: number, bytes = 1000): [string, string] {
  const { group, rest } = nextGroup(items, { entries, bytes })
  return [names(group), names(rest)]
}

describe('the next group of a space', () => {
  test('is everything, in order, where it fits', () => {
    expect(split([push('a1'), barrier('|'), push('b1'), push('a2')], 10)).toEqual(['a1 | b1 a2', ''])
    expect(split([], 10)).toEqual(['', ''])
  })

  test('begins with the first push of everyone, however many one author has before them', () => {
    const flood = [push('a1'), push('a2'), push('a3'), push('a4'), push('b1'), push('c1')]
    expect(split(flood, 3)).toEqual(['a1 b1 c1', 'a2 a3 a4'])
    expect(split(flood, 4)).toEqual(['a1 a2 b1 c1', 'a3 a4'])
  })

  test('is bounded by entries and by bytes, but for its first push', () => {
    expect(split([push('a1', 5), push('b1')], 3)).toEqual(['a1', 'b1'])
    expect(split([push('a1', 1, 2000), push('b1')], 3)).toEqual(['a1', 'b1'])
    expect(split([push('a1', 1, 600), push('b1', 1, 600)], 3)).toEqual(['a1', 'b1'])
  })

  test('takes what is no push once all pushes before it go', () => {
    expect(split([push('a1'), push('a2'), barrier('|'), push('b1')], 2)).toEqual(['a1 b1', 'a2 |'])
    expect(split([barrier('|'), push('a1'), push('a2'), barrier('‖')], 1)).toEqual(['| a1', 'a2 ‖'])
    expect(split([barrier('|'), barrier('‖')], 1)).toEqual(['| ‖', ''])
  })

  test('takes what is no push without the pushes that it does not wait for, however many these are', () => {
    const flood = [push('a1'), push('a2'), push('a3'), push('b1')]
    expect(split([...flood, waitingFor('?', 'c')], 1)).toEqual(['a1 ?', 'a2 a3 b1'])
    expect(split([...flood, waitingFor('?', 'b')], 1)).toEqual(['a1', 'a2 a3 b1 ?'])
    expect(split([...flood, waitingFor('?', 'b')], 2)).toEqual(['a1 b1 ?', 'a2 a3'])
    // What comes behind it is not what it asked about.
    expect(split([waitingFor('?', 'b'), ...flood], 1)).toEqual(['? a1', 'a2 a3 b1'])
  })

  test('lets what waits for nothing pass what waits for everything', () => {
    expect(split([push('a1'), push('a2'), barrier('|'), waitingFor('?', 'c')], 1)).toEqual(['a1 ?', 'a2 |'])
  })

  test('keeps the order of each author and of what is no push, loses nothing, and always gets on', () => {
    const item = fc.record({ by: fc.constantFrom('a', 'b', 'c', undefined), entries: fc.integer({ min: 0, max: 9 }) })
    fc.assert(
      fc.property(fc.array(item, { maxLength: 30 }), fc.integer({ min: 1, max: 12 }), (items, limit) => {
        let queue: readonly (Waiting & { id: number })[] = items.map((each, id) => ({
          ...each,
          bytes: 0,
          isControl: false,
          id,
        }))
        const done: number[] = []
        while (queue.length > 0) {
          const { group, rest } = nextGroup(queue, { entries: limit, bytes: 0 })
          expect(group.length).toBeGreaterThan(0)
          done.push(...group.map(each => each.id))
          queue = rest
        }
        expect([...done].sort((a, b) => a - b)).toEqual(items.map((_, id) => id))
        const placeOf = (id: number): number => done.indexOf(id)
        for (const [later, { by }] of items.entries()) {
          for (let earlier = 0; earlier < later; earlier++) {
            // Pushes of one author, and whatever came before something that is no push.
            if (items[earlier]?.by === by || by === undefined) expect(placeOf(earlier)).toBeLessThan(placeOf(later))
          }
        }
      }),
      { numRuns: 200 },
    )
  })
})
