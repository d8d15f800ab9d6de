import type { ReplicaStore } from '../../src/crdt/store.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import { defaultVerifier } from '../../src/crypto/sign-backend.ts'
import { platformEnvironment } from '../../src/environment-platform.ts'
import type { Transport } from '../../src/relay/transport.ts'
import { Replica, type ReplicaPlatform } from '../../src/replica.ts'
import type { Space } from '../../src/space.ts'
import type { SpaceDocument } from '../../src/space-document.ts'
import { initializeAutomerge } from './automerge.ts'

export interface Note {
  title: string
  body: string
}

/** Opens replicas over a given transport, for scenarios in one process. */
export interface World {
  readonly platform: ReplicaPlatform
  open(name: string, store?: ReplicaStore): Promise<Replica>
}

export async function openWorld(transport: Transport): Promise<World> {
  await initializeAutomerge()
  const platform: ReplicaPlatform = {
    transport,
    environment: platformEnvironment(),
    verifier: await defaultVerifier(),
  }
  return {
    platform,
    open: (name, store = memoryStore()) =>
      Replica.open({ store, relay: 'ws://relay.test', profile: { name, device: `${name}'s laptop` } }, platform),
  }
}

/** A space of Ann's with one note, which Bob has joined. */
export interface Pair {
  readonly ann: Replica
  readonly bob: Replica
  readonly annSpace: Space
  readonly bobSpace: Space
  readonly annNote: SpaceDocument<Note>
  readonly bobNote: SpaceDocument<Note>
}

export async function openPair(world: World, stores: { ann?: ReplicaStore; bob?: ReplicaStore } = {}): Promise<Pair> {
  const ann = await world.open('Ann', stores.ann)
  const annSpace = await ann.createSpace({ name: 'Field notes', timeout: 5000 })
  const annNote = await annSpace.createDocument<Note>({ title: 'Day 1', body: '' }, { name: 'Day 1' })
  const link = await annSpace.invite({ timeout: 5000 })
  const bob = await world.open('Bob', stores.bob)
  const bobSpace = await bob.joinSpace(link, { timeout: 5000 })
  await annSpace.sync({ timeout: 5000 })
  await bobSpace.sync({ timeout: 5000 })
  const bobNote = await bobSpace.openDocument<Note>(annNote.id)
  return { ann, bob, annSpace, bobSpace, annNote, bobNote }
}

/** Brings several spaces to the same state. */
export async function settle(...spaces: readonly Space[]): Promise<void> {
  for (const space of spaces) await space.sync({ timeout: 10_000 })
  for (const space of spaces) await space.sync({ timeout: 10_000 })
}
