import { describe, expect, it } from 'vitest'
import { concat, fromHex } from '../../src/bytes.ts'
import { publicKeyOf, verifySync } from '../../src/crypto/sign.ts'
import type { ControlBody, DeviceKeys, InviteBody } from '../../src/verify/control.ts'
import { devicesOf } from '../../src/verify/control-change.ts'
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
  bytesOf,
  deviceKeys,
  type LogBuilder,
  memberNamed,
  type TestDevice,
  testDevice,
  verdictOf,
} from '../helpers/log-builder.ts'

const NOT_ALLOWED = 'ERR_UNAUTHORIZED role'
const EVERYBODY: readonly Who[] = ['owner', 'admin', 'peer', 'writer', 'reader', 'late']

/** A guest whose keys are new here. */
const stranger = (log: LogBuilder, name = 'stranger'): TestDevice => testDevice(name, log.nextNumber)

describe('an invite', () => {
  it('names a member that nobody is, was or is invited as (R-INVITE-2)', async () => {
    const { log, owner, writer } = crew()
    const guest = invited(log, owner, { kind: 'approved' })
    const asker = joined(log, guest)
    const gone = memberOf(log, writer)
    log.act(owner, log.bodies.removeMember(gone))
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

describe('a join', () => {
  it('makes the joiner a member at once, with what the invite says, and a rotation due (R-JOIN-1)', () => {
    const { log, admin } = crew()
    const guest = invited(log, admin, { role: 'reader' })
    expect(log.controlState.rotation).toBe('settled')
    const device = joined(log, guest)
    const since = { number: device.number, index: log.size - 1, epoch: 1 }
    expect(deviceOf(log, device)).toMatchObject({ standing: 'member', since, readsFrom: 0 })
    expect(log.controlState.members.get(memberOf(log, device))).toMatchObject({ role: 'reader', history: 'all', since })
    expect(log.controlState.rotation).toBe('due')
  })

  it('lets the link do nothing any more: whoever saw it after its use is nobody (R-INVITE-3, R-DEVICE-1)', async () => {
    const { log, owner } = crew()
    const guest = invited(log, owner)
    joined(log, guest)
    const thief = stranger(log, 'thief')
    const bodies = [log.bodies.join(thief, guest.number), log.bodies.rotate(), log.bodies.leave()]
    for (const body of bodies) expect(await judged(log, guest, body)).toBe('ERR_UNAUTHORIZED device')
  })

  it('of an invite that was revoked is refused (R-REVOKE-2)', async () => {
    const { log, owner } = crew()
    const guest = invited(log, owner)
    const join = log.bodies.join(stranger(log), guest.number)
    log.act(owner, log.bodies.revoke(guest.number))
    expect(await judged(log, guest, join)).toBe('ERR_UNAUTHORIZED device')
  })

  it('of another space is refused, and so is a proof of possession made for one (R-SPACE-1, R-KEY-4)', async () => {
    const { log, owner } = crew()
    const guest = invited(log, owner)
    const device = stranger(log)
    const body = log.bodies.join(device, guest.number)
    expect(await judged(log, guest, body, { space: bytesOf('another space') })).toBe('ERR_INVALID_ENTRY space')
    const keys = deviceKeys(device, bytesOf('another space'), memberOf(log, guest))
    const { checks } = log.judge(log.control(guest, { ...body, device: keys }))
    expect(checks.map(verifySync)).toEqual([false])
  })

  it('is for the member that the invite names: keys proven for another are not admitted (R-KEY-4)', () => {
    const { log, owner } = crew()
    const guest = invited(log, owner)
    const device = stranger(log)
    const body = log.bodies.join(device, guest.number)
    const stolen = deviceKeys(device, log.spaceBytes, memberNamed('another member'))
    expect(log.judge(log.control(guest, body)).checks.map(verifySync)).toEqual([true])
    expect(log.judge(log.control(guest, { ...body, device: stolen })).checks.map(verifySync)).toEqual([false])
  })

  it('of a device invite adds to the member, makes no new one, and needs room (R-JOIN-1, R-DEVICE-3)', async () => {
    const { log, late } = crew()
    const guest = testDevice('phone link', log.nextNumber)
    log.act(late, log.bodies.deviceInvite(late, guest))
    const before = log.controlState.members
    const phone = joined(log, guest)
    expect(memberOf(log, phone)).toBe(memberOf(log, late))
    expect(log.controlState.members).toEqual(before)
    expect(deviceOf(log, phone).readsFrom).toBe(1)
    expect(log.controlState.rotation).toBe('due')

    const second = testDevice('second link', log.nextNumber)
    log.act(late, log.bodies.deviceInvite(late, second))
    fill(log, late)
    const body = log.bodies.join(stranger(log), second.number)
    expect(await judged(log, second, body)).toBe('ERR_INVALID_ENTRY limit')
  })

  it('is valid under any epoch that its link has seen, however many came since (R-EPOCH-4)', async () => {
    const { log, owner } = crew()
    const guest = invited(log, owner)
    const body = log.bodies.join(stranger(log), guest.number)
    goOn(log, owner, 16)
    log.act(owner, log.bodies.rotate())
    expect(await judged(log, guest, body, { epoch: 1 })).toBe('accepted')
    expect(await judged(log, guest, body, { epoch: 3 })).toBe('ERR_STALE_EPOCH epoch')
  })

  it('lets a hundred in who were invited together, whatever rotations fall between them (R-JOIN-1)', () => {
    const { log, owner } = crew()
    const guests = Array.from({ length: 100 }, () => invited(log, owner, { wrap: new Uint8Array(1168) }))
    const before = log.controlState.members.size
    for (const [i, guest] of guests.entries()) {
      const device = testDevice(`joined ${log.nextNumber}`, log.nextNumber)
      log.act(guest, log.bodies.join(device, guest.number), { epoch: 1 })
      if (i === 50) log.act(owner, log.bodies.rotate({ delivery: {} }))
    }
    expect(log.controlState.members.size).toBe(before + 100)
    expect(log.controlState.invites.size).toBe(0)
  })
})

describe('a request', () => {
  function asking(change: Partial<InviteBody> = {}): Crew & { readonly asker: TestDevice; readonly guest: TestDevice } {
    const made = crew()
    const guest = invited(made.log, made.admin, { kind: 'approved', ...change })
    return { ...made, guest, asker: joined(made.log, guest) }
  }

  it('makes nobody a member and gives nobody a key; it waits, with its names (R-JOIN-2, R-WRAP-5)', () => {
    const { log, guest, asker } = asking()
    const { controlState: control } = log
    expect(deviceOf(log, guest).removed).toEqual({ number: asker.number, index: log.size - 1, epoch: 1 })
    expect(deviceOf(log, asker)).toMatchObject({ standing: 'pending', name: undefined })
    expect(control.members.has(memberOf(log, asker))).toBe(false)
    expect(control.rotation).toBe('settled')
    expect(control.invites.has(guest.number)).toBe(false)
    expect(control.invites.get(asker.number)).toMatchObject({
      number: asker.number,
      kind: 'approved',
      requested: { memberName: expect.any(Uint8Array), deviceName: expect.any(Uint8Array) },
    })
  })

  it('is approved by whoever has power over its role, and by nobody else (R-APPROVE-1)', async () => {
    const { log, asker, ...who } = asking({ role: 'writer' })
    const may: readonly Who[] = ['owner', 'admin', 'peer']
    for (const author of EVERYBODY) {
      const expected = may.includes(author) ? 'accepted' : NOT_ALLOWED
      expect(await judged(log, who[author], log.bodies.approve(asker.number)), author).toBe(expected)
    }
    expect(await judged(log, asker, log.bodies.approve(asker.number))).toBe(NOT_ALLOWED)
    const above = crew()
    const guest = invited(above.log, above.owner, { kind: 'approved', role: 'admin' })
    const high = joined(above.log, guest)
    expect(await judged(above.log, above.admin, above.log.bodies.approve(high.number))).toBe(NOT_ALLOWED)
    expect(await judged(above.log, above.owner, above.log.bodies.approve(high.number))).toBe('accepted')
  })

  it('becomes a member by approval, once, under the names that the approver confirmed (R-APPROVE-1)', async () => {
    const { log, owner, asker } = asking()
    const body = log.bodies.approve(asker.number)
    log.act(owner, body)
    const since = { number: asker.number + 1, index: log.size - 1, epoch: 1 }
    const name = { epoch: 1, sealed: body.deviceName }
    expect(deviceOf(log, asker)).toMatchObject({ standing: 'member', since, name, readsFrom: 0 })
    expect(log.controlState.members.get(memberOf(log, asker))).toMatchObject({
      since,
      name: { epoch: 1, sealed: body.memberName },
    })
    expect(log.controlState.rotation).toBe('settled')
    expect(await judged(log, owner, body)).toBe('ERR_INVALID_ENTRY invite')
    expect(await judged(log, asker, log.bodies.leave())).toBe('accepted')
  })

  it('of a member that reads from now on gets no key before the next epoch (R-APPROVE-2)', async () => {
    const { log, owner, asker } = asking({ history: 'from-join' })
    const body = log.bodies.approve(asker.number)
    expect(body.wrap).toHaveLength(0)
    expect(await judged(log, owner, { ...body, wrap: new Uint8Array(1168) })).toBe('ERR_INVALID_ENTRY invite')
    log.act(owner, body)
    expect(deviceOf(log, asker).readsFrom).toBe(2)
    expect(log.controlState.rotation).toBe('due')
    const other = asking()
    const full = other.log.bodies.approve(other.asker.number)
    expect(await judged(other.log, other.owner, { ...full, wrap: new Uint8Array(0) })).toBe('ERR_INVALID_ENTRY invite')
  })

  it('is no request: an open invite, a device, a member, or what has been revoked (R-APPROVE-1)', async () => {
    const { log, owner, asker, writer } = asking()
    const open = invited(log, owner, { kind: 'approved' })
    const instant = invited(log, owner)
    for (const { number } of [open, instant, writer, { number: 999 }]) {
      const body = { ...log.bodies.approve(asker.number), request: number }
      expect(await judged(log, owner, body)).toBe('ERR_INVALID_ENTRY invite')
    }
    log.act(owner, log.bodies.revoke(asker.number))
    expect(await judged(log, owner, log.bodies.approve(asker.number))).toBe('ERR_INVALID_ENTRY invite')
  })

  it('cannot be approved by an entry that is made for another epoch: its wrap would be of that one (R-EPOCH-1)', async () => {
    const { log, owner, asker } = asking()
    expect(await judged(log, owner, log.bodies.approve(asker.number), { epoch: 0 })).toBe('ERR_STALE_EPOCH epoch')
  })
})

describe('what a provisional, asking or pending device can do', () => {
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

describe('one more device', () => {
  it('is of the author’s own member, whatever the role, and speaks at once (R-DEVICE-2)', async () => {
    const { log, ...who } = crew()
    for (const author of EVERYBODY) {
      const { log: own } = { log: log.fork() }
      const device = added(own, who[author])
      expect(memberOf(own, device)).toBe(memberOf(own, who[author]))
      expect(deviceOf(own, device)).toMatchObject({ standing: 'member', since: { number: device.number, epoch: 1 } })
      expect(own.controlState.rotation).toBe('settled')
      expect(await judged(own, device, own.bodies.leave())).toBe(
        author === 'owner' ? 'ERR_INVALID_ENTRY last-owner' : 'accepted',
      )
    }
  })

  it('shows: it is in the state, and so in what all members compare (R-STATE-1)', () => {
    const { log, writer } = crew()
    const before = log.checkpoint().stateRoot
    added(log, writer)
    expect(log.checkpoint().stateRoot).not.toEqual(before)
  })

  it('is at most the 64th of its member (R-DEVICE-3)', async () => {
    const { log, writer, reader } = crew()
    fill(log, writer)
    const more = (author: TestDevice): readonly ControlBody[] => [
      log.bodies.addDevice(author, stranger(log)),
      log.bodies.deviceInvite(author, stranger(log)),
    ]
    for (const body of more(writer)) expect(await judged(log, writer, body)).toBe('ERR_INVALID_ENTRY limit')
    for (const body of more(reader)) expect(await judged(log, reader, body)).toBe('accepted')
  })

  it('reads no further back than the one that brings it, also before that one has any key (R-DEVICE-4)', () => {
    const { log, late, admin, owner } = crew()
    goOn(log, owner, 16)
    log.act(owner, log.bodies.rotate())
    expect(deviceOf(log, added(log, late)).readsFrom).toBe(2)
    // Somebody who has come in, and whose first epoch has not started yet.
    const early = joined(log, invited(log, admin, { history: 'from-join' }))
    expect(deviceOf(log, early).readsFrom).toBe(3)
    expect(deviceOf(log, added(log, early)).readsFrom).toBe(3)
    const guest = testDevice('early link', log.nextNumber)
    log.act(early, log.bodies.deviceInvite(early, guest))
    expect(deviceOf(log, guest).readsFrom).toBe(3)
    expect(deviceOf(log, joined(log, guest)).readsFrom).toBe(3)
  })

  it('with somebody else’s KEM key, or keys proven by another member, is not admitted (R-KEY-3, R-KEY-4)', async () => {
    const { log, late, writer } = crew()
    const device = stranger(log)
    const theft = { ...device, kem: writer.kem }
    const body = log.bodies.addDevice(late, device)
    const withKem = { ...body, device: deviceKeys(theft, log.spaceBytes, memberOf(log, late)) }
    expect(await judged(log, late, withKem)).toBe('ERR_INVALID_ENTRY key')
    const foreign = { ...body, device: deviceKeys(device, log.spaceBytes, memberOf(log, writer)) }
    expect(log.judge(log.control(late, foreign)).checks.map(verifySync)).toEqual([false])
  })
})

describe('keys', () => {
  const IDENTITY = fromHex(`01${'00'.repeat(31)}`)
  /** y = 0: a point of order 4. */
  const SMALL_ORDER = new Uint8Array(32)
  /** y = p + 1, which decodes to the identity where encodings are not held to be canonical. */
  const NOT_CANONICAL = fromHex(`ee${'ff'.repeat(30)}7f`)
  const X25519_LOW = 1184

  function badKeys(log: LogBuilder): readonly (readonly [string, Partial<DeviceKeys>])[] {
    const { kem } = stranger(log)
    const low = kem.slice()
    low.fill(0, X25519_LOW)
    const coefficient = kem.slice()
    coefficient.set([0xff, 0x0f], 0)
    return [
      ['the identity', { signing: IDENTITY }],
      ['a point of small order', { signing: SMALL_ORDER }],
      ['an encoding that is not canonical', { signing: NOT_CANONICAL }],
      ['a KEM key with a coefficient of 4,095', { kem: coefficient }],
      ['a KEM key with an X25519 part of low order', { kem: low }],
      ['a KEM key of noise', { kem: concat(...Array.from({ length: 38 }, () => new Uint8Array(32).fill(0xff))) }],
      ['a signing key that is in use', { signing: publicKeyOf(log.owner.signing) }],
      ['a KEM key that is in use', { kem: log.owner.kem }],
    ]
  }

  it('that must not be admitted are not, by any entry that admits a device (R-KEY-1, R-KEY-2, R-KEY-3)', async () => {
    const { log, owner, writer } = crew()
    const guest = invited(log, owner)
    const asking = invited(log, owner, { kind: 'approved' })
    const { bodies } = log
    const entries: readonly (readonly [TestDevice, Extract<ControlBody, { device: DeviceKeys }>])[] = [
      [owner, bodies.invite(stranger(log))],
      [owner, bodies.invite(stranger(log), { kind: 'approved' })],
      [writer, bodies.deviceInvite(writer, stranger(log))],
      [guest, bodies.join(stranger(log), guest.number)],
      [asking, bodies.join(stranger(log), asking.number)],
      [writer, bodies.addDevice(writer, stranger(log))],
    ]
    for (const [author, body] of entries) {
      expect(await judged(log, author, body), body.type).toBe('accepted')
      for (const [what, keys] of badKeys(log)) {
        const bad = { ...body, device: { ...body.device, ...keys } } as ControlBody
        expect(await judged(log, author, bad), `${body.type} with ${what}`).toBe('ERR_INVALID_ENTRY key')
      }
    }
  })

  it('are never admitted again, whatever became of who had them (R-KEY-3)', async () => {
    const { log, owner, admin, writer } = crew()
    const revoked = invited(log, owner)
    log.act(owner, log.bodies.revoke(revoked.number))
    const spent = invited(log, owner)
    joined(log, spent)
    const turnedDown = joined(log, invited(log, owner, { kind: 'approved' }))
    log.act(owner, log.bodies.revoke(turnedDown.number))
    log.act(owner, log.bodies.removeMember(memberOf(log, writer)))
    log.act(admin, log.bodies.leave())
    for (const device of [revoked, spent, turnedDown, writer, admin]) {
      const again = testDevice('again', log.nextNumber)
      const fresh = log.bodies.addDevice(owner, again)
      const signing = { ...again, signing: device.signing }
      const kem = { ...again, kem: device.kem }
      for (const keys of [signing, kem]) {
        const body = { ...fresh, device: deviceKeys(keys, log.spaceBytes, memberOf(log, owner)) }
        expect(await judged(log, owner, body)).toBe('ERR_INVALID_ENTRY key')
      }
    }
  })
})

/** Gives the author's member 64 current devices, without the time that it takes to admit them. */
function fill(log: LogBuilder, author: TestDevice): void {
  const { state } = log
  if (state === undefined) return
  const own = deviceOf(log, author)
  const devices = new Map(state.control.devices)
  const current = devicesOf(state.control, own.member).length
  for (let i = current; i < 64; i++) {
    const number = 20_000 + i
    devices.set(number, { ...own, number, signing: bytesOf(`filler ${i}`), kem: bytesOf(`filler KEM ${i}`) })
  }
  log.state = { ...state, control: { ...state.control, devices } }
}
