import * as Automerge from '@automerge/automerge/slim'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { isFrozen, type LyingWorld, openLyingWorld, partyOf, settleAll, within } from '../helpers/lies.ts'
import { type Note, openWorld } from '../helpers/world.ts'
import { latch } from '../scenario/controlled-store.ts'

let opened: LyingWorld

beforeEach(async () => {
  opened = await openLyingWorld()
})

afterEach(async () => {
  vi.restoreAllMocks()
  await opened.close()
})

async function oneEntry({ notes: [note], space }: LyingWorld['ann'], word: string): Promise<void> {
  note?.change(doc => Automerge.splice(doc, ['body'], 0, 0, word))
  await space.sync(within(opened))
}

describe('a head of another branch (R-HEAD-2)', () => {
  it('is not let pass because the own log grew past it while it was being looked at', async () => {
    const { ann, bob, relay, world } = opened
    const isAnn = await partyOf(ann)
    await settleAll(opened)
    await relay.branch({ space: ann.space.id, to: listener => !isAnn(listener) })
    await oneEntry(ann, 'left ')
    const { opened: released, open } = latch()
    const { verifier } = world.platform
    const verify = verifier.verify.bind(verifier)
    vi.spyOn(verifier, 'verify').mockImplementationOnce(async check => {
      await released
      return verify(check)
    })
    const compared = bob.space.compareHead(ann.space.head as Uint8Array, within(opened)).then(
      () => 'one log',
      error => error.code,
    )
    await oneEntry(bob, 'right ')
    await oneEntry(bob, 'right ')
    open()
    expect(await compared).not.toBe('one log')
    expect(isFrozen(bob.space) || bob.space.problems.length > 0).toBe(true)
  })
})

describe('a head of another member that overtakes what the relay has sent (R-HEAD-2)', () => {
  it('is no rollback', async () => {
    const held: (() => void)[] = []
    let connections = 0
    let anns = Number.POSITIVE_INFINITY
    let isHeld = false
    const world = await openWorld({
      hurry: 0.02,
      network: inner => ({
        connect: (url, events) => {
          const isBob = connections++ >= anns
          const onFrame = (frame: Uint8Array): void => {
            if (isBob && isHeld) held.push(() => events.onFrame(frame))
            else events.onFrame(frame)
          }
          return inner.connect(url, { ...events, onFrame })
        },
      }),
    })
    const timeout = world.patience(5000)
    try {
      const ann = await world.open('Ann')
      const annSpace = await ann.createSpace({ timeout })
      const annNote = await annSpace.createDocument<Note>({ title: '', body: '' }, { name: 'Day 1' })
      const link = await annSpace.invite({ timeout })
      anns = connections
      const bob = await world.open('Bob')
      const bobSpace = await bob.joinSpace(link, { timeout })
      const bobNote = await bobSpace.openDocument<Note>(annNote.id)
      await annSpace.sync({ timeout })
      await bobSpace.sync({ timeout })
      const problems: string[] = []
      bobSpace.on('problem', ({ problem }) => problems.push(problem.code))
      isHeld = true
      for (const word of ['one', 'two']) {
        annNote.change(doc => {
          doc.body += word
        })
        await annSpace.sync({ timeout })
      }
      const compared = bobSpace.compareHead(annSpace.head as Uint8Array, { timeout })
      await new Promise(resolve => setTimeout(resolve, 50))
      isHeld = false
      for (const deliver of held) deliver()
      await compared
      await bobSpace.sync({ timeout })
      expect(bobNote.doc().body).toBe('onetwo')
      expect(problems).toEqual([])
    } finally {
      await world.close()
    }
  })
})
