import * as Automerge from '@automerge/automerge/slim'
import { type FaultyTransport, faultyTransport, type LyingRelay, lyingRelay } from 'sealog-relay/testing'
import { describe, expect, it } from 'vitest'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import type { Replica } from '../../src/replica.ts'
import type { Space } from '../../src/space.ts'
import type { SpaceDocument } from '../../src/space-document.ts'
import { isFrozen } from '../helpers/lies.ts'
import { type Note, openPair, openWorld, type World } from '../helpers/world.ts'

const HURRY = 0.02
const ROUNDS = 12

/** Everything at once, and often: about one frame in three does not arrive as it was sent. */
const FAULTS = { refuse: 0.2, cut: 0.02, delay: 0.1, duplicate: 0.06, reorder: 0.06, replay: 0.06 }

interface Writer {
  replica: Replica
  space: Space
  note: SpaceDocument<Note>
}

function write({ note }: Writer, word: string): void {
  note.change(doc => Automerge.splice(doc, ['body'], 0, 0, word))
}

async function troubled(seed: number): Promise<{ world: World; relay: LyingRelay; network: FaultyTransport }> {
  let relay: LyingRelay | undefined
  let network: FaultyTransport | undefined
  const world = await openWorld({
    hurry: HURRY,
    relay: options => {
      relay = lyingRelay(options)
      return relay
    },
    network: (inner, environment) => {
      network = faultyTransport(inner, { seed, environment, faults: FAULTS, maxDelay: 200, maxFrames: 60 })
      return network
    },
  })
  return { world, relay: relay as LyingRelay, network: network as FaultyTransport }
}

describe('honest faults never freeze anybody, lose nothing, and all end alike (R-FREEZE-1)', () => {
  it.each([1, 2, 3, 4])('with seed %i', async seed => {
    const { world, relay, network } = await troubled(seed)
    const timeout = world.patience(15_000)
    const bobStore = memoryStore()
    const pair = await openPair(world, { bob: bobStore })
    const ann: Writer = { replica: pair.ann, space: pair.annSpace, note: pair.annNote }
    const bob: Writer = { replica: pair.bob, space: pair.bobSpace, note: pair.bobNote }
    const words: string[] = []
    for (let i = 0; i < ROUNDS; i++) {
      for (const [name, writer] of Object.entries({ ann, bob })) {
        const word = `${name}-${i} `
        words.push(word)
        write(writer, word)
      }
      await new Promise(resolve => setTimeout(resolve, 5))
      if (i % 4 === 1) relay.restart()
      if (i % 4 === 3) {
        // A crash: what was durable is there again.
        await bob.note.saved()
        await bob.replica.close()
        bob.replica = await world.open('Bob', bobStore)
        bob.space = await bob.replica.openSpace(ann.space.id)
        bob.note = await bob.space.openDocument<Note>(ann.note.id)
      }
    }
    network.calm()
    for (const { space } of [ann, bob, ann, bob]) await space.sync({ timeout })
    for (const { space, note } of [ann, bob]) {
      expect(isFrozen(space)).toBe(false)
      expect(space.status.halted).toBeUndefined()
      expect(space.problems).toEqual([])
      for (const word of words) expect(note.doc().body.split(word)).toHaveLength(2)
    }
    expect(bob.note.heads()).toEqual(ann.note.heads())
    expect(Object.values(network.happened).reduce((sum, count) => sum + count, 0)).toBeGreaterThan(10)
    await Promise.all([ann.replica.close(), bob.replica.close()])
  })

  it('an old note that the network replays is refused, for as long as it does, and changes nothing', async () => {
    let relay: LyingRelay | undefined
    const world = await openWorld({
      hurry: HURRY,
      relay: options => {
        relay = lyingRelay(options)
        return relay
      },
    })
    const timeout = world.patience(5000)
    const { ann, bob, annSpace, bobSpace, annNote, bobNote } = await openPair(world)
    relay?.lie('replayed-note')
    relay?.cut()
    for (const space of [annSpace, bobSpace]) {
      await expect.poll(() => space.problems[0]?.code, { interval: 2, timeout: 5000 }).toBe('ERR_ROLLBACK')
    }
    annNote.change(doc => {
      doc.title = 'on'
    })
    relay?.honest()
    await annSpace.sync({ timeout })
    await bobSpace.sync({ timeout })
    expect(bobNote.doc().title).toBe('on')
    for (const space of [annSpace, bobSpace]) {
      expect(isFrozen(space)).toBe(false)
      expect(space.problems).toEqual([])
    }
    await Promise.all([ann.close(), bob.close()])
  })
})
