import { describe, expect, it } from 'vitest'
import { concat, fromHex } from '../../src/bytes.ts'
import { publicKeyOf, verifySync } from '../../src/crypto/sign.ts'
import type { ControlBody, DeviceKeys } from '../../src/verify/control.ts'
import {
  added,
  crew,
  deviceOf,
  filled,
  goOn,
  invited,
  joined,
  judged,
  memberOf,
  stranger,
  type Who,
} from '../helpers/crew.ts'
import { deviceKeys, type LogBuilder, type TestDevice, testDevice } from '../helpers/log-builder.ts'

const EVERYBODY: readonly Who[] = ['owner', 'admin', 'peer', 'writer', 'reader', 'late']

describe('one more device', () => {
  it('is of the author’s own member, whatever the role, and speaks at once (R-DEVICE-2)', async () => {
    const { log, ...who } = crew()
    for (const author of EVERYBODY) {
      const own = log.fork()
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
    filled(log, writer)
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
    log.act(owner, log.bodies.rotate())
    const spent = invited(log, owner)
    joined(log, spent)
    const turnedDown = joined(log, invited(log, owner, { kind: 'approved' }))
    log.act(owner, log.bodies.revoke(turnedDown.number))
    log.act(owner, log.bodies.removeMember(memberOf(log, writer)))
    log.act(admin, log.bodies.leave())
    log.act(owner, log.bodies.rotate())
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
