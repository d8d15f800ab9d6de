import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../src/bytes.ts'
import type { MemberId } from '../../src/ids.ts'
import { type ControlBody, HISTORIES, INVITE_KINDS, ROLES, roleNumber } from '../../src/verify/control.ts'
import { devicesOf, mayActOn } from '../../src/verify/control-change.ts'
import { hashControl } from '../../src/verify/control-hash.ts'
import { controlRows, readControlRows } from '../../src/verify/control-rows.ts'
import { type ControlState, currentMember, isMemberDevice, latestEpoch } from '../../src/verify/control-state.ts'
import type { SpaceState } from '../../src/verify/state.ts'
import { nextRecipients } from '../../src/verify/wraps.ts'
import { crew } from '../helpers/crew.ts'
import { LogBuilder, memberNamed, type TestDevice, testDevice, verdictOf } from '../helpers/log-builder.ts'

const ACTS = [
  'invite',
  'invite',
  'invite',
  'device invite',
  'join',
  'join',
  'join',
  'approve',
  'revoke',
  'add-device',
  'remove-device',
  'remove-member',
  'leave',
  'set-role',
  'rotate',
  'rotate',
  'repair',
  'grant',
  'rename',
  'changes',
  'old epoch',
  'reused keys',
] as const

interface Step {
  readonly what: (typeof ACTS)[number]
  readonly who: number
  readonly whom: number
  readonly n: number
}

const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.noBias(fc.record({ what: fc.constantFrom(...ACTS), who: fc.nat(15), whom: fc.nat(15), n: fc.nat(23) })),
  { minLength: 20, maxLength: 40, size: 'max' },
)

/** Who could be meant by a number: so that some acts are by and about those that there are, and some are not. */
function pick<T>(list: readonly T[], at: number): T | undefined {
  return list[at % Math.max(1, list.length)]
}

/** Anybody; often one of the first, who may do more, and of joins mostly one of those who can. */
function authorOf(log: LogBuilder, devices: readonly TestDevice[], { what, who, whom, n }: Step): TestDevice {
  const invited = devices.filter(({ number }) => log.controlState.invites.has(number))
  if (what === 'join' && n > 3 && invited.length > 0) return pick(invited, who) as TestDevice
  return pick(whom % 2 === 0 ? devices.slice(0, 2) : devices, who) as TestDevice
}

function bodyOf(
  log: LogBuilder,
  devices: readonly TestDevice[],
  author: TestDevice,
  step: Step,
): ControlBody | undefined {
  const { what, whom, n } = step
  const { bodies, controlState: control } = log
  const target = pick(devices, whom) as TestDevice
  const record = control.devices.get(target.number)
  const member = record?.member ?? memberNamed('nobody')
  const fresh = testDevice(`device ${devices.length}`, control.count)
  const role = ROLES[n % 4] as (typeof ROLES)[number]
  const open = pick([...control.invites.values()], whom)
  switch (what) {
    case 'invite': {
      const kind = INVITE_KINDS[n % 2] as (typeof INVITE_KINDS)[number]
      const history = HISTORIES[(n >> 1) % 2] as (typeof HISTORIES)[number]
      return bodies.invite(fresh, { kind, history, role, ...(n > 20 ? { member } : {}) })
    }
    case 'device invite':
      return control.members.has(control.devices.get(author.number)?.member as MemberId)
        ? bodies.deviceInvite(author, fresh, n > 20 ? { member } : {})
        : undefined
    case 'join':
      return bodies.join(fresh, author.number)
    case 'approve':
      return open && bodies.approve(open.number)
    case 'revoke':
      return bodies.revoke(open?.number ?? target.number)
    case 'add-device':
      return bodies.addDevice(author, fresh)
    case 'remove-device':
      return bodies.removeDevice(target.number)
    case 'remove-member':
      return bodies.removeMember(member)
    case 'leave':
      return bodies.leave()
    case 'set-role':
      return bodies.setRole(member, role)
    case 'rotate':
    case 'old epoch':
      return bodies.rotate({}, what === 'old epoch' ? { base: control.space } : {})
    case 'repair':
      return bodies.repair(n % control.epochs.length)
    case 'grant':
      return bodies.grant(target.number, n % control.epochs.length)
    case 'rename':
      return bodies.rename(n % 3 === 0 ? 'space' : n % 3 === 1 ? { member } : { device: target.number }, `name ${n}`)
    case 'reused keys':
      return { ...bodies.addDevice(author, fresh), device: bodies.addDevice(author, target).device }
    default:
      return undefined
  }
}

interface Played {
  readonly log: LogBuilder
  readonly taken: number
  readonly refused: number
}

/** Everybody tries everything: what the reducer refuses changes nothing. */
async function play(list: readonly Step[], check: (before: ControlState, log: LogBuilder) => void): Promise<Played> {
  const { log, ...members } = crew({ blind: true })
  const devices: TestDevice[] = Object.values(members)
  let taken = 0
  for (const step of list) {
    const author = authorOf(log, devices, step)
    const before = log.controlState
    const number = before.count
    const verdict = await verdictOf(() => {
      if (step.what === 'changes') log.append(log.changes(author))
      else {
        const body = bodyOf(log, devices, author, step)
        if (body !== undefined) log.act(author, body, step.n % 7 === 0 ? { epoch: 0 } : {})
      }
    })
    if (verdict !== 'accepted') {
      expect(log.controlState).toBe(before)
      continue
    }
    taken++
    // Keys are named after how many devices there are: those that were refused may be used again.
    if (log.controlState.devices.has(number)) devices.push(testDevice(`device ${devices.length}`, number))
    check(before, log)
  }
  return { log, taken, refused: list.length - taken }
}

describe('whatever members do, by their rights or beyond them', () => {
  it('the space stays one that can go on (R-ROLE-4, R-KEY-3, R-REMOVE-4, R-REMOVE-6, R-ROLE-5, R-STATE-2)', async () => {
    const counts = { taken: 0, refused: 0, epochs: 0, removed: 0, members: 0 }
    await fc.assert(
      fc.asyncProperty(steps, async list => {
        const stored = new Map<string, Uint8Array>()
        let kept: ControlState | undefined
        const played = await play(list, (before, log) => {
          const { controlState: control } = log
          assertInvariants(control)
          assertNothingReturns(before, control)
          for (const { name, value } of controlRows(control, kept)) stored.set(name, value)
          kept = control
          const read = readControlRows([...stored].map(([name, value]) => ({ name, value })))
          expect(toHex(hashControl(read))).toBe(toHex(hashControl(control)))
        })
        const { log } = played
        counts.taken += played.taken
        counts.refused += played.refused
        counts.epochs += latestEpoch(log.controlState) - 1
        counts.members += log.controlState.members.size - 6
        counts.removed += [...log.controlState.members.values()].filter(({ removed }) => removed !== undefined).length
        assertReplays(log)
      }),
      { numRuns: 25 },
    )
    // The script is worth something only if both sides of the rules were met; which of the rest is up to the seed.
    expect(counts.taken).toBeGreaterThan(0)
    expect(counts.refused).toBeGreaterThan(0)
  }, 60_000)
})

function assertInvariants(control: ControlState): void {
  const devices = [...control.devices.values()]
  const current = [...control.members.values()].filter(({ removed }) => removed === undefined)

  // There is an owner who can speak, and everybody who is a member has a device to speak with.
  expect(current.some(({ id, role }) => role === 'owner' && devicesOf(control, id).length > 0)).toBe(true)
  for (const { id, role, history } of current) {
    expect(devicesOf(control, id).length).toBeGreaterThan(0)
    // Who administers may read everything, so it is his to give.
    if (roleNumber(role) >= roleNumber('admin')) expect(history).toBe('all')
  }
  // A current device is of a current member, or stands for an open invite or request.
  for (const device of devices) {
    if (device.removed !== undefined) continue
    if (device.standing !== 'member') expect(control.invites.has(device.number)).toBe(true)
    else expect([currentMember(control, device.member)?.id, device.name === undefined]).toEqual([device.member, false])
  }
  // No key twice, whatever became of its device.
  for (const keys of [devices.map(({ signing }) => signing), devices.map(({ kem }) => kem)]) {
    expect(new Set(keys.map(toHex)).size).toBe(devices.length)
  }
  for (const [number, invite] of control.invites) {
    const device = control.devices.get(number)
    expect(device).toMatchObject({ number, member: invite.member, removed: undefined })
    expect(device?.standing).not.toBe('member')
    // Its maker is there, with the device that made it and with the power that it took.
    const inviter = currentMember(control, invite.inviter)
    expect(inviter).toBeDefined()
    expect(isMemberDevice(control.devices.get(invite.device))).toBe(true)
    if (invite.kind === 'device') expect(invite.member).toBe(invite.inviter)
    else expect(inviter !== undefined && mayActOn(inviter, invite.role)).toBe(true)
  }
  const next = nextRecipients(control)
  expect(next.map(({ number }) => number)).toEqual([...next.map(({ number }) => number)].sort((a, b) => a - b))
  // Whoever is a member gets the next key, on every device; nobody does who is none and holds no link.
  const speaking = devices.filter(isMemberDevice).map(({ number }) => number)
  const links = next.filter(({ number }) => control.invites.has(number)).map(({ number }) => number)
  expect(next.map(({ number }) => number)).toEqual([...speaking, ...links].sort((a, b) => a - b))
}

function assertNothingReturns(before: ControlState, after: ControlState): void {
  for (const { number, removed, signing, kem, member } of before.devices.values()) {
    const now = after.devices.get(number)
    expect([now?.signing === signing, now?.kem === kem, now?.member === member]).toEqual([true, true, true])
    if (removed !== undefined) expect(now?.removed).toBe(removed)
  }
  for (const { id, removed, history } of before.members.values()) {
    const now = after.members.get(id)
    if (removed !== undefined) expect(now?.removed).toBe(removed)
    // What was given to read is not taken back.
    if (history === 'all') expect(now?.history).toBe('all')
  }
  expect(after.epochs.length).toBeGreaterThanOrEqual(before.epochs.length)
  expect(after.count).toBe(before.head === after.head ? before.count : before.count + 1)
}

/** By the log alone, and going on from the rows of any place in it, one comes to the same state. */
function assertReplays(log: LogBuilder): void {
  const half = Math.ceil(log.size / 2)
  const again = new LogBuilder()
  for (const entry of log.entries) {
    if (again.size === half) again.state = fromRows(again.stateAt())
    again.append(entry)
  }
  expect(toHex(again.checkpoint().stateRoot)).toBe(toHex(log.checkpoint().stateRoot))
  expect(again.controlState).toEqual(log.controlState)
}

function fromRows({ control, documents }: SpaceState): SpaceState {
  return { control: readControlRows(controlRows(control)), documents }
}
