import { expect, it } from 'vitest'
import { paced } from '../../src/crdt/pace.ts'

/** Does steps that take so long each. @returns how long nobody else had a turn, each time */
async function slices(steps: number, duration: number, most: number): Promise<readonly number[]> {
  const found: number[] = []
  let now = 0
  let begun = 0
  const breathe = paced(
    {
      now: () => now,
      schedule: (delay, task) => {
        expect(delay).toBe(0)
        found.push(now - begun)
        // Others take their time, which is none of this work's.
        now += 1000
        begun = now
        queueMicrotask(task)
        return () => {}
      },
    },
    most,
  )
  for (let i = 0; i < steps; i++) {
    now += duration
    await breathe()
  }
  return [...found, now - begun]
}

it('long work gives the thread back before anybody notices: after 25 ms and the step under way', async () => {
  for (const duration of [1, 5, 20]) {
    const all = await slices(200, duration, 1000)
    expect(Math.max(...all)).toBeLessThan(25 + duration)
    // And not more often than that, as every turn costs some milliseconds.
    expect(all.length).toBeLessThanOrEqual(Math.ceil((200 * duration) / 25) + 1)
  }
})

it('whatever the clock says, it gives it back after so many steps', async () => {
  expect(await slices(20, 0, 8)).toHaveLength(3)
})
