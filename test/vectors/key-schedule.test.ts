import { xchacha20poly1305 } from '@noble/ciphers/chacha.js'
import { expand, extract } from '@noble/hashes/hkdf.js'
import { hmac } from '@noble/hashes/hmac.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { describe, expect, it } from 'vitest'
import { concat, toHex, toUtf8 } from '../../src/bytes.ts'
import { inviteKeys } from '../../src/crdt/invite-link.ts'
import { genesisBody, inviteBody, joinBody, openInvite } from '../../src/crdt/membership.ts'
import { assertCommits, assertReadCommits, deriveEpoch } from '../../src/crypto/epoch.ts'
import {
  changeTag,
  documentKey,
  noChangesTag,
  openBody,
  openLabel,
  sealBody,
  sealLabel,
  tagKey,
} from '../../src/crypto/keyring.ts'
import { pad, padBlocks } from '../../src/crypto/padding.ts'
import { publicKeyOf, verifySync } from '../../src/crypto/sign.ts'
import { checkOf, EDGE_CASES } from '../../src/crypto/sign-self-test.ts'
import { encapsulate, kemPublicKeyOf, openWrap, verifyOpenedWrap, wrapSecret } from '../../src/crypto/wrap.ts'
import { memberIdOf } from '../../src/ids.ts'
import { decodeControlBody } from '../../src/verify/control.ts'
import { bytesOf, verdictOf } from '../helpers/log-builder.ts'

// The key schedule of docs/protocol.md, composed from primitives alone: what another implementation would write.

const hkdf = (ikm: Uint8Array, label: string, length: number, ...parts: Uint8Array[]): Uint8Array =>
  expand(sha256, extract(sha256, ikm, new Uint8Array(0)), concat(toUtf8(`${label}\0`), ...parts), length)

function uint64(value: number): Uint8Array {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setUint32(4, value)
  return bytes
}

const SECRET = bytesOf('epoch secret')
const READ = hkdf(SECRET, 'sealog/v1/read', 32)
const BIRTH_READ = hkdf(bytesOf('earlier epoch secret'), 'sealog/v1/read', 32)
const SPACE = bytesOf('space')
const DOCUMENT = bytesOf('document').slice(0, 16)
const KEM_SEED = bytesOf('kem seed')
const FRESH = bytesOf('fresh randomness')
const random = (): Uint8Array => FRESH

describe('an epoch (R-EPOCH-2)', () => {
  it('gives read secret, history secret and two commitments', () => {
    const keys = deriveEpoch(SECRET)
    expect(keys.readSecret).toEqual(READ)
    expect(keys.historySecret).toEqual(hkdf(SECRET, 'sealog/v1/history', 32))
    expect(keys.commit).toEqual(hkdf(SECRET, 'sealog/v1/commit', 32))
    expect(keys.readCommit).toEqual(hkdf(READ, 'sealog/v1/read-commit', 32))
  })

  it('has one secret: another one is refused', async () => {
    const keys = deriveEpoch(SECRET)
    const other = deriveEpoch(bytesOf('other'))
    expect(await verdictOf(() => assertCommits(SECRET, keys))).toBe('accepted')
    expect(await verdictOf(() => assertCommits(bytesOf('other'), keys))).toBe('ERR_KEY')
    expect(await verdictOf(() => assertCommits(SECRET, { ...keys, readCommit: other.readCommit }))).toBe('ERR_KEY')
    expect(await verdictOf(() => assertReadCommits(other.readSecret, keys.readCommit))).toBe('ERR_KEY')
  })
})

describe('a wrap (R-WRAP-1)', () => {
  const kemPublicKey = kemPublicKeyOf(KEM_SEED)
  const context = { space: SPACE, epoch: 3, device: undefined, payloadKind: 0 as const }

  it('is KEM ciphertext and sealed secret, all of it determined by the secret', () => {
    const bound = concat(SPACE, uint64(3), Uint8Array.of(0), uint64(0), Uint8Array.of(0), kemPublicKey)
    const coins = hkdf(SECRET, 'sealog/v1/wrap-coins', 64, bound)
    const { ciphertext, sharedSecret } = encapsulate(kemPublicKey, coins)
    const key = hkdf(sharedSecret, 'sealog/v1/wrap-key', 32, bound, ciphertext)
    const sealed = xchacha20poly1305(key, new Uint8Array(24), bound).encrypt(SECRET)
    const wrap = wrapSecret({ ...context, epochSecret: SECRET, kemPublicKey })
    expect(toHex(wrap)).toBe(toHex(concat(ciphertext, sealed)))
    expect(openWrap({ ...context, seed: KEM_SEED, wrap })).toEqual(SECRET)
  })

  it('opens in no other context, and only the one that its secret determines is right (R-WRAP-2)', async () => {
    const wrap = wrapSecret({ ...context, epochSecret: SECRET, kemPublicKey })
    for (const other of [{ space: bytesOf('x') }, { epoch: 4 }, { device: 0 }, { payloadKind: 1 as const }]) {
      expect(await verdictOf(() => openWrap({ ...context, ...other, seed: KEM_SEED, wrap }))).toBe('ERR_OPEN')
    }
    const opened = { ...context, seed: KEM_SEED, wrap, epochSecret: SECRET }
    expect(await verdictOf(() => verifyOpenedWrap(opened))).toBe('accepted')
    expect(await verdictOf(() => verifyOpenedWrap({ ...opened, epochSecret: bytesOf('x') }))).toBe('ERR_KEY')
  })

  it('is in every control entry that admits a device, for that device', () => {
    const device = { signing: bytesOf('signing'), kem: KEM_SEED }
    const member = memberIdOf(bytesOf('member').slice(0, 16))
    const names = { space: 'Notes', member: 'Ann', device: 'Laptop' }
    const relay = { name: 'relay.test', key: bytesOf('relay'), url: 'ws://relay.test' }
    const genesis = genesisBody({ relay, device, member, epochSecret: SECRET, names, random })
    const invite = inviteBody({
      space: SPACE,
      provisional: device,
      member,
      role: 'writer',
      expires: 1,
      epoch: 0,
      epochSecret: SECRET,
    })
    const join = joinBody({ space: SPACE, device, epoch: 0, epochSecret: SECRET, names, random })
    // The genesis cannot name the space that it founds.
    for (const [body, space] of [
      [genesis, new Uint8Array(32)],
      [invite, SPACE],
      [join, SPACE],
    ] as const) {
      const { wrap } = decodeControlBody(body)
      expect(wrap).toEqual(wrapSecret({ ...context, space, epoch: 0, epochSecret: SECRET, kemPublicKey }))
    }
    expect(openInvite(invite, SPACE, device)).toEqual(SECRET)
  })

  it('of an invite that does not hold the key of its link is refused (R-WRAP-2)', async () => {
    const provisional = { signing: bytesOf('signing'), kem: KEM_SEED }
    const member = memberIdOf(bytesOf('member').slice(0, 16))
    const options = { space: SPACE, member, role: 'writer', expires: 1, epoch: 0, epochSecret: SECRET } as const
    const body = inviteBody({ ...options, provisional })
    const other = { signing: bytesOf('signing'), kem: bytesOf('another seed') }
    expect(await verdictOf(() => openInvite(body, SPACE, other))).toBe('ERR_INVITE')
    expect(await verdictOf(() => openInvite(body, bytesOf('another space'), provisional))).toBe('ERR_INVITE')
    expect(await verdictOf(() => openInvite(bytesOf('no body'), SPACE, provisional))).toBe('ERR_INVITE')
  })
})

describe('a body (R-SEAL-1)', () => {
  const secrets = { readSecret: READ, birthReadSecret: BIRTH_READ, document: DOCUMENT }
  const key = hkdf(concat(READ, BIRTH_READ), 'sealog/v1/doc', 32, DOCUMENT)
  const payload = toUtf8('payload')
  const aad = toUtf8('header context')

  it('is sealed under the key of document, epoch and birth epoch', () => {
    expect(documentKey(secrets)).toEqual(key)
    expect(tagKey(secrets)).toEqual(hkdf(concat(READ, BIRTH_READ), 'sealog/v1/tag', 32, DOCUMENT))
  })

  it('is nonce and ciphertext; the nonce covers randomness, plaintext, context and seq (R-SEAL-2)', () => {
    const plaintext = concat(payload, Uint8Array.of(0x80), new Uint8Array(32 - payload.length - 1))
    const nonceKey = hkdf(key, 'sealog/v1/nonce-key', 32)
    const nonce = hkdf(nonceKey, 'sealog/v1/nonce', 24, FRESH, sha256(plaintext), sha256(aad), uint64(7))
    const expected = concat(nonce, xchacha20poly1305(key, nonce, aad).encrypt(plaintext))
    const body = sealBody({ key, payload, aad, random, seq: 7 })
    expect(toHex(body)).toBe(toHex(expected))
    expect(openBody({ key, body, aad })).toEqual(payload)
    // The generator is stuck: another message, header or place still has another nonce.
    const nonces = [
      body,
      sealBody({ key, payload: toUtf8('other'), aad, random, seq: 7 }),
      sealBody({ key, payload, aad: toUtf8('other'), random, seq: 7 }),
      sealBody({ key, payload, aad, random, seq: 8 }),
    ].map(sealed => toHex(sealed.subarray(0, 24)))
    expect(new Set(nonces).size).toBe(4)
  })

  it('has one length for all payloads of a Padmé class, and one padding (R-PAD-1)', async () => {
    expect([0, 1, 31, 32, 100, 1000, 100_000].map(length => pad(new Uint8Array(length)).length)).toEqual([
      32, 32, 32, 36, 104, 1024, 100_352,
    ])
    const sealed = (plaintext: Uint8Array): Uint8Array => {
      const nonce = bytesOf('nonce').slice(0, 24)
      return concat(nonce, xchacha20poly1305(key, nonce, aad).encrypt(plaintext))
    }
    const open = (plaintext: Uint8Array): Promise<string> =>
      verdictOf(() => openBody({ key, body: sealed(plaintext), aad }))
    expect(await open(pad(payload))).toBe('accepted')
    expect(await open(concat(pad(payload), new Uint8Array(32)))).toBe('ERR_OPEN')
    expect(await open(concat(payload, Uint8Array.of(0x80)))).toBe('ERR_OPEN')
    expect(await open(pad(payload).with(7, 0x81))).toBe('ERR_OPEN')
    expect(await open(new Uint8Array(32))).toBe('ERR_OPEN')
  })

  it('opens under no other header, key or body (R-SEAL-1)', async () => {
    const body = sealBody({ key, payload, aad, random, seq: 0 })
    const tries = [
      { key, body, aad: toUtf8('another header') },
      { key: documentKey({ ...secrets, document: bytesOf('x').slice(0, 16) }), body, aad },
      { key: documentKey({ ...secrets, birthReadSecret: READ }), body, aad },
      { key, body: body.with(30, (body[30] as number) ^ 1), aad },
      { key, body: body.slice(0, -1), aad },
      { key, body: new Uint8Array(0), aad },
    ]
    for (const attempt of tries) expect(await verdictOf(() => openBody(attempt))).toBe('ERR_OPEN')
  })

  it('goes with a tag that names the latest change without giving its hash away (R-TAG-2)', () => {
    const key = tagKey(secrets)
    const hash = bytesOf('change hash')
    expect(changeTag(key, hash)).toEqual(hmac(sha256, key, hash))
    expect(noChangesTag(key)).toEqual(hmac(sha256, key, new Uint8Array(32)))
    expect(changeTag(tagKey({ ...secrets, readSecret: BIRTH_READ }), hash)).not.toEqual(changeTag(key, hash))
  })
})

describe('a label (R-LABEL-1)', () => {
  it('is sealed like a body, under the key of labels, to what it names', async () => {
    const key = hkdf(READ, 'sealog/v1/label', 32)
    const sealed = sealLabel({ readSecret: READ, context: 'space', text: 'Field notes', random })
    const plaintext = concat(toUtf8('Field notes'), Uint8Array.of(0x80), new Uint8Array(32 - 12))
    const nonceKey = hkdf(key, 'sealog/v1/nonce-key', 32)
    const hashes = [sha256(plaintext), sha256(toUtf8('space'))]
    const nonce = hkdf(nonceKey, 'sealog/v1/nonce', 24, FRESH, ...hashes, uint64(0))
    expect(sealed).toEqual(concat(nonce, xchacha20poly1305(key, nonce, toUtf8('space')).encrypt(plaintext)))
    expect(openLabel({ readSecret: READ, context: 'space', sealed })).toBe('Field notes')
    expect(await verdictOf(() => openLabel({ readSecret: READ, context: 'member', sealed }))).toBe('ERR_OPEN')
    expect(await verdictOf(() => openLabel({ readSecret: BIRTH_READ, context: 'space', sealed }))).toBe('ERR_OPEN')
    expect([0, 31, 32, 64].map(length => padBlocks(new Uint8Array(length)).length)).toEqual([32, 32, 64, 96])
  })
})

describe('the keys of an invite (R-LINK-2)', () => {
  it('follow from the seed in its link', () => {
    const seed = bytesOf('invite seed')
    expect(inviteKeys(seed)).toEqual({
      signing: hkdf(seed, 'sealog/v1/invite-signing', 32),
      kem: hkdf(seed, 'sealog/v1/invite-kem', 32),
    })
    expect(publicKeyOf(inviteKeys(seed).signing)).toHaveLength(32)
  })
})

describe('a signature (R-SIGN-1)', () => {
  it.each(EDGE_CASES)('$name', edge => {
    expect(verifySync(checkOf(edge))).toBe(edge.valid)
  })
})
