import { describe, expect, test } from 'vitest'
import { isWithin, parseTilePath, splitLogPath } from '../src/tiles-path.ts'

const SPACE = 'ab'.repeat(32)
const hashes = (level: number, index: number, width = 256) => ({ kind: 'hashes', level, index, width }) as const
const entries = (index: number, width = 256) => ({ kind: 'entries', index, width }) as const

describe('the paths of C2SP tlog-tiles (R-TILES-1)', () => {
  test.each([
    ['checkpoint', { kind: 'checkpoint' }],
    ['tile/0/000', hashes(0, 0)],
    ['tile/0/005.p/1', hashes(0, 5, 1)],
    ['tile/2/255.p/255', hashes(2, 255, 255)],
    ['tile/63/000', hashes(63, 0)],
    ['tile/0/x001/x234/067', hashes(0, 1_234_067)],
    ['tile/0/x001/000.p/7', hashes(0, 1000, 7)],
    ['tile/entries/000', entries(0)],
    ['tile/entries/x001/x234/067.p/112', entries(1_234_067, 112)],
  ])('%s', (path, resource) => {
    expect(parseTilePath(path)).toEqual(resource)
  })

  test.each([
    '',
    'checkpoint/',
    'checkpoint?x',
    'Checkpoint',
    '/checkpoint',
    'tile/0',
    'tile/0/0',
    'tile/0/00',
    'tile/0/0000',
    'tile/00/000',
    'tile/01/000',
    'tile/64/000',
    'tile/-1/000',
    'tile/data/000',
    'tile/8/0/000',
    'tile/0/x000/000',
    'tile/0/x000/x001/000',
    'tile/0/001/000',
    'tile/0/x001',
    'tile/0/x01/000',
    'tile/0/000.p',
    'tile/0/000.p/',
    'tile/0/000.p/0',
    'tile/0/000.p/01',
    'tile/0/000.p/256',
    'tile/0/000.p/999',
    'tile/0/000.p/1000',
    'tile/0/000/.p/1',
    'tile/0/000.p/1/',
    'tile/0/000?a=b',
    'tile/0/%30%30%30',
    'tile/entries/0/000',
    'tile/entries/000\n',
    'tile/entries/../0/000',
    `tile/0/${'x999/'.repeat(5)}999`,
    `tile/0/${'x999/'.repeat(200)}999`,
  ])('and no other spelling: %j', path => {
    expect(parseTilePath(path)).toBeUndefined()
  })

  test('belong to a space by its id, in lower-case hex', () => {
    expect(splitLogPath(`/log/${SPACE}/tile/0/000`)).toEqual({ space: SPACE, rest: 'tile/0/000' })
    for (const path of [`/log/${SPACE}`, `/log/${SPACE.toUpperCase()}/checkpoint`, `/log/${SPACE}00/checkpoint`]) {
      expect(splitLogPath(path)).toBeUndefined()
    }
  })
})

test('the tiles of a log are those that its entries fill, as in the example of C2SP (R-TILES-2)', () => {
  const size = 70_000
  for (const resource of [hashes(0, 272), hashes(0, 273, 112), hashes(1, 0), hashes(1, 1, 17), hashes(2, 0, 1)]) {
    expect(isWithin(resource, size)).toBe(true)
  }
  for (const resource of [hashes(0, 273), hashes(0, 273, 113), hashes(1, 1, 18), hashes(2, 0, 2), hashes(3, 0, 1)]) {
    expect(isWithin(resource, size)).toBe(false)
  }
  expect(isWithin(hashes(1, 0, 1), 256)).toBe(true)
  expect(isWithin(hashes(0, 0, 1), 0)).toBe(false)
  for (const level of [7, 8, 63]) expect(isWithin(hashes(level, 0, 1), Number.MAX_SAFE_INTEGER)).toBe(false)
  const last = Math.floor(Number.MAX_SAFE_INTEGER / 256) - 1
  expect(isWithin(entries(last), Number.MAX_SAFE_INTEGER)).toBe(true)
})
