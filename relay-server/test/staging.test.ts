import { type SpaceId, sha256 } from 'sealog/protocol'
import { expect, test } from 'vitest'
import { DEFAULT_LIMITS } from '../src/limits.ts'
import { Staging } from '../src/staging.ts'
import { filler } from './helpers/authoring.ts'

const SPACE = 'ab'.repeat(32) as SpaceId

test('tiny parts of an upload count for more than their bytes: what is kept with them is bounded too', () => {
  const total = { bytes: 0 }
  const staging = new Staging({ ...DEFAULT_LIMITS, stagedBytes: 100_000 }, total)
  const body = filler(1000)
  const put = (from: number, to: number): void => {
    const bytes = body.subarray(from, to)
    staging.put({
      type: 'put-body',
      ref: 1,
      space: SPACE,
      hash: sha256(body),
      length: body.length,
      offset: from,
      bytes,
    })
  }
  let parts = 0
  expect(() => {
    for (; parts < 900; parts++) put(parts, parts + 1)
  }).toThrow(expect.objectContaining({ code: 'ERR_RATE_LIMITED' }))
  expect(parts).toBeLessThan(200)
  expect(total.bytes).toBe(0)
  put(0, 500)
  put(500, 1000)
  expect(staging.find(SPACE, sha256(body))).toEqual(body)
  expect(total.bytes).toBeLessThan(2000)
  staging.clear()
  expect(total.bytes).toBe(0)
})
