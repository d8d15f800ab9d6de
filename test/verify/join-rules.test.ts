import { describe, expect, it } from 'vitest'
import { verifySync } from '../../src/crypto/sign.ts'
import type { InviteBody } from '../../src/verify/control.ts'
import {
  type Crew,
  crew,
  deviceOf,
  epochOf,
  filled,
  goOn,
  invited,
  joined,
  judged,
  memberOf,
  stranger,
  type Who,
} from '../helpers/crew.ts'
import { bytesOf, deviceKeys, memberNamed, type TestDevice, testDevice } from '../helpers/log-builder.ts'

const NOT_ALLOWED = 'ERR_UNAUTHORIZED role'
const EVERYBODY: readonly Who[] = ['owner', 'admin', 'peer', 'writer', 'reader', 'late']

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
    filled(log, late)
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
    const { log, owner } = crew({ blind: true })
    const guests = Array.from({ length: 100 }, () => invited(log, owner))
    const before = log.controlState.members.size
    for (const [i, guest] of guests.entries()) {
      const device = testDevice(`joined ${log.nextNumber}`, log.nextNumber)
      log.act(guest, log.bodies.join(device, guest.number), { epoch: 1 })
      if (i % 40 === 39) log.act(owner, log.bodies.rotate())
    }
    expect(log.controlState.members.size).toBe(before + 100)
    expect(log.controlState.invites.size).toBe(0)
    expect(epochOf(log)).toBe(3)
  }, 60_000)
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
