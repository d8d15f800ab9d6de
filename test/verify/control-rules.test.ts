import { describe, expect, it } from 'vitest'
import { crew, deviceOf, invited, joined, judged, memberOf, type Who } from '../helpers/crew.ts'
import { type BuiltEntry, type LogBuilder, memberNamed, verdictOf } from '../helpers/log-builder.ts'

const NOT_ALLOWED = 'ERR_UNAUTHORIZED role'
const EVERYBODY: readonly Who[] = ['owner', 'admin', 'peer', 'writer', 'reader', 'late']

const judge = (log: LogBuilder, entry: BuiltEntry): Promise<string> => verdictOf(() => log.judge(entry))

describe('the policy', () => {
  it('is changed by owners and nobody else (R-POLICY-1)', async () => {
    const { log, ...who } = crew()
    for (const author of EVERYBODY) {
      const expected = author === 'owner' ? 'accepted' : NOT_ALLOWED
      expect(await judged(log, who[author], log.bodies.policy({ attestations: 0 })), author).toBe(expected)
    }
  })

  it('counts from its entry on, and never says that another relay is this one (R-POLICY-2)', async () => {
    const { log, owner, writer } = crew()
    const body = log.bodies.policy(
      { maxBodyLength: 20, rotateEntries: 500, rotateDays: 30 },
      { url: 'wss://moved.test' },
    )
    log.act(owner, body)
    const { policy, relay, rotation } = log.controlState
    expect(policy).toEqual(body.policy)
    expect(relay).toEqual({ ...log.relay, url: 'wss://moved.test' })
    expect(rotation).toBe('settled')
    expect(await judge(log, log.changes(writer))).toBe('ERR_INVALID_ENTRY length')
  })
})

describe('a name', () => {
  it('of the space is given by admins (R-RENAME-1)', async () => {
    const { log, ...who } = crew()
    for (const author of EVERYBODY) {
      const expected = ['owner', 'admin', 'peer'].includes(author) ? 'accepted' : NOT_ALLOWED
      expect(await judged(log, who[author], log.bodies.rename('space', 'New')), author).toBe(expected)
    }
  })

  it('of a member or a device is given by the member, or by somebody above it (R-RENAME-1)', async () => {
    const { log, ...who } = crew()
    const below: readonly Who[] = ['writer', 'reader', 'late']
    for (const author of EVERYBODY) {
      for (const target of EVERYBODY) {
        const isAbove = author === 'owner' || ((author === 'admin' || author === 'peer') && below.includes(target))
        const expected = author === target || isAbove ? 'accepted' : NOT_ALLOWED
        const ofMember = log.bodies.rename({ member: memberOf(log, who[target]) }, 'New')
        const ofDevice = log.bodies.rename({ device: who[target].number }, 'New')
        expect(await judged(log, who[author], ofMember), `${author} names ${target}`).toBe(expected)
        expect(await judged(log, who[author], ofDevice), `${author} names the device of ${target}`).toBe(expected)
      }
    }
  })

  it('takes the place of the one before, with the epoch that it is sealed for (R-RENAME-2)', () => {
    const { log, owner, writer, reader } = crew()
    const member = memberOf(log, writer)
    const bodies = [
      log.bodies.rename('space', 'Space 2'),
      log.bodies.rename({ member }, 'Writer 2'),
      log.bodies.rename({ device: writer.number }, 'Device 2'),
    ] as const
    log.act(owner, bodies[0])
    log.act(owner, bodies[1])
    log.act(writer, bodies[2], { epoch: 0 })
    const { spaceName, members, devices } = log.controlState
    expect(spaceName).toEqual({ epoch: 1, sealed: bodies[0].name })
    expect(members.get(member)?.name).toEqual({ epoch: 1, sealed: bodies[1].name })
    expect(devices.get(writer.number)?.name).toEqual({ epoch: 0, sealed: bodies[2].name })
    // Of a device, the member in the body says nothing, and nothing else changes.
    expect(members.get(memberOf(log, reader))?.name.sealed).not.toEqual(bodies[1].name)
    expect(deviceOf(log, writer)).toMatchObject({ standing: 'member', member })
  })

  it('is of what is there: of nobody who has gone, is asking or is only invited (R-MEMBER-2)', async () => {
    const { log, owner, writer } = crew()
    const guest = invited(log, owner)
    const asker = joined(log, invited(log, owner, { kind: 'approved' }))
    const member = memberOf(log, writer)
    log.act(owner, log.bodies.removeMember(member))
    log.act(owner, log.bodies.rotate())
    const { rename } = log.bodies
    const things = [
      { member },
      { member: memberNamed('a stranger') },
      { member: memberOf(log, asker) },
      ...[writer, guest, asker, { number: 999 }].map(({ number }) => ({ device: number })),
    ]
    for (const thing of things) {
      expect(await judged(log, owner, rename.call(log.bodies, thing, 'New'))).toBe('ERR_INVALID_ENTRY member')
    }
  })
})
