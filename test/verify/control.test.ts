import { describe, expect, it } from 'vitest'
import { concat, toHex, toUtf8 } from '../../src/bytes.ts'
import { type Cbor, decodeCbor, encodeCbor } from '../../src/codec.ts'
import { ZERO_32 } from '../../src/crypto/hash.ts'
import { idBytes } from '../../src/ids.ts'
import {
  type ControlBody,
  type ControlType,
  type DeviceKeys,
  MAX_CONTROL_BODY_LENGTH,
  MAX_SEALED_NAME_LENGTH,
  possessionInput,
  WRAP_LENGTH,
} from '../../src/verify/control.ts'
import { decodeControlBody, encodeControlBody } from '../../src/verify/control-codec.ts'
import { bytesOf, deviceKeys, LogBuilder, memberNamed, testDevice, verdictOf } from '../helpers/log-builder.ts'

// One space in which there is something to say with every type of control entry.
const log = new LogBuilder()
const GENESIS = log.genesisBody()
log.append(log.genesis(GENESIS))
const INVITE = log.bodies.invite(testDevice('provisional', 1), { role: 'admin' })
log.act(log.owner, INVITE)
const JOIN = log.bodies.join(testDevice('joiner', 2))
const APPROVED = log.bodies.invite(testDevice('asking', 2), { kind: 'approved', history: 'from-join', role: 'reader' })
log.act(log.owner, APPROVED)
log.act(testDevice('asking', 2), log.bodies.join(testDevice('asker', 3)))
const APPROVE = log.bodies.approve(3)
const DEVICE = log.bodies.deviceInvite(log.owner, testDevice('phone', 4))
const ADD = log.bodies.addDevice(log.owner, testDevice('tablet', 4))
log.act(log.owner, APPROVE)
const ROTATE = log.bodies.rotate()
log.act(log.owner, ROTATE)
const REPAIR = log.bodies.repair(1)
const GRANT = log.bodies.grant(3, 0)
const MEMBER = memberNamed('owner')
const RENAME = log.bodies.rename({ device: 3 }, 'Tablet')

const BODIES: { readonly [Type in ControlType]: Extract<ControlBody, { readonly type: Type }> } = {
  genesis: GENESIS,
  invite: INVITE,
  revoke: log.bodies.revoke(1),
  join: JOIN,
  approve: APPROVE,
  'add-device': ADD,
  'remove-device': log.bodies.removeDevice(3),
  'remove-member': log.bodies.removeMember(MEMBER),
  leave: log.bodies.leave(),
  'set-role': log.bodies.setRole(MEMBER, 'writer'),
  rotate: ROTATE,
  repair: REPAIR,
  policy: log.bodies.policy({ rotateEntries: 1000, rotateDays: 90 }),
  grant: GRANT,
  rename: RENAME,
}
const ALL: readonly (readonly [string, ControlBody])[] = [
  ...Object.entries(BODIES),
  ['approved invite', APPROVED],
  ['invite for a device', DEVICE],
]

type Path = readonly number[]

/** The encoded body with the item at `path` replaced by what `change` makes of it. */
function changed(body: ControlBody, path: Path, change: (item: Cbor) => Cbor): Uint8Array {
  const walk = (item: Cbor, rest: Path): Cbor => {
    const [at, ...further] = rest
    if (at === undefined) return change(item)
    const copy = [...(item as readonly Cbor[])]
    copy[at] = walk(copy[at] as Cbor, further)
    return copy
  }
  return encodeCbor(walk(decodeCbor(encodeControlBody(body), MAX_CONTROL_BODY_LENGTH), path))
}

const decode = (bytes: Uint8Array): Promise<string> => verdictOf(() => decodeControlBody(bytes))
const longer = (item: Cbor): Cbor => concat(item as Uint8Array, Uint8Array.of(0))
const shorter = (item: Cbor): Cbor => (item as Uint8Array).slice(1)

describe('a control body (R-CONTROL-1, R-INVITE-8)', () => {
  it.each(ALL)('%s survives encoding', (_, body) => {
    expect(decodeControlBody(encodeControlBody(body))).toEqual(body)
  })

  it('has type, time, and its fields in the order of the specification', () => {
    const fields = (body: ControlBody): Cbor => decodeCbor(encodeControlBody(body), MAX_CONTROL_BODY_LENGTH)
    const keys = (device: DeviceKeys): Cbor => [device.signing, device.kem, device.possession]
    const { time } = GENESIS
    const owner = idBytes(MEMBER)
    const { relay, epoch, wrap } = GENESIS
    expect(fields(GENESIS)).toEqual([
      0,
      time,
      [relay.name, relay.key, relay.url],
      keys(GENESIS.device),
      owner,
      [epoch.readCommit],
      wrap,
      [1, 1024 * 1024, 1, 0, 0],
      GENESIS.spaceName,
      GENESIS.memberName,
      GENESIS.deviceName,
    ])
    expect(wrap).toHaveLength(WRAP_LENGTH)
    const none = new Uint8Array(0)
    // Kind, role and history by number: instant, admin, all; approved, reader, from-join; device.
    const inviteOf = ({ device, member, expires, wrap, nameKey }: typeof INVITE, numbers: readonly number[]): Cbor => {
      const [kind, role, history] = numbers as [number, number, number]
      return [1, time, kind, keys(device), idBytes(member), role, history, expires, wrap, nameKey]
    }
    expect(fields(INVITE)).toEqual(inviteOf({ ...INVITE, nameKey: none }, [0, 2, 0]))
    expect(fields(APPROVED)).toEqual(inviteOf({ ...APPROVED, wrap: none }, [1, 0, 1]))
    expect(fields(DEVICE)).toEqual(inviteOf({ ...DEVICE, member: MEMBER, nameKey: none }, [2, 3, 0]))
    expect(fields(BODIES.revoke)).toEqual([2, time, 1])
    expect(fields(JOIN)).toEqual([3, time, keys(JOIN.device), JOIN.memberName, JOIN.deviceName])
    expect(fields(ADD)).toEqual([4, time, keys(ADD.device), ADD.wrap, ADD.deviceName])
    expect(fields(BODIES['remove-device'])).toEqual([5, time, 3])
    expect(fields(BODIES['remove-member'])).toEqual([6, time, owner])
    expect(fields(BODIES.leave)).toEqual([7, time])
    expect(fields(BODIES['set-role'])).toEqual([8, time, owner, 1])
    // Wraps are for the owner's device, the one of the open invite and the one that was approved.
    const deliveryOf = ({ delivery }: typeof ROTATE | typeof REPAIR): Cbor => {
      return [delivery.wrapsRoot, 3, 0, delivery.link, delivery.namesLink]
    }
    const { readCommit } = ROTATE.epoch
    expect(fields(ROTATE)).toEqual([9, time, ROTATE.base, [readCommit], deliveryOf(ROTATE)])
    expect(fields(REPAIR)).toEqual([10, time, 1, deliveryOf(REPAIR)])
    expect(fields(BODIES.policy)).toEqual([11, time, [1, 1024 * 1024, 1, 1000, 90], relay.url])
    expect(fields(APPROVE)).toEqual([12, time, 3, APPROVE.wrap, APPROVE.memberName, APPROVE.deviceName])
    expect(fields(GRANT)).toEqual([13, time, 3, 0, GRANT.sealed])
    expect(fields(RENAME)).toEqual([14, time, 2, owner, 3, RENAME.name])
  })

  it.each<readonly [string, ControlBody, Path]>([
    ['relay key', GENESIS, [2, 1]],
    ['signing key', GENESIS, [3, 0]],
    ['KEM key', GENESIS, [3, 1]],
    ['proof of possession', GENESIS, [3, 2]],
    ['member', GENESIS, [4]],
    ['read commitment', GENESIS, [5, 0]],
    ['wrap', GENESIS, [6]],
    ['signing key of an invite', INVITE, [3, 0]],
    ['member of an invite', INVITE, [4]],
    ['wrap of an invite', INVITE, [8]],
    ['wrap of an invite for a device', DEVICE, [8]],
    ['KEM key of a join', JOIN, [2, 1]],
    ['wrap of another device', ADD, [3]],
    ['member to be removed', BODIES['remove-member'], [2]],
    ['member whose role changes', BODIES['set-role'], [2]],
    ['base', ROTATE, [2]],
    ['read commitment of a later epoch', ROTATE, [3, 0]],
    ['root of the wraps', ROTATE, [4, 0]],
    ['link', ROTATE, [4, 3]],
    ['link to the names', ROTATE, [4, 4]],
    ['root of the wraps of a repair', REPAIR, [3, 0]],
    ['link of a repair', REPAIR, [3, 3]],
    ['member that is renamed', RENAME, [3]],
  ])('with a %s of another length is refused', async (_, body, path) => {
    expect(await decode(changed(body, path, longer))).toBe('ERR_MALFORMED')
    expect(await decode(changed(body, path, shorter))).toBe('ERR_MALFORMED')
    expect(await decode(changed(body, path, () => 'text'))).toBe('ERR_MALFORMED')
  })

  const LONG_NAME = new Uint8Array(MAX_SEALED_NAME_LENGTH + 1)
  it.each<readonly [string, ControlBody, Path, Cbor, string]>([
    ['a time that is no integer', GENESIS, [1], 'now', 'ERR_MALFORMED'],
    ['a kind of invite that does not exist', INVITE, [2], 3, 'ERR_MALFORMED'],
    ['a role that does not exist', INVITE, [5], 4, 'ERR_MALFORMED'],
    ['a history that does not exist', INVITE, [6], 2, 'ERR_MALFORMED'],
    ['an expiry that is no integer', INVITE, [7], 'soon', 'ERR_MALFORMED'],
    ['a key for names that nobody seals', INVITE, [9], Uint8Array.of(1), 'ERR_MALFORMED'],
    ['a key in a link that must not hold one', APPROVED, [8], INVITE.wrap, 'ERR_MALFORMED'],
    ['a key for names that is too long', APPROVED, [9], LONG_NAME, 'ERR_LIMIT'],
    ['a relay name of 256 characters', GENESIS, [2, 0], 'r'.repeat(256), 'ERR_LIMIT'],
    ['a relay address of 2,049 characters', GENESIS, [2, 2], 'r'.repeat(2049), 'ERR_LIMIT'],
    ['a later relay address of 2,049 characters', BODIES.policy, [3], 'r'.repeat(2049), 'ERR_LIMIT'],
    ['a space name that is too long', GENESIS, [8], LONG_NAME, 'ERR_LIMIT'],
    ['a member name that is too long', JOIN, [3], LONG_NAME, 'ERR_LIMIT'],
    ['a device name that is too long', JOIN, [4], LONG_NAME, 'ERR_LIMIT'],
    ['a wrap given on approval that is too long', APPROVE, [3], new Uint8Array(WRAP_LENGTH + 1), 'ERR_LIMIT'],
    ['a name given on approval that is too long', APPROVE, [4], LONG_NAME, 'ERR_LIMIT'],
    ['a later name that is too long', RENAME, [5], LONG_NAME, 'ERR_LIMIT'],
    ['a thing that has no name', RENAME, [2], 3, 'ERR_MALFORMED'],
    ['a later role that does not exist', BODIES['set-role'], [3], 4, 'ERR_MALFORMED'],
    ['a largest body above 64 MiB', GENESIS, [7, 1], 64 * 1024 * 1024 + 1, 'ERR_MALFORMED'],
    ['more attestations than a note can have', GENESIS, [7, 2], 16, 'ERR_MALFORMED'],
    ['an epoch of more than a century', BODIES.policy, [2, 4], 36_526, 'ERR_MALFORMED'],
  ])('with %s is refused', async (_, body, path, item, code) => {
    expect(await decode(changed(body, path, () => item))).toBe(code)
  })

  it.each(ALL)('%s with a field less or more, or with bytes behind it, is refused', async (_, body) => {
    expect(await decode(changed(body, [], items => (items as Cbor[]).slice(0, -1)))).toBe('ERR_MALFORMED')
    expect(await decode(changed(body, [], items => [...(items as Cbor[]), 0]))).toBe('ERR_MALFORMED')
    expect(await decode(concat(encodeControlBody(body), Uint8Array.of(0)))).toBe('ERR_MALFORMED')
    expect(await decode(encodeControlBody(body).slice(0, -1))).toBe('ERR_MALFORMED')
  })

  it('beyond 64 KiB is not even decoded', async () => {
    expect(await decode(new Uint8Array(MAX_CONTROL_BODY_LENGTH + 1))).toBe('ERR_LIMIT')
  })

  it('of a later type, or under later content rules, is for a later build (R-UPGRADE-1)', async () => {
    for (const type of [15, 16, 99]) {
      expect(await decode(encodeCbor([type]))).toBe('ERR_UPGRADE')
    }
    expect(await decode(changed(GENESIS, [7, 0], () => 2))).toBe('ERR_UPGRADE')
    expect(await decode(changed(BODIES.policy, [2, 0], () => 2))).toBe('ERR_UPGRADE')
    expect(await decode(encodeCbor(['genesis']))).toBe('ERR_MALFORMED')
    expect(await decode(encodeCbor([]))).toBe('ERR_MALFORMED')
  })
})

describe('what a new device signs (R-KEY-4)', () => {
  it('is label, space, member, signing key and KEM key', () => {
    const device = testDevice('joiner', 2)
    const member = memberNamed('member')
    const { signing, kem } = deviceKeys(device, ZERO_32, member)
    const input = possessionInput(log.spaceBytes, member, signing, kem)
    const parts = [toUtf8('sealog/v1/possession\0'), log.spaceBytes, bytesOf('member').slice(0, 16), signing, kem]
    expect(toHex(input)).toBe(toHex(concat(...parts)))
  })
})
