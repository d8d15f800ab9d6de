import { xchacha20poly1305 } from '@noble/ciphers/chacha.js'
import { expand, extract } from '@noble/hashes/hkdf.js'
import { hmac } from '@noble/hashes/hmac.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { describe, expect, it } from 'vitest'
import { concat, toHex, toUtf8 } from '../../src/bytes.ts'
import { inviteKeys, inviteNameKey } from '../../src/crdt/invite-link.ts'
import { namesSecretOf } from '../../src/crypto/commitments.ts'
import {
  assertCommits,
  assertNamesCommits,
  assertReadCommits,
  deriveEpoch,
  openLink,
  sealLink,
} from '../../src/crypto/epoch.ts'
import { openGrant, sealGrant } from '../../src/crypto/grant.ts'
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
import { encapsulate, kemPublicKeyOf, openWrap, wrapSecret } from '../../src/crypto/wrap.ts'
import { wrapLeaf, wrapsRootOf } from '../../src/verify/wraps.ts'
import { bytesOf, LogBuilder, testDevice, verdictOf } from '../helpers/log-builder.ts'

// The key schedule of docs/protocol.md, composed from primitives alone: what another implementation would write.

const hkdf = (ikm: Uint8Array, label: string, length: number, ...parts: Uint8Array[]): Uint8Array =>
  expand(sha256, extract(sha256, ikm, new Uint8Array(0)), concat(toUtf8(`${label}\0`), ...parts), length)

function uint64(value: number): Uint8Array {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setUint32(4, value)
  return bytes
}

const hash = (label: string, ...parts: Uint8Array[]): Uint8Array => sha256(concat(toUtf8(`${label}\0`), ...parts))

const SECRET = bytesOf('epoch secret')
const EARLIER = bytesOf('earlier epoch secret')
const READ = hash('sealog/v1/read', SECRET)
const HISTORY = hash('sealog/v1/history', SECRET)
const BIRTH_READ = hash('sealog/v1/read', EARLIER)
const SPACE = bytesOf('space')
const DOCUMENT = bytesOf('document').slice(0, 16)
const KEM_SEED = bytesOf('kem seed')
const FRESH = bytesOf('fresh randomness')
const random = (): Uint8Array => FRESH

describe('an epoch (R-EPOCH-2)', () => {
  it('gives read secret, history secret, names secret and one commitment', () => {
    const keys = deriveEpoch(SECRET)
    expect(keys.readSecret).toEqual(READ)
    expect(keys.historySecret).toEqual(HISTORY)
    const names = hkdf(READ, 'sealog/v1/names', 32)
    expect(namesSecretOf(READ)).toEqual(names)
    expect(keys.readCommit).toEqual(hash('sealog/v1/read-commit', names))
  })

  it('has one secret: another one is refused', async () => {
    const keys = deriveEpoch(SECRET)
    const other = deriveEpoch(bytesOf('other'))
    expect(await verdictOf(() => assertCommits(SECRET, keys))).toBe('accepted')
    expect(await verdictOf(() => assertCommits(bytesOf('other'), keys))).toBe('ERR_KEY')
    expect(await verdictOf(() => assertCommits(SECRET, other))).toBe('ERR_KEY')
    expect(await verdictOf(() => assertReadCommits(other.readSecret, keys.readCommit))).toBe('ERR_KEY')
    expect(await verdictOf(() => assertNamesCommits(namesSecretOf(READ), keys.readCommit))).toBe('accepted')
    expect(await verdictOf(() => assertNamesCommits(namesSecretOf(BIRTH_READ), keys.readCommit))).toBe('ERR_KEY')
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
    const wrap = wrapSecret({ ...context, secret: SECRET, kemPublicKey })
    expect(toHex(wrap)).toBe(toHex(concat(ciphertext, sealed)))
    expect(openWrap({ ...context, seed: KEM_SEED, wrap })).toEqual(SECRET)
  })

  it('opens in no other context, and only the one that its secret determines is right (R-WRAP-2)', async () => {
    const wrap = wrapSecret({ ...context, secret: SECRET, kemPublicKey })
    for (const other of [{ space: bytesOf('x') }, { epoch: 4 }, { device: 0 }, { payloadKind: 1 as const }]) {
      expect(await verdictOf(() => openWrap({ ...context, ...other, seed: KEM_SEED, wrap }))).toBe('ERR_OPEN')
    }
    // It opens, and yet its author chose the coins.
    const bound = concat(SPACE, uint64(3), Uint8Array.of(0), uint64(0), Uint8Array.of(0), kemPublicKey)
    const { ciphertext, sharedSecret } = encapsulate(kemPublicKey, concat(bytesOf('my'), bytesOf('coins')))
    const key = hkdf(sharedSecret, 'sealog/v1/wrap-key', 32, bound, ciphertext)
    const chosen = concat(ciphertext, xchacha20poly1305(key, new Uint8Array(24), bound).encrypt(SECRET))
    expect(await verdictOf(() => openWrap({ ...context, seed: KEM_SEED, wrap: chosen }))).toBe('ERR_KEY')
  })

  it('stands in the control entries that admit or approve a device which reads everything (R-WRAP-6)', () => {
    const log = new LogBuilder()
    const secret = bytesOf('epoch secret 0')
    const genesis = log.genesisBody()
    log.append(log.genesis(genesis))
    const guest = testDevice('guest', 1)
    const invite = log.bodies.invite(guest)
    const phone = testDevice('phone', 1)
    const added = log.bodies.addDevice(log.owner, phone)
    for (const [wrap, space, { kem }] of [
      // The genesis cannot name the space that it founds.
      [genesis.wrap, new Uint8Array(32), log.owner],
      [invite.wrap, log.spaceBytes, guest],
      [added.wrap, log.spaceBytes, phone],
    ] as const) {
      expect(wrap).toEqual(wrapSecret({ ...context, space, epoch: 0, secret, kemPublicKey: kem }))
    }
  })
})

describe('a delivery (R-WRAP-4)', () => {
  it('is a Merkle tree over device numbers and wraps, in ascending order', () => {
    const [one, two, three] = [10, 20, 30].map(n => new Uint8Array(1168).fill(n)) as [
      Uint8Array,
      Uint8Array,
      Uint8Array,
    ]
    // Leaf data in deterministic CBOR: an array of the number and the bytes.
    const leaf = (device: number, wrap: Uint8Array): Uint8Array =>
      sha256(concat(Uint8Array.of(0, 0x82, device, 0x59, 0x04, 0x90), wrap))
    const node = (left: Uint8Array, right: Uint8Array): Uint8Array => sha256(concat(Uint8Array.of(1), left, right))
    const root = node(node(leaf(0, one), leaf(7, two)), leaf(9, three))
    expect(wrapsRootOf([wrapLeaf(0, one), wrapLeaf(7, two), wrapLeaf(9, three)])).toEqual(root)
  })

  it('links to the secrets of an earlier epoch, for who reads everything and for everybody (R-EPOCH-6)', () => {
    const bound = concat(SPACE, uint64(5), uint64(3))
    for (const [kind, key, secret, label] of [
      ['history', HISTORY, EARLIER, 'link'],
      ['names', hkdf(READ, 'sealog/v1/names', 32), hkdf(BIRTH_READ, 'sealog/v1/names', 32), 'names-link'],
    ] as const) {
      const nonce = hkdf(key, `sealog/v1/${label}-nonce`, 24, bound, secret)
      const sealed = xchacha20poly1305(hkdf(key, `sealog/v1/${label}`, 32), nonce, bound).encrypt(secret)
      const link = sealLink(kind, { space: SPACE, epoch: 5, target: 3, key, secret })
      expect(toHex(link)).toBe(toHex(concat(nonce, sealed)))
      expect(openLink(kind, { space: SPACE, epoch: 5, target: 3, key, link })).toEqual(secret)
    }
  })
})

describe('a grant (R-GRANT-2)', () => {
  it('seals read secrets of consecutive epochs to one device', async () => {
    const kemPublicKey = kemPublicKeyOf(KEM_SEED)
    const context = { space: SPACE, device: 7, from: 2 }
    const sealed = sealGrant({ ...context, kemPublicKey, secrets: [READ, BIRTH_READ], random })
    const bound = concat(SPACE, uint64(7), uint64(2))
    const payload = concat(READ, BIRTH_READ)
    const parts = [FRESH, sha256(payload), sha256(bound), sha256(kemPublicKey)]
    const coins = hkdf(READ, 'sealog/v1/grant-coins', 64, ...parts)
    const { ciphertext, sharedSecret } = encapsulate(kemPublicKey, coins)
    const key = hkdf(sharedSecret, 'sealog/v1/grant-key', 32, bound, ciphertext)
    const expected = concat(ciphertext, xchacha20poly1305(key, new Uint8Array(24), bound).encrypt(payload))
    expect(toHex(sealed)).toBe(toHex(expected))
    expect(openGrant({ ...context, seed: KEM_SEED, sealed })).toEqual([READ, BIRTH_READ])
    for (const other of [{ space: bytesOf('x') }, { device: 8 }, { from: 1 }]) {
      expect(await verdictOf(() => openGrant({ ...context, ...other, seed: KEM_SEED, sealed }))).toBe('ERR_OPEN')
    }
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
    const names = hkdf(READ, 'sealog/v1/names', 32)
    const key = hkdf(names, 'sealog/v1/label', 32)
    const sealed = sealLabel({ secret: names, context: 'space', text: 'Field notes', random })
    const plaintext = concat(toUtf8('Field notes'), Uint8Array.of(0x80), new Uint8Array(32 - 12))
    const nonceKey = hkdf(key, 'sealog/v1/nonce-key', 32)
    const hashes = [sha256(plaintext), sha256(toUtf8('space'))]
    const nonce = hkdf(nonceKey, 'sealog/v1/nonce', 24, FRESH, ...hashes, uint64(0))
    expect(sealed).toEqual(concat(nonce, xchacha20poly1305(key, nonce, toUtf8('space')).encrypt(plaintext)))
    expect(openLabel({ secret: names, context: 'space', sealed })).toBe('Field notes')
    expect(await verdictOf(() => openLabel({ secret: names, context: 'member', sealed }))).toBe('ERR_OPEN')
    expect(await verdictOf(() => openLabel({ secret: READ, context: 'space', sealed }))).toBe('ERR_OPEN')
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
    expect(inviteNameKey(seed)).toEqual(hkdf(seed, 'sealog/v1/invite-names', 32))
    expect(publicKeyOf(inviteKeys(seed).signing)).toHaveLength(32)
  })
})

describe('a signature (R-SIGN-1)', () => {
  it.each(EDGE_CASES)('$name', edge => {
    expect(verifySync(checkOf(edge))).toBe(edge.valid)
  })
})
