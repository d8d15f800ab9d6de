import { describe, expect, it } from 'vitest'
import { fromBase64Url, toBase64Url } from '../../src/bytes.ts'
import { decodeCbor, encodeCbor } from '../../src/codec.ts'
import { verifySync } from '../../src/crypto/sign.ts'
import { nobleSigningKey } from '../../src/crypto/sign-backend.ts'
import type { SpaceId } from '../../src/ids.ts'
import { auditCheck, makeAuditCredential, parseAuditCredential } from '../../src/relay/audit-credential.ts'
import { bytesOf } from '../helpers/log-builder.ts'

const SPACE = 'ab'.repeat(32) as SpaceId
const EXPIRES = 1_800_000_000_000
const key = nobleSigningKey(bytesOf('device'))
const relay = { name: 'relay.example', key: bytesOf('relay') }
const made = (): Promise<string> => makeAuditCredential(relay, SPACE, EXPIRES, key)

/** The credential with other fields, in the same spelling. */
async function changed(change: (fields: unknown[]) => void): Promise<string> {
  const fields = [...(decodeCbor(fromBase64Url(await made()), 1000) as unknown[])]
  change(fields)
  return toBase64Url(encodeCbor(fields as Parameters<typeof encodeCbor>[0]))
}

describe('a credential for audits (R-TILES-5)', () => {
  it('says what it is for, and verifies for its relay', async () => {
    const text = await made()
    expect(text.length).toBeLessThanOrEqual(214)
    const credential = parseAuditCredential(text)
    expect(credential).toMatchObject({ space: SPACE, device: key.publicKey, expires: EXPIRES })
    expect(verifySync(auditCheck(relay, credential))).toBe(true)
    const latest = await makeAuditCredential(relay, SPACE, Number.MAX_SAFE_INTEGER, key)
    expect(parseAuditCredential(latest).expires).toBe(Number.MAX_SAFE_INTEGER)
  })

  it('is worth nothing to another relay, for another space, device or time', async () => {
    const credential = parseAuditCredential(await made())
    for (const other of [
      { ...relay, name: 'relay.elsewhere' },
      { ...relay, key: bytesOf('another relay') },
    ]) {
      expect(verifySync(auditCheck(other, credential))).toBe(false)
    }
    for (const change of [
      { space: 'cd'.repeat(32) as SpaceId },
      { device: nobleSigningKey(bytesOf('another device')).publicKey },
      { expires: EXPIRES + 1 },
      { signature: credential.signature.with(0, (credential.signature[0] as number) ^ 1) },
    ]) {
      expect(verifySync(auditCheck(relay, { ...credential, ...change }))).toBe(false)
    }
  })

  it('has one spelling; what is none is refused with a code', async () => {
    const text = await made()
    const bad = [
      '',
      'x',
      'not base64url!',
      `${text}=`,
      `${text}AA`,
      text.slice(0, -2),
      'A'.repeat(1_000_000),
      await changed(fields => fields.push(0)),
      await changed(fields => fields.pop()),
      await changed(fields => (fields[1] = new Uint8Array(31))),
      await changed(fields => (fields[2] = new Uint8Array(33))),
      await changed(fields => (fields[4] = new Uint8Array(63))),
      await changed(fields => (fields[3] = 'soon')),
    ]
    for (const each of bad) expect(() => parseAuditCredential(each), each).toThrow(/ERR_MALFORMED/)
    const later = await changed(fields => (fields[0] = 2))
    expect(() => parseAuditCredential(later)).toThrow(/ERR_UPGRADE/)
  })

  it('takes a time that is one', async () => {
    for (const expires of [-1, 0.5, Number.NaN, 2 ** 53]) {
      await expect(makeAuditCredential(relay, SPACE, expires, key)).rejects.toThrow(TypeError)
    }
  })
})
