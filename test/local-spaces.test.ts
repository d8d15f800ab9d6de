import { afterEach, expect, it } from 'vitest'
import { DEFAULT_SYNC_LIMITS } from '../src/crdt/sync-limits.ts'
import { SealogError } from '../src/errors.ts'
import { LocalSpaces } from '../src/local-spaces.ts'
import { founded } from './helpers/people.ts'
import { openWorld, type World } from './helpers/world.ts'

let world: World
afterEach(() => world.close())

it('opens no space while its rows are exchanged, also where somebody began to open it just before', async () => {
  world = await openWorld({ hurry: 0.02 })
  const { replica, space, store } = await founded(world)
  await replica.close()
  const twin = store.twin()
  await twin.open()
  const happened: string[] = []
  const { environment, verifier } = world.platform
  const spaces = new LocalSpaces({
    store: twin,
    environment,
    verifier,
    replicate: 'all',
    staleAfter: 1000,
    maxHeadAge: 1000,
    limits: DEFAULT_SYNC_LIMITS,
    // Behind the reading of the rows: nothing more is needed to see when that was.
    client: async () => {
      happened.push('read')
      throw new SealogError('ERR_OFFLINE', 'no relay here')
    },
    onOpened: () => {},
    onHead: () => {},
    assertOpen: () => {},
  })
  const opening = expect(spaces.open(space.id)).rejects.toMatchObject({ code: 'ERR_OFFLINE' })
  await spaces.whileClosed(space.id, async () => {
    happened.push('exchange')
    await new Promise(resolve => setTimeout(resolve, 20))
    happened.push('exchanged')
  })
  await opening
  expect(happened).toEqual(['read', 'exchange', 'exchanged'])
})
