import { LIES, type Lie } from 'sealog-relay/testing'
import { expect, it } from 'vitest'
import type { DocumentId } from '../../src/ids.ts'
import { isFrozen, openLyingWorld, partyOf, settleAll, within, write } from '../helpers/lies.ts'
import { problemsOf } from '../helpers/problems.ts'
import type { Note } from '../helpers/world.ts'

/** Told of this document only. */
function about(document: string, name: string): Lie {
  const lie = LIES.find(each => each.name === name)
  if (lie === undefined) throw new TypeError(`name: no lie ${name}`)
  return {
    ...lie,
    tell: async (message, teller) => {
      const { asked } = teller
      return asked?.type === 'get-document' && asked.document === document ? lie.tell(message, teller) : undefined
    },
  }
}

it.each(['document-flipped-header', 'document-flipped-signature', 'document-of-another-size'])(
  '%s, of one document: that one is asked for again, and nothing else waits for it (R-DOC-9)',
  async name => {
    const opened = await openLyingWorld()
    const { ann, bob, relay, world } = opened
    const wait = within(opened)
    const [isAnn, isBob] = [await partyOf(ann), await partyOf(bob)]
    const [first, second] = ann.notes.map(note => note.id as DocumentId)
    const carl = await world.open('Carl', undefined, { replicate: 'opened' })
    const space = await carl.joinSpace(await ann.space.invite(wait), wait)
    await space.sync(wait)

    const faults = problemsOf('sync')
    const shown = problemsOf(`document/${first}`)
    relay.lie(about(first as string, name), { to: listener => !isAnn(listener) && !isBob(listener) })
    const wrong = await space.openDocument<Note>(first as string)
    const other = await space.openDocument<Note>(second as string)
    // It goes on being asked for, and being wrong.
    await expect.poll(() => shown().length, { interval: 2, timeout: 30_000 }).toBeGreaterThan(1)
    expect(space.problems).toContainEqual(expect.objectContaining({ code: shown()[0], document: first }))
    expect(wrong.heads()).toEqual([])
    // Meanwhile the log goes on, and so do the other documents.
    await expect.poll(() => other.heads(), { interval: 2, timeout: 30_000 }).toEqual(ann.notes[1]?.heads())
    write(ann, 'meanwhile ')
    await settleAll(opened)
    await expect.poll(() => other.doc().body, { interval: 2, timeout: 30_000 }).toContain('meanwhile ')
    expect(wrong.heads()).toEqual([])
    expect(faults()).toEqual([])
    expect(isFrozen(space)).toBe(false)

    relay.honest()
    await space.sync(wait)
    expect(wrong.heads()).toEqual(ann.notes[0]?.heads())
    expect(space.problems).toEqual([])
    await carl.close()
    await opened.close()
  },
)
