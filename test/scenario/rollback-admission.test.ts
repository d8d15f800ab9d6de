import { afterEach, expect, it } from 'vitest'
import { admitted, allSynced, codesOf, eventually, founded, idOf, noteOf, timely } from '../helpers/people.ts'
import { type SetBackRelay, setBackRelay } from '../helpers/set-back-relay.ts'
import { openWorld, settleKeys, type World } from '../helpers/world.ts'

let world: World
let relay: SetBackRelay

afterEach(async () => {
  await world.close()
  await relay.close()
})

// R-RESTORE-12: what a replica says that the relay goes on without.
it('a device that was admitted in entries which the relay gave up is told that, keeps what it has, and joins anew', {
  timeout: 90_000,
}, async () => {
  world = await openWorld({
    hurry: 0.02,
    network: (_, environment) => {
      relay = setBackRelay(environment)
      return relay.transport
    },
  })
  const ann = await founded(world)
  const bob = await admitted(world, ann.space, 'Bob')
  await ann.space.setRole(idOf(ann.space, 'Bob'), 'admin', timely(world))
  await settleKeys(ann.space, timely(world))
  await allSynced(world, ann, bob)
  const backup = relay.backup()
  ann.space.pause()
  const dora = await admitted(world, bob.space, 'Dora')
  await allSynced(world, bob, dora)
  const seen = dora.space.status.confirmed.size
  for (const { space } of [bob, dora]) space.pause()
  await relay.restart({ from: backup, acceptRollback: true })
  ann.space.resume()
  while (relay.size(ann.space.id) <= seen) {
    ann.note.change(doc => {
      doc.body += 'since '
    })
    await ann.space.sync(timely(world))
  }
  dora.space.resume()
  await eventually(() => codesOf(dora.space)).toEqual(['ERR_ROLLBACK'])
  const [problem] = dora.space.problems
  expect(problem?.message).toMatch(/does not know this device.* export it, `removeLocal`, and join by a new invite/)
  expect(dora.space.status).toMatchObject({ frozen: false, membership: 'member', connection: 'online' })
  expect((await noteOf(dora, ann.note)).doc().title).toBe('Day 1')
  await dora.replica.removeLocal(dora.space.id)
  const again = await dora.replica.joinSpace(await ann.space.invite(timely(world)), timely(world))
  expect(again.status.membership).toBe('member')
  expect(codesOf(again)).toEqual([])
})
