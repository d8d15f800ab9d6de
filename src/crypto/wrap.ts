import { ml_kem768_x25519 as xWing } from '@noble/post-quantum/hybrid.js'
import { concat, equalBytes } from '../bytes.ts'
import { SealogError } from '../errors.ts'
import { AEAD_KEY_LENGTH, NONCE_LENGTH, open, seal, TAG_LENGTH } from './aead.ts'
import { assertBytes, assertUint } from './checks.ts'
import { deriveEpoch, SECRET_LENGTH } from './epoch.ts'
import { hkdf, uint64 } from './kdf.ts'
import { assertValidKemKey } from './kem-key.ts'

/** The secret of an X-Wing key pair is the seed it grows from. */
const KEM_SEED_LENGTH = 32
const KEM_CIPHERTEXT_LENGTH = 1120
const KEM_COINS_LENGTH = 64
/** KEM ciphertext ‖ sealed secret. */
const WRAP_LENGTH: number = KEM_CIPHERTEXT_LENGTH + SECRET_LENGTH + TAG_LENGTH

/** X-Wing (draft-connolly-cfrg-xwing-kem §5.2). @param seed 32 bytes @returns 1,216 bytes @throws TypeError */
export function kemPublicKeyOf(seed: Uint8Array): Uint8Array {
  assertBytes(seed, 'seed', KEM_SEED_LENGTH)
  return xWing.getPublicKey(seed)
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
  const { cipherText, sharedSecret } = xWing.encapsulate(publicKey, coins)
  return { ciphertext: cipherText, sharedSecret }
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
    return xWing.decapsulate(ciphertext, seed)
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
  /** S_e, 32 bytes, also where the wrap holds R_e. */
  readonly epochSecret: Uint8Array
  /** The device's X-Wing key, 1,216 bytes. */
  readonly kemPublicKey: Uint8Array
}

/**
 * Seals the secret of an epoch to one device (DESIGN §7):
 *
 *     context = space ‖ epoch ‖ device ‖ payload kind ‖ KEM key
 *     coins   = HKDF(S_e, "wrap-coins" ‖ context)
 *     ct, ss  = X-Wing encapsulation to the KEM key with these coins
 *     wrap    = ct ‖ XChaCha20-Poly1305(HKDF(ss, "wrap-key" ‖ context ‖ ct), nonce 0, payload, aad = context)
 *
 * Nothing here is random, so that whoever holds S_e can recompute the wrap of every device and see who was given a
 * wrong one. That is sound because S_e has 256 bits nobody can guess: to who does not know S_e the coins are uniform.
 * The constant nonce is safe because the key is: S_e and the context determine the payload, the coins and the key,
 * so a key seals one payload once.
 *
 * @returns 1,168 bytes
 * @throws SealogError ERR_KEY for a KEM key that must not be admitted; TypeError
 */
export function wrapSecret(options: WrapOptions): Uint8Array {
  const { epochSecret, kemPublicKey, payloadKind } = options
  assertBytes(epochSecret, 'epochSecret', SECRET_LENGTH)
  assertValidKemKey(kemPublicKey)
  const context = wrapContext(options, kemPublicKey)
  const coins = hkdf(epochSecret, 'sealog/v1/wrap-coins', [context], KEM_COINS_LENGTH)
  const { ciphertext, sharedSecret } = encapsulate(kemPublicKey, coins)
  const payload = payloadKind === 0 ? epochSecret : deriveEpoch(epochSecret).readSecret
  return concat(ciphertext, seal(wrapKey(sharedSecret, context, ciphertext), ZERO_NONCE, payload, context))
}

/**
 * Opens the wrap of one's own device.
 * @param options.seed the device's X-Wing seed, 32 bytes
 * @param options.wrap 1,168 bytes; another length does not open
 * @returns S_e or R_e by `payloadKind`, 32 bytes: still to be held against the epoch's commitments, and S_e against
 * the wrap itself (`verifyOpenedWrap`)
 * @throws SealogError ERR_OPEN; TypeError
 */
export function openWrap(options: WrapContext & { readonly seed: Uint8Array; readonly wrap: Uint8Array }): Uint8Array {
  const { seed, wrap } = options
  const context = wrapContext(options, kemPublicKeyOf(seed))
  assertBytes(wrap, 'wrap')
  if (wrap.length !== WRAP_LENGTH) throw new SealogError('ERR_OPEN', 'wrap of the wrong length')
  const ciphertext = wrap.subarray(0, KEM_CIPHERTEXT_LENGTH)
  const key = wrapKey(decapsulate(seed, ciphertext), context, ciphertext)
  return open(key, ZERO_NONCE, wrap.subarray(KEM_CIPHERTEXT_LENGTH), context)
}

/** Is this, byte for byte, the wrap that S_e determines for this device? @throws SealogError ERR_KEY; TypeError */
export function checkWrap(options: WrapOptions & { readonly wrap: Uint8Array }): boolean {
  assertBytes(options.wrap, 'wrap')
  return equalBytes(wrapSecret(options), options.wrap)
}

/**
 * After opening a wrap with S_e in it: does S_e determine the wrap it came in? Otherwise its author did not derive
 * the coins, and others would take the wrap for a wrong one.
 * @param options.epochSecret what `openWrap` returned for payload kind 0
 * @param options.seed the device's X-Wing seed, 32 bytes
 * @throws SealogError ERR_KEY; TypeError
 */
export function verifyOpenedWrap(
  options: Omit<WrapContext, 'payloadKind'> & {
    readonly epochSecret: Uint8Array
    readonly seed: Uint8Array
    readonly wrap: Uint8Array
  },
): void {
  const { epochSecret, space, epoch, device, wrap } = options
  const kemPublicKey = kemPublicKeyOf(options.seed)
  if (!checkWrap({ epochSecret, space, epoch, device, payloadKind: 0, kemPublicKey, wrap })) {
    throw new SealogError('ERR_KEY', 'not the wrap that its secret determines')
  }
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
