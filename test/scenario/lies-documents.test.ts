import { LIES } from 'sealog-relay/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isFrozen, type LyingWorld, openLyingWorld, partyOf, settleAll, within, write } from '../helpers/lies.ts'
import type { Note } from '../helpers/world.ts'

const DOCUMENT_LIES = LIES.filter(({ name }) => name.startsWith('document-'))

describe('a document that a sparse replica opens (R-DOC-1)', () => {
  let opened: LyingWorld

  beforeAll(async () => {
    opened = await openLyingWorld()
    for (const word of ['c ', 'd ']) {
      write(opened.ann, word)
      await settleAll(opened)
    }
  })

  afterAll(() => opened.close())

  it.each(DOCUMENT_LIES.map(lie => [lie.name, lie] as const))(
    '%s: is not taken, and arrives whole when it is served well',
    async (name, lie) => {
      const { ann, relay, world } = opened
      const [isAnn, isBob] = [await partyOf(ann), await partyOf(opened.bob)]
      const wait = within(opened)
      const carl = await world.open('Carl', undefined, { replicate: 'opened' })
      const space = await carl.joinSpace(await ann.space.invite(wait), wait)
      await space.sync(wait)
      const problems: string[] = []
      space.on('problem', ({ problem }) => void problems.push(problem.code))
      const told = relay.told.length
      relay.lie(name, { to: listener => !isAnn(listener) && !isBob(listener) })
      const note = await space.openDocument<Note>(ann.notes[0]?.id as string)
      await expect.poll(() => problems.length, { interval: 2, timeout: 5000 }).toBeGreaterThan(0)
      expect(relay.told[told]?.lie).toBe(name)
      for (const code of problems) expect(lie.expected).toContain(code)
      expect(note.heads()).toEqual([])
      expect(isFrozen(space)).toBe(false)
      relay.honest()
      await space.sync(wait)
      expect(note.heads()).toEqual(ann.notes[0]?.heads())
      expect(space.problems).toEqual([])
      await carl.close()
    },
  )
})
