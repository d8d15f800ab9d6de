import { expect, test } from 'vitest'
import { admit, openWorld } from './helpers/world.ts'

test('a space is created, followed, and grows', async () => {
  const world = await openWorld()
  const { relay, space } = world
  const a = await world.reader()
  expect(a.view?.range.size).toBe(1)
  const b = await world.reader()
  for (let i = 0; i < 5; i++) {
    a.push(space, world.entry(a))
    await relay.deliverAll()
    await a.follow(space)
  }
  await b.follow(space)
  expect(a.view?.range.size).toBe(6)
  expect(b.view).toEqual(a.view)
  expect(a.rejects).toEqual([])
  const other = await admit(world, a)
  const c = await world.reader(other)
  c.push(space, world.entry(c, other))
  await relay.deliverAll()
  for (const each of [a, b, c]) await each.follow(space)
  expect(c.view?.range.size).toBe(9)
  expect(b.view).toEqual(c.view)
  console.log(a.rejects, c.rejects)
})
