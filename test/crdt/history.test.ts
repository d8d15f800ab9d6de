import { describe, expect, it } from 'vitest'
import { tellHistory } from '../../src/crdt/history.ts'
import type { HistoryEvent } from '../../src/crdt/history-events.ts'
import { DAY, keys, member, NO_BYTES, opener, POLICY, START, Story, sealed, WRAP } from '../helpers/membership-story.ts'

function told(story: Story): readonly HistoryEvent[] {
  return tellHistory(story.rows, story.control, opener)
}

function texts(story: Story, from = 1): readonly string[] {
  return told(story)
    .slice(from)
    .map(({ text }) => text)
}

/** What one entry says, without date, place and keys. */
function sentence(story: Story, number: number): string {
  return (told(story)[number] as HistoryEvent).text.replace(/, \d+ \w+ \d{4}, entry .*$/, '')
}

describe('the history of a space in words', () => {
  it('says who did what to whom, when, where in the log, and whether the keys were rotated', () => {
    const story = new Story()
    const phone = story.admit(0, 'Bob', 'phone')
    story.rotate(0)
    story.say(phone, {
      type: 'rename',
      what: 'device',
      member: member('bob'),
      device: phone,
      name: sealed('old phone', 1),
    })
    story.say(phone, { type: 'add-device', device: keys('tablet'), wrap: WRAP, deviceName: sealed('tablet', 1) })
    story.write(4702)
    story.say(0, { type: 'remove-device', device: phone }, START)
    expect(texts(story, 0)).toEqual([
      'Ann created the space ‘Field notes’ on the device ‘laptop’, 12 March 2026, entry 0',
      'Ann made an instant invite as writer, 13 March 2026, entry 1',
      'Bob joined as writer with the device ‘phone’, invited by Ann, 14 March 2026, entry 2, keys rotated',
      'Ann rotated the keys, epoch 1 for 2 devices, 15 March 2026, entry 3',
      'Bob renamed the device ‘phone’ to ‘old phone’, 16 March 2026, entry 4',
      'Bob added the device ‘tablet’, 17 March 2026, entry 5',
      'Ann removed the device ‘old phone’ of Bob, 12 March 2026, entry 4708, keys not rotated yet',
    ])
    story.rotate(0)
    expect(texts(story, 6)[0]).toBe(
      'Ann removed the device ‘old phone’ of Bob, 12 March 2026, entry 4708, keys rotated',
    )
  })

  it('comes as data too: ids, names, numbers, and the author’s time', () => {
    const story = new Story()
    const phone = story.admit(0, 'Bob', 'phone', { role: 'admin' })
    story.say(0, { type: 'set-role', member: member('bob'), role: 'reader' }, START + 5)
    expect(told(story).at(-2)).toMatchObject({
      type: 'join',
      number: 2,
      index: 2,
      at: START + 2 * DAY,
      by: { member: member('bob'), name: 'Bob', device: phone, deviceName: 'phone' },
      kind: 'instant',
      role: 'admin',
      history: 'all',
      inviter: { id: member('ann'), name: 'Ann' },
      device: { number: phone, name: 'phone' },
      keys: 'waiting',
    })
    expect(told(story).at(-1)).toMatchObject({
      type: 'set-role',
      at: START + 5,
      by: { member: member('ann'), name: 'Ann', device: 0, deviceName: 'laptop' },
      member: { id: member('bob'), name: 'Bob' },
      was: 'admin',
      role: 'reader',
      keys: undefined,
    })
  })

  it('has words for every kind of entry', () => {
    const story = new Story()
    const bob = story.admit(0, 'Bob', 'phone', { role: 'admin' })
    const steps: (readonly [number, string])[] = []
    const step = (number: number, words: string): void => void steps.push([number, words])
    step(story.rotate(bob), 'Bob rotated the keys, epoch 1 for 2 devices')
    step(story.repair(0, 1), 'Ann repaired the keys of epoch 1 for 2 devices')

    const invite = story.invite(bob, 'carol', { kind: 'approved', role: 'reader', history: 'from-join' })
    step(invite, 'Bob made an invite as reader, to be approved, to read from joining on')
    const request = story.join(invite, 'Carol', 'desktop')
    step(request, 'Carol asked to join as reader with the device ‘desktop’, invited by Bob')
    const names = { memberName: sealed('Carol', 1), deviceName: sealed('desktop', 1) }
    const approved = story.say(0, { type: 'approve', request, wrap: NO_BYTES, ...names })
    step(approved, 'Ann let in Carol as reader with the device ‘desktop’')
    const grant = story.say(0, { type: 'grant', device: request, from: 0, sealed: new Uint8Array(72) })
    step(grant, 'Ann let the device ‘desktop’ of Carol read from epoch 0 on')

    const own = story.invite(request, 'x', {
      kind: 'device',
      role: 'reader',
      history: 'from-join',
      member: member('carol'),
    })
    step(own, 'Carol made an invite for one more device, to read from joining on')
    const watch = story.join(own, 'Carol', 'watch')
    step(watch, 'Carol added the device ‘watch’ by an invite')
    step(
      story.say(watch, { type: 'remove-device', device: request }),
      'Carol removed the device ‘desktop’ of the same member',
    )
    step(story.rotate(0), 'Ann rotated the keys, epoch 2 for 3 devices')

    const unused = story.invite(bob, 'dave')
    step(
      story.say(bob, { type: 'revoke', invite: unused }),
      `Bob revoked an invite made by the same member (entry ${story.rows[unused]?.index})`,
    )
    const other = story.invite(bob, 'dave2', { kind: 'approved' })
    const asked = story.join(other, 'Dave', 'd')
    const refused = story.say(0, { type: 'revoke', invite: asked })
    step(refused, `Ann refused Dave, who had used an invite made by Bob (entry ${story.rows[asked]?.index})`)
    story.rotate(0)

    const policy = { ...POLICY, attestations: 2, rotateDays: 30 }
    step(
      story.say(0, { type: 'policy', policy, url: 'wss://other.test' }),
      'Ann changed the policy: members who must vouch from 1 to 2; days of an epoch from 0 to 30; address of the relay to ‘wss://other.test’',
    )
    step(story.say(0, { type: 'policy', policy, url: 'wss://other.test' }), 'Ann changed the policy: nothing')
    const rename = { type: 'rename', member: member('ann'), device: 0 } as const
    const { epoch } = story
    step(
      story.say(0, { ...rename, what: 'space', name: sealed('Notes', epoch) }),
      'Ann renamed the space ‘Field notes’ to ‘Notes’',
    )
    step(story.say(0, { ...rename, what: 'member', name: sealed('Anna', epoch) }), 'Ann took the name ‘Anna’')
    step(
      story.say(0, { ...rename, what: 'member', member: member('bob'), name: sealed('Rob', epoch) }),
      'Anna renamed Bob to ‘Rob’',
    )
    step(
      story.say(0, { ...rename, what: 'device', device: bob, name: sealed('mobile', epoch) }),
      'Anna renamed the device ‘phone’ of Rob to ‘mobile’',
    )

    step(
      story.say(bob, { type: 'set-role', member: member('bob'), role: 'writer' }),
      'Rob changed the own role from admin to writer',
    )
    step(
      story.say(0, { type: 'set-role', member: member('bob'), role: 'owner' }),
      'Anna changed the role of Rob from writer to owner',
    )
    step(
      story.say(0, { type: 'remove-device', device: watch }),
      'Anna removed the device ‘watch’ of Carol and so the member',
    )
    step(story.rotate(bob), `Rob rotated the keys, epoch ${story.epoch} for 2 devices`)
    step(
      story.say(bob, { type: 'add-device', device: keys('t'), wrap: WRAP, deviceName: sealed('t', story.epoch) }),
      'Rob added the device ‘t’',
    )
    story.admit(bob, 'Eve', 'e')
    step(story.say(bob, { type: 'remove-member', member: member('eve') }), 'Rob removed Eve')
    step(story.say(0, { type: 'leave' }), 'Anna left')
    expect(steps.map(([number]) => [number, sentence(story, number)])).toEqual(steps)
    expect(new Set(story.rows.map(({ body }) => body.type)).size).toBe(15)
  })

  it('says of what has the keys rotated whether they were since, and of nothing else', () => {
    const story = new Story()
    const bob = story.admit(0, 'Bob', 'phone')
    story.rotate(0)
    const tablet = story.say(bob, {
      type: 'add-device',
      device: keys('tablet'),
      wrap: WRAP,
      deviceName: sealed('tablet', 1),
    })
    story.say(0, { type: 'remove-device', device: tablet })
    story.rotate(0)
    story.say(0, { type: 'revoke', invite: story.invite(0, 'carol') })
    story.rotate(0)
    story.say(0, { type: 'revoke', invite: story.invite(0, 'dave', { kind: 'approved' }) })
    story.join(story.invite(0, 'eve', { kind: 'approved' }), 'Eve', 'e')
    story.say(bob, { type: 'leave' })
    expect(told(story).map(({ type, keys: state }) => (state === undefined ? type : `${type} ${state}`))).toEqual([
      ...['genesis', 'invite', 'join rotated', 'rotate', 'add-device', 'remove-device rotated', 'rotate'],
      ...['invite', 'revoke rotated', 'rotate', 'invite', 'revoke', 'invite', 'join', 'leave waiting'],
    ])
  })

  it('uses the names of that moment: renaming oneself later does not rewrite what was', () => {
    const story = new Story()
    const bob = story.admit(0, 'Bob', 'phone')
    const left = story.admit(0, 'Carol', 'c')
    story.say(bob, { type: 'rename', what: 'member', member: member('bob'), device: 0, name: sealed('Robert') })
    story.say(left, { type: 'leave' })
    story.say(bob, { type: 'leave' })
    expect(told(story).map(({ by }) => by.name)).toEqual([
      'Ann',
      'Ann',
      'Bob',
      'Ann',
      'Carol',
      'Bob',
      'Carol',
      'Robert',
    ])
  })

  it('tells members of one name apart, also where it was only made to look the same', () => {
    for (const twin of ['Ann', 'ann ', 'A\u200dnn', 'Ａｎｎ']) {
      const story = new Story()
      const mallory = story.admit(0, 'Mallory', 'm')
      story.say(mallory, { type: 'rename', what: 'member', member: member('mallory'), device: 0, name: sealed(twin) })
      story.say(mallory, { type: 'leave' })
      story.say(0, { type: 'rename', what: 'space', member: member('ann'), device: 0, name: sealed('New') })
      const [left, renamed] = told(story).slice(-2)
      expect(left?.by.name.replace(/[“”]/g, '')).toBe(`${twin.trim()} (${member('mallory').slice(0, 8)})`)
      expect(renamed?.by.name).toBe(`Ann (${member('ann').slice(0, 8)})`)
    }
  })

  it('no name makes a sentence say something else (R-HISTORY-2)', () => {
    const names: readonly (readonly [string, string])[] = [
      ['Bob\nAnn removed Carol', '“Bob Ann removed Carol”'],
      ['Bob, and left', '“Bob, and left”'],
      ['Bob made Mallory an owner', '“Bob made Mallory an owner”'],
      ['”\u202enna“', '“"nna"”'],
      ['\u2067\u200b\u0000 \ufeff', `member ${member('bob').slice(0, 8)}`],
      ['Søren K. O’Brien-Nguyễn', "Søren K. O'Brien-Nguyễn"],
      ['مریم\u200cالسادات', '“مریم\u200cالسادات”'],
      ['B'.repeat(60), `“${'B'.repeat(60)}”`],
    ]
    for (const [name, shown] of names) {
      const story = new Story()
      const bob = story.admit(0, 'Bob', 'phone')
      story.say(bob, { type: 'rename', what: 'member', member: member('bob'), device: 0, name: sealed(name) })
      story.say(bob, { type: 'leave' })
      expect(sentence(story, story.rows.length - 1)).toBe(`${shown} left`)
    }
    const story = new Story()
    const device = story.admit(0, 'Bob', 'phone’ of Carol, and the device ‘x')
    story.say(0, { type: 'remove-device', device })
    expect(sentence(story, 3)).toBe(
      "Ann removed the device ‘phone' of Carol, and the device 'x’ of Bob and so the member",
    )
  })

  it('goes on where names do not open, and where an author’s clock says what no date is', () => {
    const story = new Story()
    const bob = story.admit(0, 'Bob', 'phone')
    const wrong = { device: keys('t'), wrap: WRAP, deviceName: sealed('tablet', 9) }
    const tablet = story.say(bob, { type: 'add-device', ...wrong }, Number.MAX_SAFE_INTEGER)
    expect(told(story).at(-1)?.text).toBe(`Bob added device ${tablet}, on no possible date, entry 3`)
    const blind = tellHistory(
      story.rows,
      story.control,
      { open: () => '', openRequest: () => ({ member: '', device: '' }) },
      String,
    )
    expect(blind[0]?.text).toBe(
      `member ${member('ann').slice(0, 8)} created the space ‘’ on device 0, ${START}, entry 0`,
    )
  })

  it('refuses entries of another space than the state is of', () => {
    const story = new Story()
    story.admit(0, 'Bob', 'phone')
    const other = new Story()
    expect(() => tellHistory(story.rows, other.control, opener)).toThrow(TypeError)
  })
})
