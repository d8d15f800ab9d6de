import { describe, expect, it } from 'vitest'
import { epochAt, keyHolders } from '../../src/crdt/readers.ts'
import { DIRECTORY_DOCUMENT, type DocumentId } from '../../src/ids.ts'
import { member, Story as SpaceStory, type Story, sealed, WRAP } from '../helpers/membership-story.ts'

const NOTE = '07'.repeat(16) as DocumentId

/** `Device 3`, or `link 2`, of all who could open an entry written now or at `index`. */
function holders(story: Story, index: number, birthEpoch: number, document: DocumentId = NOTE): readonly string[] {
  const found = keyHolders(story.control, { index, document, birthEpoch })
  return found.map(({ device, by }) => `${by} ${device}`)
}

describe('who could read an entry (R-READERS-1)', () => {
  it('counts an entry to the epoch that was in force where it stands', () => {
    const story = new SpaceStory()
    const before = story.write(5)
    story.rotate(0)
    const after = story.write(20)
    story.rotate(0)
    expect(
      [1, before, before + 1, before + 2, after, after + 1, after + 2].map(i => epochAt(story.control, i)),
    ).toEqual([0, 0, 0, 1, 1, 1, 2])
  })

  it('is everybody who may read everything and was there, then or later, but nobody who had gone by then', () => {
    const story = new SpaceStory()
    const bob = story.admit(0, 'Bob', 'b')
    const early = story.write()
    story.say(0, { type: 'remove-member', member: member('bob') })
    story.rotate(0)
    const middle = story.write()
    const carol = story.admit(0, 'Carol', 'c')
    story.rotate(0)
    const late = story.write()
    const links = [bob - 1, carol - 1]
    expect(holders(story, early, 0)).toEqual([
      'device 0',
      `link ${links[0]}`,
      `device ${bob}`,
      `link ${links[1]}`,
      `device ${carol}`,
    ])
    expect(holders(story, middle, 0)).toEqual(['device 0', `link ${links[1]}`, `device ${carol}`])
    // What is written in an epoch without the link and without Bob stays with who is there.
    expect(holders(story, late, 0)).toEqual(['device 0', `device ${carol}`])
  })

  it('a device that was removed keeps what it could read until then', () => {
    const story = new SpaceStory()
    const bob = story.admit(0, 'Bob', 'b')
    story.rotate(0)
    const before = story.write()
    const tablet = story.join(story.invite(bob, 't', { kind: 'device', member: member('bob') }), 'Bob', 'tablet')
    story.say(bob, { type: 'remove-device', device: tablet })
    story.rotate(0)
    const after = story.write()
    expect(holders(story, before, 0)).toContain(`device ${tablet}`)
    expect(holders(story, after, 0)).toEqual(['device 0', `device ${bob}`])
  })

  it('a member that reads from joining on could read no document that is older, also what was written there later', () => {
    const story = new SpaceStory()
    const old = story.write()
    story.rotate(0)
    const carol = story.admit(0, 'Carol', 'c', { history: 'from-join' })
    // Her keys begin with the next epoch: until then there are not even titles for her.
    const before = story.write()
    expect(holders(story, before, 1)).toEqual(['device 0'])
    expect(holders(story, before, 0, DIRECTORY_DOCUMENT)).toEqual(['device 0'])
    story.rotate(0)
    const born = story.write(20)
    story.rotate(0)
    const later = story.write()
    for (const place of [old, before, born, later]) expect(holders(story, place, 0)).toEqual(['device 0'])
    expect(holders(story, later, 1)).toEqual(['device 0'])
    expect(holders(story, born, 2)).toEqual(['device 0', `device ${carol}`])
    expect(holders(story, later, 2)).toEqual(['device 0', `device ${carol}`])
    // Titles are for everybody, back to the first.
    expect(holders(story, old, 0, DIRECTORY_DOCUMENT)).toEqual(['device 0', `device ${carol}`])

    story.say(0, { type: 'grant', device: carol, from: 1, sealed: new Uint8Array(72) })
    expect(holders(story, later, 0)).toEqual(['device 0'])
    expect(holders(story, before, 1)).toEqual(['device 0', `device ${carol}`])
  })

  it('a link for who reads from joining on is a key from the next epoch on, if it is open by then', () => {
    const story = new SpaceStory()
    const open = story.invite(0, 'carol', { history: 'from-join' })
    story.say(0, { type: 'revoke', invite: story.invite(0, 'dave', { history: 'from-join' }) })
    const before = story.write()
    story.rotate(0)
    const after = story.write()
    expect(holders(story, before, 0, DIRECTORY_DOCUMENT)).toEqual(['device 0', `link ${open}`])
    expect(holders(story, before, 0)).toEqual(['device 0'])
    expect(holders(story, after, 1)).toEqual(['device 0', `link ${open}`])
  })

  it('who is promoted to read everything could read it all', () => {
    const story = new SpaceStory()
    story.rotate(0)
    const carol = story.admit(0, 'Carol', 'c', { history: 'from-join' })
    expect(holders(story, 1, 0)).toEqual(['device 0'])
    story.say(0, { type: 'set-role', member: member('carol'), role: 'admin' })
    story.rotate(0)
    expect(holders(story, 1, 0)).toEqual(['device 0', `device ${carol}`])
  })

  it('an approved invite gives nobody a key before the approval; an instant one is a key as long as it is open', () => {
    const story = new SpaceStory()
    const approved = story.invite(0, 'carol', { kind: 'approved' })
    const open = story.invite(0, 'dave')
    const revoked = story.invite(0, 'eve')
    const early = story.write()
    const request = story.join(approved, 'Carol', 'c')
    story.say(0, { type: 'revoke', invite: revoked })
    expect(holders(story, early, 0)).toEqual(['device 0', `link ${open}`, `link ${revoked}`])
    story.rotate(0)
    const late = story.write()
    expect(holders(story, late, 0)).toEqual(['device 0', `link ${open}`])
    const names = { memberName: sealed('Carol', 1), deviceName: sealed('c', 1) }
    story.say(0, { type: 'approve', request, wrap: WRAP, ...names })
    expect(holders(story, late, 0)).toEqual(['device 0', `link ${open}`, `device ${request}`])
    expect(keyHolders(story.control, { index: late, document: NOTE, birthEpoch: 0 })).toEqual([
      { member: member('ann'), device: 0, by: 'device' },
      { member: member('dave'), device: open, by: 'link' },
      { member: member('carol'), device: request, by: 'device' },
    ])
  })
})
