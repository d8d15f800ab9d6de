import { scryptAsync } from '@noble/hashes/scrypt.js'
import { concat, toUtf8 } from '../bytes.ts'
import { asBytes, asTuple, asUint, type Cbor, decodeCbor, encodeCbor } from '../codec.ts'
import type { Random } from '../environment.ts'
import { hasCode, SealogError } from '../errors.ts'
import { AEAD_KEY_LENGTH, NONCE_LENGTH, open, seal, TAG_LENGTH } from './aead.ts'
import { assertBytes } from './checks.ts'
import { hkdf } from './kdf.ts'
import { openBody, sealBody } from './keyring.ts'

/** What opens a protected store: a passphrase, or the 32 bytes that a passkey gives (see `passkeySecret`). */
export type StoreSecret = { readonly passphrase: string } | { readonly prf: Uint8Array }

export type StoreSecretType = 'passphrase' | 'prf'

/** Cost of scrypt (RFC 7914 §2): N = 2^logN; memory 128 · r · N bytes, time in proportion to that and to p. */
export interface ScryptCost {
  readonly logN: number
  readonly r: number
  readonly p: number
}

/** 128 MiB, and about a second: what a person who types a passphrase will wait. */
const DEFAULT_SCRYPT_COST: ScryptCost = { logN: 17, r: 8, p: 1 }

type LockMethod =
  | { readonly type: 'passphrase'; readonly cost: ScryptCost; readonly salt: Uint8Array }
  | { readonly type: 'prf'; readonly salt: Uint8Array }

/** The data key of a store, sealed: what a store keeps so that the right secret opens it. */
export interface StoreLock {
  readonly method: LockMethod
  /** The data key under the key that method and secret give, 48 bytes. */
  readonly sealed: Uint8Array
}

const VERSION = 1
const SALT_LENGTH = 16
const PRF_LENGTH = 32
const LONGEST_PASSPHRASE = 1024
const LONGEST_LOCK = 256
const MAX_COST: ScryptCost = { logN: 19, r: 32, p: 4 }
/** Most memory that a stored lock may ask for: four times the default. */
const MAX_MEMORY: number = 2 ** 29
const ZERO_NONCE: Uint8Array = new Uint8Array(NONCE_LENGTH)

/**
 * A copy of the secret, so that a caller may wipe its own as soon as it has handed it in.
 * @throws TypeError naming `argument`, unless it is exactly one of: a passphrase of 1 to 1,024 UTF-16 units without lone
 * surrogates, or the 32 bytes of a passkey
 */
export function ownStoreSecret(secret: StoreSecret, argument: string): StoreSecret {
  if (typeof secret !== 'object' || secret === null) throw new TypeError(`${argument}: expected an object`)
  if ('passphrase' in secret === 'prf' in secret) throw new TypeError(`${argument}: expected passphrase or prf`)
  if ('prf' in secret) {
    assertBytes(secret.prf, `${argument}.prf`, PRF_LENGTH)
    return { prf: new Uint8Array(secret.prf) }
  }
  const { passphrase } = secret
  if (typeof passphrase !== 'string' || passphrase.length < 1 || passphrase.length > LONGEST_PASSPHRASE) {
    throw new TypeError(`${argument}.passphrase: expected a string of 1 to ${LONGEST_PASSPHRASE} characters`)
  }
  // On the way to UTF-8 a lone surrogate would become U+FFFD, so that different passphrases were one.
  if (/\p{Surrogate}/u.test(passphrase)) throw new TypeError(`${argument}.passphrase: expected well-formed text`)
  return { passphrase }
}

/**
 * A fresh data key, 32 bytes, and the lock that seals it. Nothing is kept of an earlier lock: neither its secret nor its
 * data key opens anything that is sealed from now on.
 * @throws TypeError
 */
export async function newStoreLock(options: {
  readonly secret: StoreSecret
  readonly random: Random
  /** Of a passphrase; default 128 MiB, and about a second. */
  readonly cost?: ScryptCost
}): Promise<{ readonly lock: StoreLock; readonly dataKey: Uint8Array }> {
  const { random, cost = DEFAULT_SCRYPT_COST } = options
  const secret = ownStoreSecret(options.secret, 'secret')
  // Drawn at once: where a broken generator repeats itself, salt and data key repeat together, and nothing but the same
  // message is ever sealed under one key. That is why the nonce can be constant.
  const fresh = random(SALT_LENGTH + AEAD_KEY_LENGTH)
  assertBytes(fresh, 'random', SALT_LENGTH + AEAD_KEY_LENGTH)
  const [salt, dataKey] = [fresh.slice(0, SALT_LENGTH), fresh.slice(SALT_LENGTH)]
  const method: LockMethod = 'prf' in secret ? { type: 'prf', salt } : { type: 'passphrase', cost, salt }
  const sealed = seal(await lockKey(method, secret), ZERO_NONCE, dataKey, lockAad(method))
  return { lock: { method, sealed }, dataKey }
}

/**
 * @returns the data key, 32 bytes
 * @throws SealogError ERR_PASSPHRASE for another secret than the lock was made with, also for one of the other type
 * (`details.expected` is the right one); TypeError
 */
export async function openStoreLock({ method, sealed }: StoreLock, given: StoreSecret): Promise<Uint8Array> {
  const secret = ownStoreSecret(given, 'secret')
  const actual: StoreSecretType = 'prf' in secret ? 'prf' : 'passphrase'
  const details = { expected: method.type, actual }
  if (actual !== method.type) throw new SealogError('ERR_PASSPHRASE', `opens by ${method.type} only`, { details })
  const key = await lockKey(method, secret)
  try {
    return open(key, ZERO_NONCE, sealed, lockAad(method))
  } catch (cause) {
    if (!hasCode(cause, 'ERR_OPEN')) throw cause
    throw new SealogError('ERR_PASSPHRASE', `not the ${actual} of this store`, { cause, details })
  }
}

/**
 * The value of a row under the data key, padded, and bound to the key of the row, so that no row can stand in for
 * another one (DESIGN §6.1 has the construction).
 * @throws TypeError
 */
export function sealStoreRow(dataKey: Uint8Array, key: Uint8Array, value: Uint8Array, random: Random): Uint8Array {
  return sealBody({ key: dataKey, payload: value, aad: rowAad(key), random, seq: 0 })
}

/**
 * @param sealed any bytes may be tried
 * @returns the value, in a buffer of exactly its length
 * @throws SealogError ERR_OPEN; TypeError
 */
export function openStoreRow(dataKey: Uint8Array, key: Uint8Array, sealed: Uint8Array): Uint8Array {
  return openBody({ key: dataKey, body: sealed, aad: rowAad(key) }).slice()
}

/**
 *     store-lock = [version: 1, method, sealed: bstr .size 48]
 *     method     = [0, logN: 1..19, r: 8..32, p: 1..4, salt: bstr .size 16]      ; scrypt of a passphrase
 *                / [1, salt: bstr .size 16]                                      ; HKDF of a passkey's PRF output
 */
export function encodeStoreLock({ method, sealed }: StoreLock): Uint8Array {
  return encodeCbor([VERSION, methodItem(method), sealed])
}

/**
 * The cost is bounded, so that whoever can write the store cannot have it take all memory, or for ever, to open it.
 * @throws SealogError ERR_MALFORMED, ERR_LIMIT, ERR_UPGRADE
 */
export function decodeStoreLock(bytes: Uint8Array): StoreLock {
  const item = decodeCbor(bytes, LONGEST_LOCK)
  // The version stands first, so that a later one may have another shape.
  if (Array.isArray(item) && typeof item[0] === 'number' && item[0] !== VERSION) {
    throw new SealogError('ERR_UPGRADE', `a lock of version ${item[0]}`)
  }
  const fields = asTuple(item, 3, 'lock')
  asUint(fields[0], 'version', VERSION)
  return { method: asMethod(fields[1]), sealed: asBytes(fields[2], AEAD_KEY_LENGTH + TAG_LENGTH, 'sealed data key') }
}

function methodItem(method: LockMethod): Cbor {
  if (method.type === 'prf') return [1, method.salt]
  const { logN, r, p } = method.cost
  return [0, logN, r, p, method.salt]
}

function asMethod(item: Cbor | undefined): LockMethod {
  const type = Array.isArray(item) ? asUint(item[0], 'method') : undefined
  if (type !== undefined && type > 1) throw new SealogError('ERR_UPGRADE', `a lock of method ${type}`)
  if (type === 1) return { type: 'prf', salt: asBytes(asTuple(item, 2, 'method')[1], SALT_LENGTH, 'salt') }
  const [, logN, r, p, salt] = asTuple(item, 5, 'method')
  const cost = {
    logN: asUint(logN, 'logN', MAX_COST.logN),
    r: asUint(r, 'r', MAX_COST.r),
    p: asUint(p, 'p', MAX_COST.p),
  }
  if (cost.logN < 1 || cost.r < 8 || cost.p < 1) throw new SealogError('ERR_MALFORMED', 'no cost of scrypt')
  if (memoryOf(cost) > MAX_MEMORY) {
    throw new SealogError('ERR_LIMIT', 'a lock that takes too much memory to open', { details: { limit: MAX_MEMORY } })
  }
  return { type: 'passphrase', cost, salt: asBytes(salt, SALT_LENGTH, 'salt') }
}

/** Of scrypt, in bytes: N blocks of 128 · r (RFC 7914 §5). */
function memoryOf({ logN, r }: ScryptCost): number {
  return 128 * r * 2 ** logN
}

/** The key that seals the data key, 32 bytes. */
async function lockKey(method: LockMethod, secret: StoreSecret): Promise<Uint8Array> {
  if ('prf' in secret) return hkdf(secret.prf, 'sealog/v1/store-prf', [method.salt], AEAD_KEY_LENGTH)
  if (method.type !== 'passphrase') throw new TypeError('secret: expected the prf')
  const { logN, r, p } = method.cost
  // Keyboards differ in how they compose one and the same character (Unicode Standard Annex #15).
  const passphrase = toUtf8(secret.passphrase.normalize('NFKC'))
  // Beside its table, scrypt keeps a few blocks at hand.
  const maxmem = memoryOf(method.cost) + 128 * r * (p + 8)
  const stretched = await scryptAsync(passphrase, method.salt, { N: 2 ** logN, r, p, dkLen: 32, maxmem })
  return hkdf(stretched, 'sealog/v1/store-passphrase', [], AEAD_KEY_LENGTH)
}

/** All that a lock says in clear. */
function lockAad(method: LockMethod): Uint8Array {
  return concat(toUtf8('sealog/v1/store-lock\0'), encodeCbor([VERSION, methodItem(method)]))
}

function rowAad(key: Uint8Array): Uint8Array {
  return concat(toUtf8('sealog/v1/store-row\0'), key)
}
