import { describe, expect, it } from 'vitest'
import type { ControlBody, Role } from '../../src/verify/control.ts'
import {
  added,
  type Crew,
  crew,
  deviceOf,
  epochOf,
  goOn,
  invited,
  joined,
  judged,
  memberOf,
  type Who,
} from '../helpers/crew.ts'
import {
  type BuiltEntry,
  type LogBuilder,
  memberNamed,
  type TestDevice,
  testDevice,
  verdictOf,
} from '../helpers/log-builder.ts'

const NOT_ALLOWED = 'ERR_UNAUTHORIZED role'
const GONE = 'ERR_UNAUTHORIZED device'
const LAST_OWNER = 'ERR_INVALID_ENTRY last-owner'
const EVERYBODY: readonly Who[] = ['owner', 'admin', 'peer', 'writer', 'reader', 'late']
/** Whom each may act on, besides himself; owners on everybody (R-ROLE-2). */
const BELOW: Readonly<Partial<Record<Who, readonly Who[]>>> = {
  owner: EVERYBODY,
  admin: ['writer', 'reader', 'late'],
  peer: ['writer', 'reader', 'late'],
}

const judge = (log: LogBuilder, entry: BuiltEntry): Promise<string> => verdictOf(() => log.judge(entry))

/** The space with a second owner, so that either may go. */
function twoOwners(): Crew {
  const made = crew()
  made.log.act(made.owner, made.log.bodies.setRole(memberOf(made.log, made.admin), 'owner'))
  return made
}

describe('who may remove', () => {
  it('a member: whoever is above it; an admin removes no equal, and nobody below removes anybody (R-REMOVE-2)', async () => {
    const { log, ...who } = twoOwners()
    log.act(who.owner, log.bodies.setRole(memberOf(log, who.admin), 'admin'))
    for (const author of EVERYBODY) {
      for (const target of EVERYBODY) {
        const allowed = BELOW[author]?.includes(target) ?? false
        const expected = allowed ? (target === 'owner' ? LAST_OWNER : 'accepted') : NOT_ALLOWED
        const body = log.bodies.removeMember(memberOf(log, who[target]))
        expect(await judged(log, who[author], body), `${author} removes ${target}`).toBe(expected)
      }
    }
  })

  it('a device: its own member, or whoever is above that (R-REMOVE-1)', async () => {
    const { log, ...who } = crew()
    for (const target of EVERYBODY) added(log, who[target])
    for (const author of EVERYBODY) {
      for (const target of EVERYBODY) {
        const allowed = author === target || (BELOW[author]?.includes(target) ?? false)
        const body = log.bodies.removeDevice(who[target].number)
        expect(await judged(log, who[author], body), `${author} removes a device of ${target}`).toBe(
          allowed ? 'accepted' : NOT_ALLOWED,
        )
      }
    }
  })

  it('oneself: everybody, by leaving (R-REMOVE-3)', async () => {
    const { log, ...who } = twoOwners()
    for (const author of EVERYBODY) {
      expect(await judged(log, who[author], log.bodies.leave()), author).toBe('accepted')
    }
  })

  it('and what there is to remove: no stranger, nothing twice, no invite (R-MEMBER-2)', async () => {
    const { log, owner, writer } = crew()
    const guest = invited(log, owner)
    const asker = joined(log, invited(log, owner, { kind: 'approved' }))
    const member = memberOf(log, writer)
    log.act(owner, log.bodies.removeMember(member))
    const bodies: readonly ControlBody[] = [
      log.bodies.removeMember(member),
      log.bodies.removeMember(memberNamed('a stranger')),
      log.bodies.removeMember(memberOf(log, asker)),
      log.bodies.removeDevice(writer.number),
      log.bodies.removeDevice(guest.number),
      log.bodies.removeDevice(asker.number),
      log.bodies.removeDevice(999),
      log.bodies.setRole(member, 'reader'),
      log.bodies.setRole(memberNamed('a stranger'), 'reader'),
    ]
    for (const body of bodies) expect(await judged(log, owner, body), body.type).toBe('ERR_INVALID_ENTRY member')
  })
})

describe('a removal', () => {
  it('ends all that the member could do, at once and for good (R-DEVICE-1, R-REMOVE-4)', async () => {
    const { log, owner, writer } = crew()
    const tablet = added(log, writer)
    log.append(log.changes(writer))
    const member = memberOf(log, writer)
    log.act(owner, log.bodies.removeMember(member))
    const removed = { number: tablet.number + 1, index: log.size - 1, epoch: 1 }
    for (const device of [writer, tablet]) {
      expect(deviceOf(log, device).removed).toEqual(removed)
      expect(await judge(log, log.changes(device))).toBe(GONE)
      expect(await judge(log, log.retire(device))).toBe(GONE)
      for (const body of [log.bodies.rotate(), log.bodies.leave(), log.bodies.revoke(1)]) {
        expect(await judged(log, device, body)).toBe(GONE)
      }
    }
    // The record stays: it says who wrote what is there.
    expect(log.controlState.members.get(member)).toMatchObject({ role: 'writer', removed })
  })

  it('of one device leaves the others, and that of the last one is that of the member (R-REMOVE-1)', async () => {
    const { log, admin, writer } = crew()
    const tablet = added(log, writer)
    const member = memberOf(log, writer)
    log.act(tablet, log.bodies.removeDevice(writer.number))
    expect(log.controlState.members.get(member)?.removed).toBeUndefined()
    expect(deviceOf(log, tablet).removed).toBeUndefined()
    log.act(admin, log.bodies.removeDevice(tablet.number))
    expect(log.controlState.members.get(member)?.removed).toEqual(deviceOf(log, tablet).removed)
  })

  it('takes along what the member had invited, and who was asking to be it or by it (R-REMOVE-4)', async () => {
    const { log, owner, admin, peer } = crew()
    const instant = invited(log, admin)
    const asker = joined(log, invited(log, admin, { kind: 'approved' }))
    const phone = invited(log, admin, { kind: 'device', member: memberOf(log, admin), role: 'admin' })
    const other = invited(log, peer)
    const join = log.bodies.join({ ...instant, number: log.nextNumber }, instant.number)
    log.act(owner, log.bodies.removeMember(memberOf(log, admin)))
    expect([...log.controlState.invites.keys()]).toEqual([other.number])
    for (const guest of [instant, asker, phone]) {
      expect(deviceOf(log, guest).removed).toEqual(deviceOf(log, admin).removed)
      expect(await judged(log, guest, join)).toBe(GONE)
    }
    log.act(owner, log.bodies.rotate())
    expect(await judged(log, owner, log.bodies.approve(asker.number))).toBe('ERR_INVALID_ENTRY invite')
  })

  it('of a device takes along what that device had invited, and leaves what another did (R-REMOVE-4)', () => {
    const { log, admin } = crew()
    const tablet = added(log, admin)
    const stolen = invited(log, tablet)
    const kept = invited(log, admin)
    log.act(admin, log.bodies.removeDevice(tablet.number))
    expect([...log.controlState.invites.keys()]).toEqual([kept.number])
    expect(deviceOf(log, stolen).removed).toEqual(deviceOf(log, tablet).removed)
  })

  it.each<readonly [string, (log: LogBuilder, who: Crew) => readonly [TestDevice, ControlBody]]>([
    ['of a member', (log, { owner, writer }) => [owner, log.bodies.removeMember(memberOf(log, writer))]],
    ['of the last device', (log, { writer }) => [writer, log.bodies.removeDevice(writer.number)]],
    ['by leaving', (log, { reader }) => [reader, log.bodies.leave()]],
  ])('%s taints the epoch: nothing is written until somebody has rotated (R-REMOVE-5, R-EPOCH-5)', async (_, act) => {
    const made = crew()
    const { log, owner, late } = made
    log.append(log.changes(late))
    const [author, body] = act(log, made)
    log.act(author, body)
    expect(log.controlState.rotation).toBe('tainted')
    for (const entry of [log.changes(owner), log.snapshot(owner), log.retire(late), log.changes(late)]) {
      expect(await judge(log, entry)).toBe('ERR_STALE_EPOCH tainted')
    }
    expect(await judge(log, log.changes(owner, { epoch: 0 }))).toBe('ERR_STALE_EPOCH epoch')
    log.act(owner, log.bodies.rotate())
    expect(await judge(log, log.changes(late))).toBe('accepted')
    // Nothing can be backdated into the time before.
    expect(await judge(log, log.changes(late, { epoch: 1 }))).toBe('ERR_STALE_EPOCH epoch')
  })

  it('taints names and admissions, too: nothing is sealed under what the removed one knows (R-EPOCH-8)', async () => {
    const { log, owner, writer } = crew()
    const asking = joined(log, invited(log, owner, { kind: 'approved' }))
    log.act(owner, log.bodies.removeMember(memberOf(log, writer)))
    const guest = testDevice('guest', log.nextNumber)
    const sealing = (): readonly ControlBody[] => [
      log.bodies.invite(guest),
      log.bodies.approve(asking.number),
      log.bodies.addDevice(owner, guest),
      log.bodies.rename('space', 'New'),
    ]
    for (const body of sealing()) expect(await judged(log, owner, body)).toBe('ERR_STALE_EPOCH tainted')
    log.act(owner, log.bodies.rotate())
    for (const body of sealing()) expect(await judged(log, owner, body)).toBe('accepted')
  })

  it('cannot be outrun by rotations and invites: it is valid whatever its author had seen (R-EPOCH-4)', async () => {
    const { log, owner, admin } = crew()
    const removals = [
      log.bodies.removeMember(memberOf(log, admin)),
      log.bodies.removeDevice(admin.number),
      log.bodies.setRole(memberOf(log, admin), 'reader'),
    ]
    // The admin starts one epoch after the other, and gives himself a reason each time.
    for (let i = 0; i < 3; i++) {
      const guest = invited(log, admin)
      log.act(admin, log.bodies.revoke(guest.number))
      log.act(admin, log.bodies.rotate())
    }
    expect(epochOf(log)).toBe(4)
    for (const body of removals) {
      for (const epoch of [0, 1, 3, 4]) expect(await judged(log, owner, body, { epoch })).toBe('accepted')
      expect(await judged(log, owner, body, { epoch: 5 })).toBe('ERR_STALE_EPOCH epoch')
    }
  })
})

describe('who was there first', () => {
  it('of two who remove each other, the one whom the log has first (R-DEVICE-1)', async () => {
    const { log, owner, admin } = twoOwners()
    const byOwner = log.control(owner, log.bodies.removeMember(memberOf(log, admin)))
    const byAdmin = log.control(admin, log.bodies.removeMember(memberOf(log, owner)))
    const other = log.fork()
    log.append(byOwner)
    expect(await judge(log, byAdmin)).toBe(GONE)
    other.append(byAdmin)
    expect(await judge(other, byOwner)).toBe(GONE)
    for (const each of [log, other]) {
      const owners = [...each.controlState.members.values()].filter(
        ({ role, removed }) => role === 'owner' && removed === undefined,
      )
      expect(owners).toHaveLength(1)
    }
  })

  it('a removal stays when its author is removed (R-REMOVE-4)', () => {
    const { log, owner, admin, writer } = crew()
    const removal = log.control(admin, log.bodies.removeMember(memberOf(log, writer)))
    log.append(removal)
    log.act(owner, log.bodies.removeMember(memberOf(log, admin)))
    expect(log.controlState.members.get(memberOf(log, writer))?.removed?.index).toBe(log.size - 2)
  })

  it('who is removed brings nobody in, in whichever order the log has the two (R-DEVICE-1, R-REMOVE-4)', async () => {
    const { log, owner, admin } = crew()
    const removal = log.bodies.removeMember(memberOf(log, admin))
    const pending = joined(log, invited(log, owner, { kind: 'approved' }))
    const additions = [
      log.bodies.addDevice(admin, testDevice('nobody yet', log.nextNumber)),
      log.bodies.invite(testDevice('nobody yet', log.nextNumber)),
      log.bodies.approve(pending.number),
    ]
    for (const body of additions) {
      const late = log.fork()
      late.act(owner, removal)
      expect(await judged(late, admin, body), body.type).toBe(GONE)
    }
    // Earlier in the log, the device goes with the member; the invite is void.
    const early = log.fork()
    const ghost = added(early, admin)
    const guest = invited(early, admin)
    early.act(owner, early.bodies.removeMember(memberOf(early, admin)))
    for (const device of [ghost, guest]) expect(deviceOf(early, device).removed).toBeDefined()
  })

  it('an invite is void from its maker’s removal on, also for who holds its link (R-REMOVE-4)', async () => {
    const { log, owner, admin } = crew()
    const guest = invited(log, admin)
    const join = log.control(guest, log.bodies.join(testDevice('nobody yet', log.nextNumber), guest.number))
    const first = log.fork()
    first.append(join)
    first.act(owner, first.bodies.removeMember(memberOf(first, admin)))
    expect(first.controlState.members.get(memberOf(first, guest))?.removed).toBeUndefined()
    log.act(owner, log.bodies.removeMember(memberOf(log, admin)))
    expect(await judge(log, join)).toBe(GONE)
  })
})

describe('there is always an owner (R-ROLE-4)', () => {
  it('the last one is not removed, does not leave and is not lowered, by whatever entry', async () => {
    const { log, owner } = crew()
    const member = memberOf(log, owner)
    const attempts = (author: TestDevice): readonly (readonly [TestDevice, ControlBody])[] => [
      [author, log.bodies.removeMember(member)],
      [author, log.bodies.leave()],
      [author, log.bodies.setRole(member, 'admin')],
      [author, log.bodies.setRole(member, 'reader')],
    ]
    const alone = [...attempts(owner), [owner, log.bodies.removeDevice(owner.number)] as const]
    for (const [author, body] of alone) expect(await judged(log, author, body), body.type).toBe(LAST_OWNER)
    // A second device makes no second owner.
    const tablet = added(log, owner)
    for (const [author, body] of attempts(tablet)) expect(await judged(log, author, body), body.type).toBe(LAST_OWNER)
    expect(await judged(log, tablet, log.bodies.removeDevice(owner.number))).toBe('accepted')
  })

  it('an owner who is invited, asks or has gone is none', async () => {
    const { log, owner, admin } = twoOwners()
    invited(log, owner, { role: 'owner' })
    joined(log, invited(log, owner, { kind: 'approved', role: 'owner' }))
    log.act(admin, log.bodies.leave())
    expect(await judged(log, owner, log.bodies.leave())).toBe(LAST_OWNER)
  })

  it('with two, either may go, and then the other may not', async () => {
    const { log, owner, admin } = twoOwners()
    const leaving = [log.control(owner, log.bodies.leave()), log.control(admin, log.bodies.leave())] as const
    log.append(leaving[0])
    expect(await judge(log, leaving[1])).toBe(LAST_OWNER)
  })
})

describe('a role', () => {
  const ROLES: readonly Role[] = ['reader', 'writer', 'admin', 'owner']
  const RANK: Readonly<Record<Who, number>> = { owner: 3, admin: 2, peer: 2, writer: 1, reader: 0, late: 1 }

  it('is given by whoever is above the old one and the new one; nobody raises himself (R-ROLE-3)', async () => {
    const { log, ...who } = twoOwners()
    log.act(who.owner, log.bodies.setRole(memberOf(log, who.admin), 'admin'))
    for (const author of EVERYBODY) {
      for (const target of EVERYBODY) {
        for (const [rank, role] of ROLES.entries()) {
          const isAbove = RANK[author] === 3 || (RANK[author] === 2 && RANK[target] < 2 && rank < 2)
          const lowersHimself = author === target && rank < RANK[target]
          const isAllowed = isAbove || lowersHimself
          const isLast = target === 'owner' && role !== 'owner'
          const expected = isAllowed ? (isLast ? LAST_OWNER : 'accepted') : NOT_ALLOWED
          const body = log.bodies.setRole(memberOf(log, who[target]), role)
          expect(await judged(log, who[author], body), `${author} makes ${target} ${role}`).toBe(expected)
        }
      }
    }
  })

  it('that is lowered ends the power at once: a reader writes no more (R-ROLE-1)', async () => {
    const { log, owner, writer } = crew()
    log.append(log.changes(writer))
    log.act(owner, log.bodies.setRole(memberOf(log, writer), 'reader'))
    expect(log.controlState.rotation).toBe('settled')
    expect(await judge(log, log.changes(writer))).toBe(NOT_ALLOWED)
    expect(await judge(log, log.retire(writer))).toBe(NOT_ALLOWED)
    expect(await judged(log, writer, log.bodies.rotate())).toBe(NOT_ALLOWED)
  })

  it('that is lowered voids what the member had invited, by whomever it is lowered (R-ROLE-5)', async () => {
    for (const byHimself of [true, false]) {
      const { log, owner, admin, peer } = crew()
      const instant = invited(log, admin)
      const asker = joined(log, invited(log, admin, { kind: 'approved' }))
      const phone = invited(log, admin, { kind: 'device', member: memberOf(log, admin), role: 'admin' })
      const kept = invited(log, peer)
      log.act(byHimself ? admin : owner, log.bodies.setRole(memberOf(log, admin), 'writer'))
      expect([...log.controlState.invites.keys()]).toEqual([kept.number])
      expect(log.controlState.rotation).toBe('tainted')
      for (const guest of [instant, asker, phone]) expect(deviceOf(log, guest).removed).toBeDefined()
      expect(deviceOf(log, admin).removed).toBeUndefined()
    }
  })

  it('that stays or is raised voids nothing', () => {
    const { log, owner, admin } = crew()
    const guest = invited(log, admin)
    for (const role of ['admin', 'owner'] as const) log.act(owner, log.bodies.setRole(memberOf(log, admin), role))
    expect([...log.controlState.invites.keys()]).toEqual([guest.number])
    expect(log.controlState.rotation).toBe('settled')
  })

  it('to administer brings all history, and the next epoch is due to bring it (R-ROLE-6)', () => {
    for (const role of ['admin', 'owner'] as const) {
      const { log, owner, late } = crew()
      const member = memberOf(log, late)
      log.act(owner, log.bodies.setRole(member, role))
      expect(log.controlState.members.get(member)).toMatchObject({ role, history: 'all' })
      expect(log.controlState.rotation).toBe('due')
      // What has been given is not taken away again.
      log.act(owner, log.bodies.setRole(member, 'writer'))
      expect(log.controlState.members.get(member)).toMatchObject({ role: 'writer', history: 'all' })
    }
    const { log, owner, late, writer } = crew()
    log.act(owner, log.bodies.setRole(memberOf(log, late), 'reader'))
    log.act(owner, log.bodies.setRole(memberOf(log, writer), 'admin'))
    expect(log.controlState.members.get(memberOf(log, late))?.history).toBe('from-join')
    expect(log.controlState.rotation).toBe('settled')
  })
})

describe('a taint', () => {
  it('does not go by anything but a rotation (R-EPOCH-5)', async () => {
    const { log, owner, admin, reader, writer } = crew()
    const guest = invited(log, owner)
    log.act(reader, log.bodies.leave())
    joined(log, guest)
    log.act(owner, log.bodies.setRole(memberOf(log, writer), 'admin'))
    log.act(admin, log.bodies.repair(1))
    log.act(owner, log.bodies.policy({ attestations: 2 }))
    expect(log.controlState.rotation).toBe('tainted')
    expect(await judge(log, log.changes(owner))).toBe('ERR_STALE_EPOCH tainted')
    log.act(admin, log.bodies.rotate())
    expect(log.controlState.rotation).toBe('settled')
    goOn(log, owner, 1)
  })
})
