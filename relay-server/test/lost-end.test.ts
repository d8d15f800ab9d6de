import type { Checkpoint, SpaceId } from 'sealog/protocol'
import { expect, test } from 'vitest'
import { LostEnd } from '../src/lost-end.ts'
import { NO_METER } from '../src/meter.ts'

const SPACE = '5'.repeat(64) as SpaceId
const checkpoint = (size: number): Checkpoint => ({
  origin: `relay.test/${SPACE}`,
  size,
  root: new Uint8Array(32),
  stateRoot: new Uint8Array(32),
  time: 1,
})

function lostEnd(found?: Checkpoint) {
  const told: string[] = []
  const behind = { count: 0 }
  const context = {
    log: ({ event }: { event: string }) => void told.push(event),
    meter: {
      ...NO_METER,
      spaceBehind(isBehind: boolean) {
        behind.count += isBehind ? 1 : -1
      },
    },
  }
  return { lost: new LostEnd(context, SPACE, found), told, behind }
}

test('an operator sees a log that is behind: found when it was opened, or noticed later; until all of it is back', () => {
  const found = lostEnd(checkpoint(9))
  expect(found.behind.count).toBe(1)
  expect(() => found.lost.assertNone(3)).toThrowError(expect.objectContaining({ code: 'ERR_RELAY_BEHIND' }))
  found.lost.clear()
  expect(found.behind.count).toBe(0)
  found.lost.assertNone(9)

  const noticed = lostEnd()
  expect(noticed.behind.count).toBe(0)
  noticed.lost.mark(checkpoint(9), 3)
  noticed.lost.mark(checkpoint(12), 3)
  expect(noticed.behind.count).toBe(1)
  expect(noticed.lost.checkpoint?.size).toBe(12)
  expect(noticed.told).toEqual(['relay-behind', 'relay-behind'])
  noticed.lost.clear()
  noticed.lost.clear()
  expect(noticed.behind.count).toBe(0)
})

test('a log that leaves the memory is counted no more, whatever is found out about it after that', () => {
  const { lost, behind } = lostEnd(checkpoint(9))
  lost.leave()
  lost.leave()
  expect(behind.count).toBe(0)
  lost.mark(checkpoint(12), 3)
  lost.clear()
  expect(behind.count).toBe(0)
})
