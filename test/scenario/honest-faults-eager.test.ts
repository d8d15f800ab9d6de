import * as Automerge from '@automerge/automerge/slim'
import { type FaultyTransport, faultyTransport, type LyingRelay, lyingRelay } from 'sealog-relay/testing'
import { describe, expect, it } from 'vitest'
import type { ReplicaStore } from '../../src/crdt/store.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import type { Replica } from '../../src/replica.ts'
import type { ReplicaOptions } from '../../src/replica-options.ts'
import type { Space } from '../../src/space.ts'
import type { SpaceDocument } from '../../src/space-document.ts'
import { EAGER } from '../helpers/eager.ts'
import { isFrozen } from '../helpers/lies.ts'
import { type Note, openPair, openWorld, type World } from '../helpers/world.ts'

const HURRY = 0.02
const ROUNDS = 10
const FAULTS = { refuse: 0.15, cut: 0.02, delay: 0.1, duplicate: 0.05, reorder: 0.05, replay: 0.05 }

interface Writer {
  readonly name: string
  readonly store: ReplicaStore
  readonly options: Pick<ReplicaOptions, 'replicate'>
  replica: Replica
  space: Space
  note: SpaceDocument<Note>
}

async function troubled(seed: number): Promise<{ world: World; relay: LyingRelay; network: FaultyTransport }> {
  let relay: LyingRelay | undefined
  let network: FaultyTransport | undefined
  const world = await openWorld({
    hurry: HURRY,
    limits: EAGER,
    relay: options => {
      relay = lyingRelay(options)
      return relay
    },
    network: (inner, environment) => {
      network = faultyTransport(inner, { seed, environment, faults: FAULTS, maxDelay: 200, maxFrames: 80 })
      return network
    },
  })
  return { world, relay: relay as LyingRelay, network: network as FaultyTransport }
}

describe('fast-forward, snapshots and sparse replicas over a bad network', () => {
  it.each([1, 2])(
    'never freeze anybody, lose nothing, and all end alike (seed %i)',
    { timeout: 60_000 },
    async seed => {
      const { world, relay, network } = await troubled(seed)
      const timeout = world.patience(20_000)
      const bobStore = memoryStore()
      const pair = await openPair(world, { bob: bobStore })
      const full = { replicate: 'all' } as const
      const ann: Writer = {
        name: 'Ann',
        store: memoryStore(),
        options: full,
        replica: pair.ann,
        space: pair.annSpace,
        note: pair.annNote,
      }
      const bob: Writer = {
        name: 'Bob',
        store: bobStore,
        options: full,
        replica: pair.bob,
        space: pair.bobSpace,
        note: pair.bobNote,
      }
      const writers: Writer[] = [ann, bob]
      const words: string[] = []

      const restart = async (writer: Writer): Promise<void> => {
        await writer.note.saved()
        await writer.replica.close()
        writer.replica = await world.open(writer.name, writer.store, writer.options)
        writer.space = await writer.replica.openSpace(ann.space.id)
        writer.note = await writer.space.openDocument<Note>(ann.note.id)
      }
      const join = async (name: string, options: Writer['options']): Promise<void> => {
        const store = memoryStore()
        const link = await ann.space.invite({ timeout })
        const replica = await world.open(name, store, options)
        const space = await replica.joinSpace(link, { timeout })
        const note = await space.openDocument<Note>(ann.note.id)
        writers.push({ name, store, options, replica, space, note })
      }

      for (let i = 0; i < ROUNDS; i++) {
        for (const { name, note, space } of writers) {
          // Before a sparse replica has the note, there is no text to write into.
          if (note.doc().body === undefined) continue
          const word = `${name}-${i} `
          words.push(word)
          note.change(doc => Automerge.splice(doc, ['body'], 0, 0, word))
          if (name === 'Ann') await space.sync({ timeout })
        }
        if (i === 2) await join('Carl', { replicate: 'opened' })
        if (i === 6) await join('Dan', full)
        if (i === 3) bob.space.pause()
        if (i === 7) bob.space.resume()
        if (i % 3 === 1) relay.restart()
        if (i % 4 === 3)
          await restart(writers[i % writers.length] === ann ? bob : (writers[i % writers.length] as Writer))
      }
      network.calm()
      for (const { space } of [...writers, ...writers]) {
        space.resume()
        await space.sync({ timeout })
      }
      for (const { name, space, note } of writers) {
        expect([name, isFrozen(space), space.status.halted]).toEqual([name, false, undefined])
        for (const word of words) expect([name, note.doc().body.split(word).length]).toEqual([name, 2])
        expect([name, note.heads()]).toEqual([name, ann.note.heads()])
        await expect.poll(() => space.status.trust.level, { interval: 5, timeout: 10_000 }).toBe('verified')
        expect([name, space.problems]).toEqual([name, []])
      }
      expect(world.count('skip')).toBeGreaterThan(0)
      await world.close()
    },
  )
})
