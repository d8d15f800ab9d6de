import type { SpaceId } from 'sealog/protocol'
import { type LoopbackOptions, type LoopbackRelay, loopbackRelay } from '../../src/loopback.ts'
import {
  type Authored,
  author,
  authorGenesis,
  authorInvite,
  authorJoin,
  type EntryOptions,
  makeDevice,
  spaceOf,
  type TestDevice,
} from './authoring.ts'
import { type TestEnvironment, testEnvironment } from './environment.ts'
import { TestReplica } from './replica.ts'

/** A relay in memory, and a space on it whose owner is connected. */
export interface World {
  readonly environment: TestEnvironment
  readonly relay: LoopbackRelay
  readonly owner: TestDevice
  readonly genesis: Authored
  readonly space: SpaceId
  /** A connection that has been greeted. */
  connect(): Promise<TestReplica>
  /** A connection with the space open and verified. */
  reader(device?: TestDevice, from?: number): Promise<TestReplica>
  /** The next entry of a device, which has seen what `replica` has. */
  entry(replica: TestReplica, device?: TestDevice, options?: EntryOptions): Authored
}

/** @param make of another kind of relay */
export async function openWorld(
  options: Partial<LoopbackOptions> = {},
  make: (options: LoopbackOptions) => LoopbackRelay = loopbackRelay,
): Promise<World> {
  const environment = testEnvironment()
  const relay = make({ environment, ...options })
  const { random } = environment
  const owner = makeDevice(random)
  const genesis = authorGenesis(random, owner, relay)
  const space = spaceOf(genesis)

  async function connect(): Promise<TestReplica> {
    const replica = new TestReplica(relay)
    await relay.deliverAll()
    return replica
  }

  const creator = await connect()
  creator.push(space, genesis)
  await relay.deliverAll()
  creator.close()
  await relay.deliverAll()

  return {
    environment,
    relay,
    owner,
    genesis,
    space,
    connect,
    async reader(device = owner, from = 0) {
      const replica = await connect()
      replica.open(space, device, from)
      await relay.deliverAll()
      if (from === 0) await replica.follow(space)
      return replica
    },
    entry: (replica, device = owner, entryOptions = {}) =>
      author(random, device, genesis.hash, {
        seen: replica.seen,
        ...entryOptions,
        header: { epoch: replica.epoch, ...entryOptions.header },
      }),
  }
}

/** Invites and joins, so that another device may write. @returns the joined device */
export async function admit(world: World, replica: TestReplica): Promise<TestDevice> {
  const { environment, relay, owner, genesis, space } = world
  const { random } = environment
  const count = replica.view?.state?.control.count ?? 0
  const guest = makeDevice(random, count)
  replica.push(space, authorInvite(random, owner, genesis.hash, guest, { seen: replica.seen, epoch: replica.epoch }))
  await relay.deliverAll()
  await replica.follow(space)
  const joiner = await world.reader(guest)
  const own = makeDevice(random, count + 1)
  joiner.push(space, authorJoin(random, guest, genesis.hash, own, joiner.seen, joiner.epoch))
  await relay.deliverAll()
  joiner.close()
  await relay.deliverAll()
  await replica.follow(space)
  return own
}
