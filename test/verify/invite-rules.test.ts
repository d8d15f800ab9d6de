import { describe, expect, it } from 'vitest'
import type { ControlBody, InviteBody } from '../../src/verify/control.ts'
import {
  added,
  type Crew,
  crew,
  deviceOf,
  epochOf,
  invited,
  joined,
  judged,
  memberOf,
  stranger,
  type Who,
} from '../helpers/crew.ts'
import {
  deviceKeys,
  type LogBuilder,
  memberNamed,
  type TestDevice,
  testDevice,
  verdictOf,
} from '../helpers/log-builder.ts'

const NOT_ALLOWED = 'ERR_UNAUTHORIZED role'
const EVERYBODY: readonly Who[] = ['owner', 'admin', 'peer', 'writer', 'reader', 'late']

describe('an invite', () => {
  it('names a member that nobody is, was or is invited as (R-INVITE-2)', async () => {
    const { log, owner, writer } = crew()
    const guest = invited(log, owner, { kind: 'approved' })
    const asker = joined(log, guest)
    const gone = memberOf(log, writer)
    log.act(owner, log.bodies.removeMember(gone))
    log.act(owner, log.bodies.rotate())
    for (const member of [gone, memberOf(log, guest), memberOf(log, asker), memberOf(log, owner)]) {
      expect(await judged(log, owner, log.bodies.invite(stranger(log), { member }))).toBe('ERR_INVALID_ENTRY invite')
    }
    log.act(owner, log.bodies.revoke(asker.number))
    const again = log.bodies.invite(stranger(log), { member: memberOf(log, asker) })
    expect(await judged(log, owner, again)).toBe('ERR_INVALID_ENTRY invite')
  })

  it('of either kind is refused to whoever has no power over its role (R-INVITE-1, R-ROLE-2)', async () => {
    const { log, ...who } = crew()
    for (const kind of ['instant', 'approved'] as const) {
      for (const author of EVERYBODY) {
        for (const role of ['reader', 'writer', 'admin', 'owner'] as const) {
          const may =
            author === 'owner' || ((author === 'admin' || author === 'peer') && /^(reader|writer)$/.test(role))
          const body = log.bodies.invite(stranger(log), { kind, role })
          expect(await judged(log, who[author], body), `${author} invites ${role}`).toBe(may ? 'accepted' : NOT_ALLOWED)
        }
      }
    }
  })

  it('for a device is of the author’s own member, role and history, whatever the role (R-INVITE-6)', async () => {
    const { log, ...who } = crew()
    for (const author of EVERYBODY) {
      const invite = log.bodies.deviceInvite(who[author], stranger(log))
      expect(await judged(log, who[author], invite), author).toBe('accepted')
    }
    const { writer, late, admin } = who
    const claims: readonly (readonly [TestDevice, Partial<InviteBody>])[] = [
      [writer, { member: memberOf(log, admin) }],
      [writer, { member: memberNamed('somebody new') }],
      [writer, { role: 'admin' }],
      [writer, { role: 'reader' }],
      [writer, { history: 'from-join' }],
      [late, { history: 'all' }],
    ]
    for (const [author, change] of claims) {
      const body = log.bodies.deviceInvite(author, stranger(log), change)
      expect(await judged(log, author, body)).toBe('ERR_INVALID_ENTRY invite')
    }
  })

  it('leaves no more than 256 of its maker open, and those of others alone (R-INVITE-7)', async () => {
    const { log, owner, admin, peer } = crew()
    const full = log.controlState
    const [open] = [invited(log, admin, { kind: 'approved' })]
    const sample = log.controlState.invites.get((open as TestDevice).number)
    const invites = new Map(
      Array.from({ length: 256 }, (_, i) => [
        10_000 + i,
        { ...(sample as NonNullable<typeof sample>), number: 10_000 + i },
      ]),
    )
    if (log.state !== undefined) log.state = { ...log.state, control: { ...full, invites, count: log.nextNumber } }
    const body = log.bodies.invite(stranger(log))
    expect(await judged(log, admin, body)).toBe('ERR_INVALID_ENTRY limit')
    expect(await judged(log, admin, log.bodies.deviceInvite(admin, stranger(log)))).toBe('ERR_INVALID_ENTRY limit')
    expect(await judged(log, peer, body)).toBe('accepted')
    expect(await judged(log, owner, body)).toBe('accepted')
    invites.delete(10_000)
    expect(await judged(log, admin, body)).toBe('accepted')
  })

  it('to read from now on holds no key: what comes next is read, and nothing of the epoch in force (R-INVITE-8)', () => {
    const { log, owner, admin } = crew()
    const guest = invited(log, admin, { history: 'from-join' })
    expect(log.controlState.rotation).toBe('due')
    expect(deviceOf(log, guest).readsFrom).toBe(epochOf(log) + 1)
    log.act(owner, log.bodies.rotate())
    expect(deviceOf(log, joined(log, guest)).readsFrom).toBe(epochOf(log))
  })

  it('under an epoch that is over is refused: its key and its names would be lost (R-EPOCH-1)', async () => {
    const { log, admin } = crew()
    for (const kind of ['instant', 'approved'] as const) {
      expect(await judged(log, admin, log.bodies.invite(stranger(log), { kind }), { epoch: 0 })).toBe(
        'ERR_STALE_EPOCH epoch',
      )
    }
  })
})

describe('what a provisional device, an applicant or a pending one device can do', () => {
  /** Every control entry there is, written by this device as well as it can. */
  function everything(log: LogBuilder, { owner, writer, late }: Crew, device: TestDevice): readonly ControlBody[] {
    const { bodies } = log
    return [
      bodies.invite(stranger(log)),
      { ...bodies.deviceInvite(owner, stranger(log)), member: memberOf(log, device) },
      bodies.approve(device.number),
      bodies.revoke(device.number),
      {
        ...bodies.addDevice(owner, stranger(log)),
        device: deviceKeys(stranger(log), log.spaceBytes, memberOf(log, device)),
      },
      bodies.removeDevice(writer.number),
      bodies.removeDevice(device.number),
      bodies.removeMember(memberOf(log, writer)),
      bodies.leave(),
      bodies.setRole(memberOf(log, writer), 'reader'),
      bodies.rotate(),
      bodies.repair(1),
      bodies.policy({}),
      bodies.grant(late.number, 0),
      bodies.rename('space', 'Mine'),
      bodies.rename({ device: device.number }, 'Mine'),
    ]
  }

  it.each(['instant', 'approved'] as const)('by an invite of kind %s is one join (R-MEMBER-1)', async kind => {
    const made = crew()
    const { log, owner } = made
    const guest = invited(log, owner, { kind, role: 'owner' })
    for (const body of everything(log, made, guest)) expect(await judged(log, guest, body), body.type).toBe(NOT_ALLOWED)
    expect(await judged(log, guest, log.bodies.join(stranger(log), guest.number))).toBe('accepted')
    expect(await verdictOf(() => log.judge(log.changes(guest)))).toBe(NOT_ALLOWED)
    expect(await verdictOf(() => log.judge(log.snapshot(guest)))).toBe(NOT_ALLOWED)
  })

  it('while it waits for approval is nothing at all (R-MEMBER-1)', async () => {
    const made = crew()
    const { log, owner } = made
    const pending = joined(log, invited(log, owner, { kind: 'approved', role: 'owner' }))
    for (const body of everything(log, made, pending)) {
      expect(await judged(log, pending, body), body.type).toBe(NOT_ALLOWED)
    }
    expect(await judged(log, pending, log.bodies.join(stranger(log), pending.number))).toBe('ERR_UNAUTHORIZED invite')
    expect(await verdictOf(() => log.judge(log.changes(pending)))).toBe(NOT_ALLOWED)
  })

  it('by no member’s device is a join (R-INVITE-3)', async () => {
    const { log, ...who } = crew()
    const guest = invited(log, who.owner)
    for (const author of EVERYBODY) {
      const body = log.bodies.join(stranger(log), guest.number)
      expect(await judged(log, who[author], body), author).toBe('ERR_UNAUTHORIZED invite')
    }
  })
})

describe('a revocation', () => {
  it('is by the inviter’s member, by whom it is for, or by somebody above its role (R-REVOKE-1)', async () => {
    const { log, ...who } = crew()
    const { admin } = who
    const instant = invited(log, admin)
    const high = invited(log, who.owner, { role: 'admin' })
    const own = testDevice('own', log.nextNumber)
    log.act(who.writer, log.bodies.deviceInvite(who.writer, own))
    const may: readonly (readonly [TestDevice, readonly Who[]])[] = [
      [instant, ['owner', 'admin', 'peer']],
      [high, ['owner']],
      [own, ['owner', 'admin', 'peer', 'writer']],
    ]
    for (const [guest, allowed] of may) {
      for (const author of EVERYBODY) {
        const expected = allowed.includes(author) ? 'accepted' : NOT_ALLOWED
        expect(await judged(log, who[author], log.bodies.revoke(guest.number)), author).toBe(expected)
      }
    }
    // By another device of the same member, too.
    const tablet = added(log, who.writer)
    expect(await judged(log, tablet, log.bodies.revoke(own.number))).toBe('accepted')
  })

  it('taints the epoch where the link held a key to it, and only there (R-REVOKE-2)', () => {
    for (const [change, rotation] of [
      [{}, 'tainted'],
      [{ kind: 'approved' }, 'settled'],
    ] as const) {
      const { log, admin } = crew()
      const guest = invited(log, admin, change)
      log.act(admin, log.bodies.revoke(guest.number))
      expect(log.controlState.rotation).toBe(rotation)
      expect(log.controlState.invites.size).toBe(0)
      expect(deviceOf(log, guest).removed).toEqual({ number: guest.number + 1, index: log.size - 1, epoch: 1 })
    }
  })

  it('taints as well where the link was for a device (R-REVOKE-2)', () => {
    const { log, writer } = crew()
    const phone = stranger(log)
    log.act(writer, log.bodies.deviceInvite(writer, phone))
    log.act(writer, log.bodies.revoke(phone.number))
    expect(log.controlState.rotation).toBe('tainted')
  })

  it('is of an open invite or request only, and of it once (R-REVOKE-1)', async () => {
    const { log, owner, writer } = crew()
    const guest = invited(log, owner)
    const asker = joined(log, invited(log, owner, { kind: 'approved' }))
    log.act(owner, log.bodies.revoke(asker.number))
    log.act(owner, log.bodies.revoke(guest.number))
    for (const { number } of [guest, asker, writer, { number: 999 }]) {
      expect(await judged(log, owner, log.bodies.revoke(number))).toBe('ERR_INVALID_ENTRY invite')
    }
  })
})
