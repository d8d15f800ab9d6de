import { concat, equalBytes } from '../bytes.ts'
import { SealogError } from '../errors.ts'
import { AEAD_KEY_LENGTH, NONCE_LENGTH, open, seal, TAG_LENGTH } from './aead.ts'
import { assertBytes, assertUint } from './checks.ts'
import { SECRET_LENGTH } from './epoch.ts'
import { hkdf, uint64 } from './kdf.ts'
import { assertValidKemKey } from './kem-key.ts'
import { decapsulateWith, encapsulateTo, publicKeyOfSeed } from './x-wing.ts'

/** The secret of an X-Wing key pair is the seed it grows from. */
const KEM_SEED_LENGTH = 32
const KEM_CIPHERTEXT_LENGTH = 1120
const KEM_COINS_LENGTH = 64
/** KEM ciphertext ‖ sealed secret. */
const WRAP_LENGTH: number = KEM_CIPHERTEXT_LENGTH + SECRET_LENGTH + TAG_LENGTH

/** X-Wing (draft-connolly-cfrg-xwing-kem §5.2). @param seed 32 bytes @returns 1,216 bytes @throws TypeError */
export function kemPublicKeyOf(seed: Uint8Array): Uint8Array {
  assertBytes(seed, 'seed', KEM_SEED_LENGTH)
  return publicKeyOfSeed(seed)
}

export interface Encapsulation {
  /** 1,120 bytes. */
  readonly ciphertext: Uint8Array
  /** 32 bytes. */
  readonly sharedSecret: Uint8Array
}

/**
 * X-Wing (draft-connolly-cfrg-xwing-kem §5.4), derandomised.
 * @param publicKey 1,216 bytes
 * @param coins 64 bytes, uniform and used for one encapsulation only
 * @throws SealogError ERR_KEY for a public key that must not be admitted; TypeError
 */
export function encapsulate(publicKey: Uint8Array, coins: Uint8Array): Encapsulation {
  assertValidKemKey(publicKey)
  assertBytes(coins, 'coins', KEM_COINS_LENGTH)
  return encapsulateTo(publicKey, coins)
}

/**
 * X-Wing (draft-connolly-cfrg-xwing-kem §5.5). A ciphertext that was tampered with gives another secret (ML-KEM
 * rejects implicitly), so only what is sealed under the secret tells.
 * @param seed 32 bytes
 * @param ciphertext 1,120 bytes
 * @returns 32 bytes
 * @throws SealogError ERR_OPEN where the X25519 part is a point of low order; TypeError
 */
export function decapsulate(seed: Uint8Array, ciphertext: Uint8Array): Uint8Array {
  assertBytes(seed, 'seed', KEM_SEED_LENGTH)
  assertBytes(ciphertext, 'ciphertext', KEM_CIPHERTEXT_LENGTH)
  try {
    return decapsulateWith(seed, ciphertext)
  } catch (cause) {
    throw new SealogError('ERR_OPEN', 'KEM ciphertext does not decapsulate', { cause })
  }
}

/** What is in a wrap: 0 the epoch secret S_e (all history), 1 the read secret R_e (from joining on). */
export type WrapKind = 0 | 1

/** Whom a wrap is for, and what it says: all of it goes into every derivation. */
export interface WrapContext {
  /** 32 bytes; all zero in a genesis, which is hashed to give the space its id. */
  readonly space: Uint8Array
  readonly epoch: number
  /**
   * Number of the control entry that admitted the device. Undefined in a wrap that is part of that very entry: its
   * number is not known when it is signed, and the KEM key, which is never admitted twice, names the device as well.
   */
  readonly device: number | undefined
  readonly payloadKind: WrapKind
}

export interface WrapOptions extends WrapContext {
  /** What is wrapped, 32 bytes: S_e for payload kind 0, R_e for kind 1. */
  readonly secret: Uint8Array
  /** The device's X-Wing key, 1,216 bytes. */
  readonly kemPublicKey: Uint8Array
}

/**
 * Seals a secret of an epoch to one device (DESIGN §7):
 *
 *     context = space ‖ epoch ‖ device ‖ payload kind ‖ KEM key
 *     coins   = HKDF(secret, "wrap-coins" ‖ context)
 *     ct, ss  = X-Wing encapsulation to the KEM key with these coins
 *     wrap    = ct ‖ XChaCha20-Poly1305(HKDF(ss, "wrap-key" ‖ context ‖ ct), nonce 0, secret, aad = context)
 *
 * Nothing here is random, so that whoever holds the secret can recompute the wrap of every device and see who was given
 * a wrong one: with S_e all of them, as R_e follows from it. That is sound because the secret has 256 bits nobody can
 * guess: to who does not know it the coins are uniform. The constant nonce is safe because the key is: the secret and
 * the context determine the coins and the key, so a key seals one payload once.
 *
 * @returns 1,168 bytes
 * @throws SealogError ERR_KEY for a KEM key that must not be admitted; TypeError
 */
export function wrapSecret(options: WrapOptions): Uint8Array {
  const { secret, kemPublicKey } = options
  assertBytes(secret, 'secret', SECRET_LENGTH)
  assertValidKemKey(kemPublicKey)
  const context = wrapContext(options, kemPublicKey)
  const coins = hkdf(secret, 'sealog/v1/wrap-coins', [context], KEM_COINS_LENGTH)
  const { ciphertext, sharedSecret } = encapsulate(kemPublicKey, coins)
  return concat(ciphertext, seal(wrapKey(sharedSecret, context, ciphertext), ZERO_NONCE, secret, context))
}

/**
 * Opens the wrap of one's own device.
 * @param options.seed the device's X-Wing seed, 32 bytes
 * @param options.wrap 1,168 bytes; another length does not open
 * @returns S_e or R_e by `payloadKind`, 32 bytes: still to be held against the epoch's commitments
 * @throws SealogError ERR_OPEN; ERR_KEY where it is not the wrap that its secret determines, so that others would take
 * it for a wrong one; TypeError
 */
export function openWrap(options: WrapContext & { readonly seed: Uint8Array; readonly wrap: Uint8Array }): Uint8Array {
  const { seed, wrap } = options
  const kemPublicKey = kemPublicKeyOf(seed)
  const context = wrapContext(options, kemPublicKey)
  assertBytes(wrap, 'wrap')
  if (wrap.length !== WRAP_LENGTH) throw new SealogError('ERR_OPEN', 'wrap of the wrong length')
  const ciphertext = wrap.subarray(0, KEM_CIPHERTEXT_LENGTH)
  const key = wrapKey(decapsulate(seed, ciphertext), context, ciphertext)
  const secret = open(key, ZERO_NONCE, wrap.subarray(KEM_CIPHERTEXT_LENGTH), context)
  if (secret.length !== SECRET_LENGTH || !equalBytes(wrapSecret({ ...options, secret, kemPublicKey }), wrap)) {
    throw new SealogError('ERR_KEY', 'not the wrap that its secret determines')
  }
  return secret
}

const ZERO_NONCE: Uint8Array = new Uint8Array(NONCE_LENGTH)

function wrapKey(sharedSecret: Uint8Array, context: Uint8Array, ciphertext: Uint8Array): Uint8Array {
  return hkdf(sharedSecret, 'sealog/v1/wrap-key', [context, ciphertext], AEAD_KEY_LENGTH)
}

/** space 32 ‖ epoch 8 ‖ device known 1 ‖ device 8 ‖ payload kind 1 ‖ KEM key 1,216 */
function wrapContext({ space, epoch, device, payloadKind }: WrapContext, kemPublicKey: Uint8Array): Uint8Array {
  assertBytes(space, 'space', 32)
  assertUint(epoch, 'epoch')
  if (device !== undefined) assertUint(device, 'device')
  if (payloadKind !== 0 && payloadKind !== 1) throw new TypeError('payloadKind: expected 0 or 1')
  const known = Uint8Array.of(device === undefined ? 0 : 1)
  return concat(space, uint64(epoch), known, uint64(device ?? 0), Uint8Array.of(payloadKind), kemPublicKey)
}
