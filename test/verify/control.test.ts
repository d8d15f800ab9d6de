import { describe, expect, it } from 'vitest'
import { concat, toHex, toUtf8 } from '../../src/bytes.ts'
import { type Cbor, decodeCbor, encodeCbor } from '../../src/codec.ts'
import { ZERO_32 } from '../../src/crypto/hash.ts'
import {
  type ControlBody,
  decodeControlBody,
  encodeControlBody,
  MAX_CONTROL_BODY_LENGTH,
  MAX_SEALED_NAME_LENGTH,
  possessionInput,
  WRAP_LENGTH,
} from '../../src/verify/control.ts'
import { deviceKeys, LogBuilder, testDevice, verdictOf } from '../helpers/log-builder.ts'

const log = new LogBuilder()
log.append(log.genesis())
const GENESIS = log.genesisBody()
const INVITE = log.inviteBody(testDevice('provisional', 1), 'admin')
const JOIN = log.joinBody(testDevice('joiner', 2))

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

describe('a control body (R-CONTROL-1)', () => {
  it.each<readonly [string, ControlBody]>([
    ['genesis', GENESIS],
    ['invite', INVITE],
    ['join', JOIN],
  ])('%s survives encoding', (_, body) => {
    expect(decodeControlBody(encodeControlBody(body))).toEqual(body)
  })

  it('has its fields in the order of the specification', () => {
    expect(decodeCbor(encodeControlBody(INVITE), MAX_CONTROL_BODY_LENGTH)).toEqual([
      1,
      [INVITE.device.signing, INVITE.device.kem, INVITE.device.possession],
      expect.any(Uint8Array),
      2, // admin
      0, // all history
      INVITE.expires,
      INVITE.wrap,
    ])
    expect(decodeCbor(encodeControlBody(JOIN), MAX_CONTROL_BODY_LENGTH)).toEqual([
      3,
      [JOIN.device.signing, JOIN.device.kem, JOIN.device.possession],
      JOIN.wrap,
      JOIN.memberName,
      JOIN.deviceName,
    ])
    expect(decodeCbor(encodeControlBody(GENESIS), MAX_CONTROL_BODY_LENGTH)).toEqual([
      0,
      [GENESIS.relay.name, GENESIS.relay.key, GENESIS.relay.url],
      [GENESIS.device.signing, GENESIS.device.kem, GENESIS.device.possession],
      expect.any(Uint8Array),
      [GENESIS.epoch.commit, GENESIS.epoch.readCommit],
      GENESIS.wrap,
      [1, 1024 * 1024, 1],
      GENESIS.spaceName,
      GENESIS.memberName,
      GENESIS.deviceName,
    ])
    expect(GENESIS.wrap).toHaveLength(WRAP_LENGTH)
  })

  it.each<readonly [string, ControlBody, Path]>([
    ['relay key', GENESIS, [1, 1]],
    ['signing key', GENESIS, [2, 0]],
    ['KEM key', GENESIS, [2, 1]],
    ['proof of possession', GENESIS, [2, 2]],
    ['member', GENESIS, [3]],
    ['commitment', GENESIS, [4, 0]],
    ['read commitment', GENESIS, [4, 1]],
    ['wrap', GENESIS, [5]],
    ['signing key of an invite', INVITE, [1, 0]],
    ['member of an invite', INVITE, [2]],
    ['wrap of an invite', INVITE, [6]],
    ['KEM key of a join', JOIN, [1, 1]],
    ['wrap of a join', JOIN, [2]],
  ])('with a %s of another length is refused', async (_, body, path) => {
    expect(await decode(changed(body, path, longer))).toBe('ERR_MALFORMED')
    expect(await decode(changed(body, path, shorter))).toBe('ERR_MALFORMED')
    expect(await decode(changed(body, path, () => 'text'))).toBe('ERR_MALFORMED')
  })

  it.each<readonly [string, ControlBody, Path, Cbor, string]>([
    ['a role that does not exist', INVITE, [3], 4, 'ERR_MALFORMED'],
    ['a history that does not exist', INVITE, [4], 2, 'ERR_MALFORMED'],
    ['an expiry that is no integer', INVITE, [5], 'soon', 'ERR_MALFORMED'],
    ['a relay name of 256 characters', GENESIS, [1, 0], 'r'.repeat(256), 'ERR_LIMIT'],
    ['a relay address of 2,049 characters', GENESIS, [1, 2], 'r'.repeat(2049), 'ERR_LIMIT'],
    ['a space name that is too long', GENESIS, [7], new Uint8Array(MAX_SEALED_NAME_LENGTH + 1), 'ERR_LIMIT'],
    ['a member name that is too long', JOIN, [3], new Uint8Array(MAX_SEALED_NAME_LENGTH + 1), 'ERR_LIMIT'],
    ['a device name that is too long', JOIN, [4], new Uint8Array(MAX_SEALED_NAME_LENGTH + 1), 'ERR_LIMIT'],
    ['a largest body above 64 MiB', GENESIS, [6, 1], 64 * 1024 * 1024 + 1, 'ERR_MALFORMED'],
  ])('with %s is refused', async (_, body, path, item, code) => {
    expect(await decode(changed(body, path, () => item))).toBe(code)
  })

  it.each<readonly [string, ControlBody]>([
    ['genesis', GENESIS],
    ['invite', INVITE],
    ['join', JOIN],
  ])('%s with a field less or more, or with bytes behind it, is refused', async (_, body) => {
    expect(await decode(changed(body, [], items => (items as Cbor[]).slice(0, -1)))).toBe('ERR_MALFORMED')
    expect(await decode(changed(body, [], items => [...(items as Cbor[]), 0]))).toBe('ERR_MALFORMED')
    expect(await decode(concat(encodeControlBody(body), Uint8Array.of(0)))).toBe('ERR_MALFORMED')
    expect(await decode(encodeControlBody(body).slice(0, -1))).toBe('ERR_MALFORMED')
  })

  it('beyond 64 KiB is not even decoded', async () => {
    expect(await decode(new Uint8Array(MAX_CONTROL_BODY_LENGTH + 1))).toBe('ERR_LIMIT')
  })

  it('of a later type, or under later content rules, is for a later build (R-UPGRADE-1)', async () => {
    for (const type of [2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 99]) {
      expect(await decode(encodeCbor([type]))).toBe('ERR_UPGRADE')
    }
    expect(await decode(changed(GENESIS, [6, 0], () => 2))).toBe('ERR_UPGRADE')
    expect(await decode(encodeCbor(['genesis']))).toBe('ERR_MALFORMED')
    expect(await decode(encodeCbor([]))).toBe('ERR_MALFORMED')
  })
})

describe('what a new device signs (R-KEY-4)', () => {
  it('is label, space, signing key and KEM key', () => {
    const device = testDevice('joiner', 2)
    const { signing, kem } = deviceKeys(device, ZERO_32)
    const input = possessionInput(log.spaceBytes, signing, kem)
    expect(toHex(input)).toBe(toHex(concat(toUtf8('sealog/v1/possession\0'), log.spaceBytes, signing, kem)))
  })
})
