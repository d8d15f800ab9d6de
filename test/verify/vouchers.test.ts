import { describe, expect, it } from 'vitest'
import type { MemberId } from '../../src/ids.ts'
import { encodeNote, parseNote } from '../../src/verify/checkpoint.ts'
import type { ControlState, DeviceRecord, MemberRecord } from '../../src/verify/control-state.ts'
import { cosignerName } from '../../src/verify/cosignature.ts'
import { COSIGNATURE_V1, noteKeyHash } from '../../src/verify/note-key.ts'
import { type Asking, vouchersOf } from '../../src/verify/vouchers.ts'
import { cosigned } from '../helpers/log-answers.ts'
import { bytesOf, LogBuilder, type TestDevice, testDevice, verdictOf } from '../helpers/log-builder.ts'

const log = new LogBuilder()
log.append(log.genesis())
const { owner } = log
const me = log.admit('me')
const anna = log.admit('anna', 'admin')
const ben = log.admit('ben')
const cleo = log.admit('cleo')
const PINNED = withPolicy(log.stateAt().control, 1)
const newcomer = log.admit('newcomer', 'admin')
log.append(log.changes(owner))
const CURRENT = log.stateAt().control

const NOTE = log.note()
const memberOf = (device: TestDevice): MemberId => (CURRENT.devices.get(device.number) as DeviceRecord).member

function withPolicy(control: ControlState, attestations: number): ControlState {
  return { ...control, policy: { ...control.policy, attestations } }
}

const REMOVED = { number: CURRENT.count, index: log.size, epoch: 0 }

/** States that no log leads to, so that each condition stands alone: a device without its member, and the reverse. */
function withDevice(control: ControlState, number: number, change: Partial<DeviceRecord>): ControlState {
  const devices = new Map(control.devices)
  devices.set(number, { ...(devices.get(number) as DeviceRecord), ...change })
  return { ...control, devices }
}

function withoutMember(control: ControlState, member: MemberId): ControlState {
  const members = new Map(control.members)
  members.set(member, { ...(members.get(member) as MemberRecord), removed: REMOVED })
  return { ...control, members }
}

const asking = (change: Partial<Asking> = {}): Asking => ({
  member: memberOf(me),
  device: me.number,
  pinned: PINNED,
  current: CURRENT,
  ...change,
})

/** Who vouches for the note, in the order of the note, or the code of the refusal. */
async function answer(devices: readonly TestDevice[], change: Partial<Asking> = {}, note = NOTE): Promise<string> {
  const bytes = await cosigned(log, note, devices)
  return answerTo(bytes, change)
}

async function answerTo(bytes: Uint8Array, change: Partial<Asking> = {}): Promise<string> {
  let found: readonly MemberId[] = []
  const verdict = await verdictOf(() => {
    found = vouchersOf(bytes, log.space, asking(change))
  })
  if (verdict !== 'accepted') return verdict
  const names = new Map([owner, me, anna, ben, cleo, newcomer].map((device, i) => [memberOf(device), NAMES[i]]))
  return found.map(member => names.get(member)).join(' ')
}

const NAMES = ['owner', 'me', 'anna', 'ben', 'cleo', 'newcomer']

describe('a checkpoint may be skipped to on the word of other members (R-VOUCH-1)', () => {
  it('an administrator or the owner, alone or with others', async () => {
    expect(await answer([anna])).toBe('anna')
    expect(await answer([owner])).toBe('owner')
    expect(await answer([ben, anna, cleo])).toBe('ben anna cleo')
  })

  it('but not on that of nobody', async () => {
    expect(await answer([])).toBe('ERR_UNVOUCHED')
  })

  it('nor of writers alone, however many: at least one is an administrator (R-VOUCH-3)', async () => {
    expect(await answer([ben])).toBe('ERR_UNVOUCHED')
    expect(await answer([ben, cleo])).toBe('ERR_UNVOUCHED')
  })
})

describe('as many as the pinned policy says, of distinct members other than oneself (R-VOUCH-2)', () => {
  const two = { pinned: withPolicy(PINNED, 2) }

  it('too few are refused, whatever the new policy says', async () => {
    expect(await answer([anna], two)).toBe('ERR_UNVOUCHED')
    expect(await answer([anna, ben], two)).toBe('anna ben')
    const lax = { ...two, current: withPolicy(CURRENT, 0) }
    expect(await answer([anna], lax)).toBe('ERR_UNVOUCHED')
    // A stricter policy that is not pinned yet does not bind either: the relay could have made it up.
    expect(await answer([anna], { current: withPolicy(CURRENT, 2) })).toBe('anna')
  })

  it('several cosignatures of one member count once', async () => {
    const phone = testDevice('anna phone', 20)
    const known = (control: ControlState): ControlState => {
      const tablet = control.devices.get(anna.number) as DeviceRecord
      const { publicKey } = keyOf(phone)
      return { ...control, devices: new Map([...control.devices, [phone.number, { ...tablet, signing: publicKey }]]) }
    }
    const both = { pinned: known(two.pinned), current: known(CURRENT) }
    expect(await answer([anna, phone], both)).toBe('ERR_UNVOUCHED')
    expect(await answer([anna, anna], both)).toBe('ERR_UNVOUCHED')
    expect(await answer([anna, phone, ben], both)).toBe('anna ben')
    expect(await answer([phone, ben], both)).toBe('anna ben')
  })

  it('one’s own word adds nothing, by whichever device', async () => {
    expect(await answer([me])).toBe('ERR_UNVOUCHED')
    expect(await answer([me, ben])).toBe('ERR_UNVOUCHED')
    expect(await answer([owner, anna], { member: memberOf(owner), device: owner.number, ...two })).toBe('ERR_UNVOUCHED')
  })

  it('a second device of one’s own backs others, and is no other member', async () => {
    const phone = testDevice('my phone', 21)
    const known = (control: ControlState): ControlState => {
      const laptop = control.devices.get(me.number) as DeviceRecord
      return {
        ...control,
        devices: new Map([...control.devices, [phone.number, { ...laptop, signing: keyOf(phone).publicKey }]]),
      }
    }
    const both = { pinned: known(PINNED), current: known(CURRENT) }
    expect(await answer([phone], both)).toBe('ERR_UNVOUCHED')
    expect(await answer([phone, ben], both)).toBe('ben')
    expect(await answer([ben], both)).toBe('ERR_UNVOUCHED')
    const none = { pinned: withPolicy(both.pinned, 0), current: both.current }
    expect(await answer([phone], none)).toBe('')
    // The device that asks cannot back itself.
    expect(await answer([me], none)).toBe('ERR_UNVOUCHED')
    expect(await answer([], none)).toBe('ERR_UNVOUCHED')
  })
})

describe('only who was known before, and is still there, counts (R-VOUCH-4)', () => {
  it('not somebody who was admitted after the pinned state, as the relay may have invented it', async () => {
    expect(await answer([newcomer])).toBe('ERR_UNVOUCHED')
    expect(await answer([newcomer, anna])).toBe('anna')
    expect(await answer([newcomer], { pinned: CURRENT })).toBe('newcomer')
  })

  it('not a removed device or member, in the new state or in the pinned one', async () => {
    expect(await answer([anna], { current: withDevice(CURRENT, anna.number, { removed: REMOVED }) })).toBe(
      'ERR_UNVOUCHED',
    )
    expect(await answer([anna], { pinned: withDevice(PINNED, anna.number, { removed: REMOVED }) })).toBe(
      'ERR_UNVOUCHED',
    )
    expect(await answer([anna], { current: withoutMember(CURRENT, memberOf(anna)) })).toBe('ERR_UNVOUCHED')
    expect(await answer([anna], { pinned: withoutMember(PINNED, memberOf(anna)) })).toBe('ERR_UNVOUCHED')
    expect(await answer([anna, owner], { current: withoutMember(CURRENT, memberOf(anna)) })).toBe('owner')
  })

  it('not somebody whom the log has removed, or who has left it', async () => {
    const stateWith = (act: (log: LogBuilder) => void): ControlState => {
      const copy = log.fork()
      act(copy)
      return copy.controlState
    }
    const removed = stateWith(copy => copy.act(owner, copy.bodies.removeMember(memberOf(anna))))
    const left = stateWith(copy => copy.act(anna, copy.bodies.leave()))
    const lost = stateWith(copy => copy.act(owner, copy.bodies.removeDevice(anna.number)))
    for (const current of [removed, left, lost]) expect(await answer([anna], { current })).toBe('ERR_UNVOUCHED')
    const demoted = stateWith(copy => copy.act(owner, copy.bodies.setRole(memberOf(anna), 'writer')))
    expect(await answer([anna], { pinned: demoted })).toBe('ERR_UNVOUCHED')
  })

  it('not one that waits for approval', async () => {
    expect(await answer([anna], { current: withDevice(CURRENT, anna.number, { standing: 'pending' }) })).toBe(
      'ERR_UNVOUCHED',
    )
  })

  it('not a provisional device, which anybody with an invite link holds', async () => {
    expect(await answer([anna], { pinned: withDevice(PINNED, anna.number, { standing: 'provisional' }) })).toBe(
      'ERR_UNVOUCHED',
    )
    expect(await answer([anna], { current: withDevice(CURRENT, anna.number, { standing: 'provisional' }) })).toBe(
      'ERR_UNVOUCHED',
    )
  })

  it('not an administrator who became one after the pinned state', async () => {
    const members = new Map(CURRENT.members)
    members.set(memberOf(ben), { ...(members.get(memberOf(ben)) as never as object), role: 'owner' } as never)
    expect(await answer([ben], { current: { ...CURRENT, members } })).toBe('ERR_UNVOUCHED')
  })
})

describe('a cosignature is of its device, over this very note (R-VOUCH-5)', () => {
  it('not one that is forged, or by another key in its name', async () => {
    const good = parseNote(await cosigned(log, NOTE, [anna]))
    const [relay, line] = good.signatures as [never, never]
    for (let at = 0; at < 72; at += 5) {
      const { signature } = line as { signature: Uint8Array }
      const flipped = signature.map((byte, i) => (i === at ? byte ^ 1 : byte))
      const bytes = encodeNote(good.checkpoint, [relay, { ...(line as object), signature: flipped } as never])
      expect(await answerTo(bytes), `byte ${at}`).toBe('ERR_UNVOUCHED')
    }
    const impostor = { ...testDevice('impostor', anna.number) }
    expect(await answer([impostor])).toBe('ERR_UNVOUCHED')
    // With the key hash of the true key, too.
    const forged = parseNote(await cosigned(log, NOTE, [impostor]))
    const name = cosignerName(log.space, anna.number)
    const keyHash = noteKeyHash(name, keyOf(anna).publicKey, COSIGNATURE_V1)
    const lines = forged.signatures.map(item => (item.name === name ? { ...item, keyHash } : item))
    expect(await answerTo(encodeNote(forged.checkpoint, lines))).toBe('ERR_UNVOUCHED')
    // A false line in a name does not hide the true one.
    const both = [...lines, ...good.signatures.slice(1)]
    expect(await answerTo(encodeNote(good.checkpoint, both))).toBe('anna')
  })

  it('not one that is replayed from another note', async () => {
    const before = { ...log.checkpoint(), time: log.time - 1000 }
    const earlier = log.note(before)
    const smaller = log.note(log.checkpoint(log.size - 1))
    for (const other of [earlier, smaller]) {
      const [, line] = parseNote(await cosigned(log, other, [anna])).signatures
      const { checkpoint, signatures } = parseNote(NOTE)
      expect(await answerTo(encodeNote(checkpoint, [...signatures, line as never]))).toBe('ERR_UNVOUCHED')
    }
    expect(await answer([anna], {}, earlier)).toBe('anna')
  })

  it('not one of another space, or under the number of another device', async () => {
    const elsewhere = new LogBuilder({ relaySeed: bytesOf('another relay') })
    elsewhere.append(elsewhere.genesis())
    const [, line] = parseNote(await cosigned(elsewhere, NOTE, [anna])).signatures
    const { checkpoint, signatures } = parseNote(NOTE)
    expect(await answerTo(encodeNote(checkpoint, [...signatures, line as never]))).toBe('ERR_UNVOUCHED')
    expect(await answer([{ ...anna, number: owner.number }])).toBe('ERR_UNVOUCHED')
  })

  it('not the relay’s own signature', async () => {
    expect(await answerTo(NOTE)).toBe('ERR_UNVOUCHED')
  })
})

function keyOf(device: TestDevice): { readonly publicKey: Uint8Array } {
  return { publicKey: log.joinBody(device).device.signing }
}
