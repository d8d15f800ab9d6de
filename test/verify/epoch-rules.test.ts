import { describe, expect, it } from 'vitest'
import { namesSecretOf, readSecretOf } from '../../src/crypto/commitments.ts'
import { deriveEpoch, openLink } from '../../src/crypto/epoch.ts'
import { openWrap } from '../../src/crypto/wrap.ts'
import type { ControlBody } from '../../src/verify/control.ts'
import { decodeControlBody } from '../../src/verify/control-codec.ts'
import { mayRotate } from '../../src/verify/epoch-rules.ts'
import { nextRecipients, recipientsOf } from '../../src/verify/wraps.ts'
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
import { type BuiltEntry, bytesOf, LogBuilder, testDevice, verdictOf } from '../helpers/log-builder.ts'

const NOT_ALLOWED = 'ERR_UNAUTHORIZED role'
const DELIVERY = 'ERR_INVALID_ENTRY delivery'
const EVERYBODY: readonly Who[] = ['owner', 'admin', 'peer', 'writer', 'reader', 'late']
/** Who may write, and may read everything. */
const KEEPERS: readonly Who[] = ['owner', 'admin', 'peer', 'writer']

const judge = (log: LogBuilder, entry: BuiltEntry): Promise<string> => verdictOf(() => log.judge(entry))

describe('a rotation', () => {
  it('is by whoever may write and read everything (R-ROTATE-1)', async () => {
    const { log, ...who } = crew()
    goOn(log, who.owner, 16)
    for (const author of EVERYBODY) {
      const expected = KEEPERS.includes(author) ? 'accepted' : NOT_ALLOWED
      expect(await judged(log, who[author], log.bodies.rotate()), author).toBe(expected)
      const { member } = deviceOf(log, who[author])
      expect(mayRotate(log.controlState, member, log.size), author).toBe(KEEPERS.includes(author))
    }
  })

  it('starts the next epoch, from its own entry on, and settles what there was to settle (R-ROTATE-5)', async () => {
    const { log, owner, reader } = crew()
    log.act(reader, log.bodies.leave())
    const body = log.bodies.rotate()
    const entry = log.act(owner, body)
    const [, , record] = log.controlState.epochs
    expect(record).toMatchObject({ ...body.epoch, index: log.size - 1, device: 0, time: body.time })
    expect(record?.deliveries).toEqual([{ ...body.delivery, index: log.size - 1, device: 0 }])
    expect(entry.decoded.epoch).toBe(1)
    expect(log.controlState.rotation).toBe('settled')
    expect(await judge(log, log.changes(owner))).toBe('accepted')
    expect(await judge(log, log.changes(owner, { epoch: 1 }))).toBe('ERR_STALE_EPOCH epoch')
  })

  it('of two on one base is the first: the other one is stale, and never valid later (R-ROTATE-2)', async () => {
    const { log, owner, admin } = crew()
    joined(log, invited(log, owner))
    const [first, second] = [log.control(owner, log.bodies.rotate()), log.control(admin, log.bodies.rotate())] as const
    log.append(first)
    expect(await judge(log, second)).toBe('ERR_STALE_EPOCH epoch')
    // Neither by a header that says otherwise.
    expect(await judged(log, admin, decodeControlBody(second.body))).toBe('ERR_STALE_EPOCH base')
    expect(epochOf(log)).toBe(2)
  })

  it('counts only on the control head: who came or went since would be left out, or still be in (R-ROTATE-2)', async () => {
    const { log, owner, admin, reader, writer } = crew()
    goOn(log, owner, 16)
    const body = log.bodies.rotate()
    const acts: readonly ((log: LogBuilder) => void)[] = [
      each => added(each, writer),
      each => invited(each, owner),
      each => each.act(owner, each.bodies.removeMember(memberOf(each, reader))),
    ]
    for (const act of acts) {
      const other = log.fork()
      act(other)
      expect(await judged(other, admin, body)).toBe('ERR_STALE_EPOCH base')
    }
    expect(await judged(log, admin, { ...body, base: bytesOf('x') })).toBe('ERR_STALE_EPOCH base')
    // Documents may go on in the meantime, and nobody holds it up by talking.
    goOn(log, owner, 3)
    for (let i = 0; i < 3; i++) log.act(reader, log.bodies.rename({ member: memberOf(log, reader) }, `Name ${i}`))
    expect(await judged(log, admin, body)).toBe('accepted')
  })

  it('has a wrap for every device that is due one, a link to an epoch that there is, and a secret of its own (R-ROTATE-4)', async () => {
    const { log, owner } = crew()
    goOn(log, owner, 16)
    const body = log.bodies.rotate()
    const { delivery } = body
    expect(delivery.wrapsCount).toBe(6)
    for (const wrapsCount of [5, 7, 0]) {
      expect(await judged(log, owner, { ...body, delivery: { ...delivery, wrapsCount } })).toBe(DELIVERY)
    }
    for (const target of [2, 3, Number.MAX_SAFE_INTEGER]) {
      expect(await judged(log, owner, { ...body, delivery: { ...delivery, target } })).toBe(DELIVERY)
    }
    expect(await judged(log, owner, log.bodies.rotate({ target: 0 }))).toBe('accepted')
    for (const epoch of [0, 1]) {
      const replayed = log.bodies.rotate({ secret: log.bodies.secretOf(epoch) })
      expect(await judged(log, owner, replayed)).toBe(DELIVERY)
    }
  })

  it('without a reason waits for 16 entries where the epoch in force is the member’s own (R-ROTATE-3)', async () => {
    const { log, owner, admin, writer } = crew()
    const tablet = added(log, owner)
    // Epoch 1 was the owner's, three entries ago.
    while (log.size - (log.controlState.epochs[1]?.index ?? 0) < 16) {
      for (const device of [owner, tablet]) {
        expect(await judged(log, device, log.bodies.rotate())).toBe('ERR_RATE_LIMITED rate')
        expect(mayRotate(log.controlState, memberOf(log, device), log.size)).toBe(false)
      }
      goOn(log, writer, 1)
    }
    expect(await judged(log, tablet, log.bodies.rotate())).toBe('accepted')
    // What somebody else has delivered wrongly, one may replace at once.
    log.act(admin, log.bodies.rotate())
    expect(await judged(log, admin, log.bodies.rotate())).toBe('ERR_RATE_LIMITED rate')
    for (const device of [owner, tablet, writer])
      expect(await judged(log, device, log.bodies.rotate())).toBe('accepted')
    // The genesis started an epoch, too, and keeps nobody from the next.
    const young = new LogBuilder()
    young.append(young.genesis())
    expect(await judged(young, young.owner, young.bodies.rotate())).toBe('accepted')
  })

  it('with a reason waits for nothing, once (R-ROTATE-3)', async () => {
    const reasons: Readonly<Record<string, (made: Crew) => unknown>> = {
      'a removal': ({ log, owner, reader }) => log.act(owner, log.bodies.removeMember(memberOf(log, reader))),
      'a leave': ({ log, reader }) => log.act(reader, log.bodies.leave()),
      'a revoked link': ({ log, owner }) => log.act(owner, log.bodies.revoke(invited(log, owner).number)),
      'a link that was used': ({ log, owner }) => joined(log, invited(log, owner)),
      'a member who is to read from now on': ({ log, owner }) => invited(log, owner, { history: 'from-join' }),
      'a new administrator': ({ log, owner, late }) => log.act(owner, log.bodies.setRole(memberOf(log, late), 'admin')),
    }
    for (const [reason, act] of Object.entries(reasons)) {
      const made = crew()
      const { log, owner } = made
      expect(await judged(log, owner, log.bodies.rotate())).toBe('ERR_RATE_LIMITED rate')
      act(made)
      expect(await judged(log, owner, log.bodies.rotate()), reason).toBe('accepted')
      log.act(owner, log.bodies.rotate())
      expect(await judged(log, owner, log.bodies.rotate()), reason).toBe('ERR_RATE_LIMITED rate')
    }
    const { log, owner } = crew()
    goOn(log, owner, 16)
    log.act(owner, log.bodies.rotate())
    expect(await judged(log, owner, log.bodies.rotate())).toBe('ERR_RATE_LIMITED rate')
  })

  it('gives every recipient what it may have, and a way back (R-WRAP-1, R-WRAP-5, R-EPOCH-6)', () => {
    const { log, owner, late } = crew()
    const guest = testDevice('guest', log.nextNumber)
    log.act(owner, log.bodies.invite(guest))
    goOn(log, owner, 16)
    const body = log.bodies.rotate()
    const recipients = nextRecipients(log.controlState)
    const { wraps } = log.act(owner, body)
    const wrapOf = (number: number): Uint8Array => {
      const at = recipients.findIndex(recipient => recipient.number === number)
      return (wraps as Uint8Array).subarray(at * 1168, (at + 1) * 1168)
    }
    const context = { space: log.spaceBytes, epoch: 2 }
    const secret = log.bodies.secretOf(2)
    for (const { number, kemSeed: seed } of [owner, guest]) {
      const opened = openWrap({ ...context, device: number, payloadKind: 0, seed, wrap: wrapOf(number) })
      expect(opened).toEqual(secret)
    }
    const read = openWrap({
      ...context,
      device: late.number,
      payloadKind: 1,
      seed: late.kemSeed,
      wrap: wrapOf(late.number),
    })
    expect(read).toEqual(readSecretOf(secret))
    const { link, namesLink } = body.delivery
    const { historySecret } = deriveEpoch(secret)
    const before = log.bodies.secretOf(1)
    expect(openLink('history', { ...context, target: 1, key: historySecret, link })).toEqual(before)
    const names = openLink('names', { ...context, target: 1, key: namesSecretOf(read), link: namesLink })
    expect(names).toEqual(namesSecretOf(readSecretOf(before)))
  })
})

describe('whom an epoch is for (R-WRAP-5)', () => {
  const numbersAt = (log: LogBuilder, epoch?: number): readonly number[] =>
    (epoch === undefined ? nextRecipients(log.controlState) : recipientsOf(log.controlState, epoch)).map(
      ({ number }) => number,
    )

  it('is for current devices, and those of links that let somebody in; in ascending order', () => {
    const { log, ...who } = crew()
    const current = EVERYBODY.map(name => who[name].number)
    const ascending = (...more: readonly number[]): readonly number[] => [...current, ...more].sort((a, b) => a - b)
    expect(numbersAt(log)).toEqual(ascending())
    const tablet = added(log, who.writer)
    const instant = invited(log, who.owner)
    const next = invited(log, who.owner, { history: 'from-join' })
    const phone = invited(log, who.late, {
      kind: 'device',
      member: memberOf(log, who.late),
      history: 'from-join',
    })
    const asking = invited(log, who.owner, { kind: 'approved' })
    const all = ascending(tablet.number, instant.number, next.number, phone.number)
    expect(numbersAt(log)).toEqual(all)
    const asker = joined(log, asking)
    expect(numbersAt(log)).toEqual(all)
    log.act(who.owner, log.bodies.approve(asker.number))
    expect(numbersAt(log)).toEqual([...all, asker.number])
    log.act(who.owner, log.bodies.removeDevice(tablet.number))
    log.act(who.owner, log.bodies.revoke(instant.number))
    const rest = all.filter(number => number !== tablet.number && number !== instant.number)
    expect(numbersAt(log)).toEqual([...rest, asker.number])
  })

  it('holds no more than their history: of everything, or from the epoch that they read from', () => {
    const { log, owner, late, admin } = crew()
    const next = invited(log, admin, { history: 'from-join' })
    const kinds = (epoch: number) =>
      new Map(recipientsOf(log.controlState, epoch).map(({ number, payloadKind }) => [number, payloadKind]))
    expect(kinds(0).has(late.number)).toBe(false)
    expect(kinds(1).get(late.number)).toBe(1)
    expect(kinds(1).has(next.number)).toBe(false)
    expect(kinds(2).get(next.number)).toBe(1)
    expect(kinds(0).get(owner.number)).toBe(0)
    // A device that another brings in before its own first key gets no earlier one either.
    const early = joined(log, next)
    const tablet = added(log, early)
    expect(kinds(1).has(tablet.number)).toBe(false)
    expect(kinds(2).get(tablet.number)).toBe(1)
    // Who is to administer reads everything.
    log.act(owner, log.bodies.setRole(memberOf(log, late), 'admin'))
    expect(kinds(0).get(late.number)).toBe(0)
  })
})

describe('a repair', () => {
  it('is by whoever may write and read everything, of an epoch that there is (R-REPAIR-1)', async () => {
    const { log, ...who } = crew()
    for (const author of EVERYBODY) {
      const expected = KEEPERS.includes(author) ? 'accepted' : NOT_ALLOWED
      for (const epoch of [0, 1]) {
        expect(await judged(log, who[author], log.bodies.repair(epoch)), author).toBe(expected)
      }
    }
    const { owner } = who
    const repair = log.bodies.repair(1)
    const { delivery } = repair
    const wrong: readonly ControlBody[] = [
      { ...repair, epoch: 2 },
      { ...repair, delivery: { ...delivery, target: 1 } },
      { ...repair, delivery: { ...delivery, wrapsCount: 5 } },
      { ...log.bodies.repair(0), delivery: { ...log.bodies.repair(0).delivery, target: 1 } },
    ]
    for (const body of wrong) expect(await judged(log, owner, body)).toBe(DELIVERY)
  })

  it('stands beside what was delivered before, under whichever epoch its author knew (R-REPAIR-3, R-EPOCH-4)', async () => {
    const { log, owner, admin } = crew()
    const body = log.bodies.repair(1)
    log.act(admin, body, { epoch: 0 })
    const { deliveries, readCommit } = log.controlState.epochs[1] as NonNullable<(typeof log.controlState.epochs)[1]>
    expect(deliveries.map(({ device }) => device)).toEqual([owner.number, admin.number])
    expect(deliveries[1]).toMatchObject(body.delivery)
    expect(readCommit).toEqual(deriveEpoch(log.bodies.secretOf(1)).readCommit)
    expect(epochOf(log)).toBe(1)
    expect(log.controlState.rotation).toBe('settled')
  })

  it('comes once of each member and epoch, so that two who disagree come to an end (R-REPAIR-2)', async () => {
    const { log, owner, admin, writer } = crew()
    const tablet = added(log, admin)
    log.act(admin, log.bodies.repair(1))
    for (const device of [admin, tablet]) {
      expect(await judged(log, device, log.bodies.repair(1))).toMatch(/ rate$/)
      expect(await judged(log, device, log.bodies.repair(0))).toBe('accepted')
    }
    expect(await judged(log, writer, log.bodies.repair(1))).toBe('accepted')
    // Who started the epoch may mend what it delivered itself.
    expect(await judged(log, owner, log.bodies.repair(1))).toBe('accepted')
  })

  it('reaches who has come in the meantime, and not who has gone (R-WRAP-5)', () => {
    const { log, owner, reader } = crew()
    const device = joined(log, invited(log, owner))
    log.act(owner, log.bodies.removeMember(memberOf(log, reader)))
    const recipients = recipientsOf(log.controlState, 0).map(({ number }) => number)
    expect(recipients).toContain(device.number)
    expect(recipients).not.toContain(reader.number)
    expect(log.judge(log.control(owner, log.bodies.repair(0))).recipients?.map(({ number }) => number)).toEqual(
      recipients,
    )
  })
})

describe('a grant', () => {
  /** A member who reads from epoch 3 on, and one of the same sort. */
  function locked(): Crew & { readonly epoch: number } {
    const made = crew()
    const { log, owner } = made
    for (let i = 0; i < 2; i++) {
      goOn(log, owner, 16)
      log.act(owner, log.bodies.rotate())
    }
    return { ...made, epoch: epochOf(log) }
  }

  it('of earlier epochs is by admins (R-GRANT-1)', async () => {
    const { log, ...who } = locked()
    for (const author of EVERYBODY) {
      const expected = ['owner', 'admin', 'peer'].includes(author) ? 'accepted' : NOT_ALLOWED
      const body = log.bodies.grant(who.late.number, 0)
      expect(await judged(log, who[author], body), author).toBe(expected)
    }
  })

  it('or by a device of the same member, of no more than it may read itself (R-GRANT-1)', async () => {
    const { log, late } = locked()
    const tablet = added(log, late)
    expect(deviceOf(log, tablet).readsFrom).toBe(3)
    expect(await judged(log, late, log.bodies.grant(tablet.number, 1))).toBe('accepted')
    expect(await judged(log, late, log.bodies.grant(tablet.number, 0))).toBe(NOT_ALLOWED)
    expect(await judged(log, tablet, log.bodies.grant(tablet.number, 1))).toBe(NOT_ALLOWED)
  })

  it('is of epochs that there are, to one that cannot read everything (R-GRANT-3)', async () => {
    const { log, owner, writer, late } = locked()
    for (const from of [epochOf(log) + 1, 9]) {
      const body = { ...log.bodies.grant(late.number, 0), from }
      expect(await judged(log, owner, body)).toBe('ERR_INVALID_ENTRY member')
    }
    expect(await judged(log, owner, log.bodies.grant(writer.number, 0))).toBe('ERR_INVALID_ENTRY member')
    const guest = invited(log, owner, { history: 'from-join' })
    expect(await judged(log, owner, log.bodies.grant(guest.number, 0))).toBe('ERR_INVALID_ENTRY member')
    log.act(owner, log.bodies.grant(late.number, 0))
    expect(deviceOf(log, late).readsFrom).toBe(0)
    expect(await judged(log, owner, log.bodies.grant(late.number, 0))).toBe('accepted')
    // Later epochs of it may be said again by themselves: it still reads from the first.
    log.act(owner, { ...log.bodies.grant(late.number, 0), from: epochOf(log) })
    expect(deviceOf(log, late).readsFrom).toBe(0)
    // From now on repairs of those epochs are for it, too.
    expect(recipientsOf(log.controlState, 0).map(({ number }) => number)).toContain(late.number)
  })

  it('is of nobody who has gone (R-MEMBER-2)', async () => {
    const { log, owner, late } = locked()
    const body = log.bodies.grant(late.number, 0)
    log.act(owner, log.bodies.removeMember(memberOf(log, late)))
    expect(await judged(log, owner, body)).toBe('ERR_INVALID_ENTRY member')
    expect(await judged(log, owner, { ...body, device: 999 })).toBe('ERR_INVALID_ENTRY member')
  })
})

describe('under which epoch a control entry is written', () => {
  it('is the one in force, where it brings a key of it (R-EPOCH-1)', async () => {
    const { log, owner, writer } = crew()
    const asker = joined(log, invited(log, owner, { kind: 'approved' }))
    goOn(log, owner, 16)
    const stranger = testDevice('stranger', log.nextNumber)
    const bodies: readonly ControlBody[] = [
      log.bodies.invite(stranger),
      log.bodies.deviceInvite(owner, stranger),
      log.bodies.approve(asker.number),
      log.bodies.addDevice(owner, stranger),
      log.bodies.rotate(),
    ]
    for (const body of bodies) {
      for (const epoch of [0, 2]) {
        expect(await judged(log, owner, body, { epoch }), body.type).toBe('ERR_STALE_EPOCH epoch')
      }
    }
    expect(await judge(log, log.changes(writer, { epoch: 0 }))).toBe('ERR_STALE_EPOCH epoch')
  })

  it('is any that there was, for all others; and none that there is not yet (R-EPOCH-4)', async () => {
    const { log, owner, writer, late, admin } = crew()
    const guest = invited(log, owner)
    goOn(log, owner, 16)
    log.act(owner, log.bodies.rotate())
    const member = memberOf(log, writer)
    const bodies: readonly ControlBody[] = [
      log.bodies.revoke(guest.number),
      log.bodies.removeDevice(writer.number),
      log.bodies.removeMember(member),
      log.bodies.setRole(member, 'reader'),
      log.bodies.policy({ attestations: 3 }),
      log.bodies.repair(1),
      log.bodies.grant(late.number, 0),
      log.bodies.rename({ member }, 'Another'),
    ]
    for (const body of bodies) {
      for (const epoch of [0, 1, 2]) {
        expect(await judged(log, owner, body, { epoch }), body.type).toBe('accepted')
      }
      expect(await judged(log, owner, body, { epoch: 3 }), body.type).toBe('ERR_STALE_EPOCH epoch')
    }
    expect(await judged(log, admin, log.bodies.leave(), { epoch: 0 })).toBe('accepted')
  })
})
