import { concat } from '../bytes.ts'
import type { Random } from '../environment.ts'
import { SealogError } from '../errors.ts'
import { AEAD_KEY_LENGTH, NONCE_LENGTH, open, seal, TAG_LENGTH } from './aead.ts'
import { assertBytes, assertUint } from './checks.ts'
import { SECRET_LENGTH } from './epoch.ts'
import { sha256 } from './hash.ts'
import { hkdf, uint64 } from './kdf.ts'
import { decapsulate, encapsulate } from './wrap.ts'

const KEM_CIPHERTEXT_LENGTH = 1120
const KEM_COINS_LENGTH = 64
const ZERO_NONCE: Uint8Array = new Uint8Array(NONCE_LENGTH)

/** To whom read secrets of earlier epochs are granted, and from which epoch on. */
export interface GrantContext {
  /** 32 bytes. */
  readonly space: Uint8Array
  /** Number of the device. */
  readonly device: number
  readonly from: number
}

/**
 * Seals read secrets of consecutive epochs to one device (DESIGN §7): an X-Wing ciphertext ‖ all of them under its
 * shared secret. Its coins follow from fresh randomness and from all that is sealed, so that where randomness repeats
 * the key does only when the message does.
 * @param options.secrets `R_from`, `R_from+1`, …; 32 bytes each, at least one
 * @returns 1,136 bytes and 32 for each secret
 * @throws SealogError ERR_KEY for a KEM key that must not be admitted; TypeError
 */
export function sealGrant(
  options: GrantContext & {
    readonly kemPublicKey: Uint8Array
    readonly secrets: readonly Uint8Array[]
    readonly random: Random
  },
): Uint8Array {
  const { kemPublicKey, secrets, random } = options
  const [first] = secrets
  if (first === undefined) throw new TypeError('secrets: expected at least one')
  for (const [i, secret] of secrets.entries()) assertBytes(secret, `secrets[${i}]`, SECRET_LENGTH)
  const context = grantContext(options)
  const payload = concat(...secrets)
  const fresh = random(32)
  assertBytes(fresh, 'random', 32)
  const parts = [fresh, sha256(payload), sha256(context), sha256(kemPublicKey)]
  const { ciphertext, sharedSecret } = encapsulate(
    kemPublicKey,
    hkdf(first, 'sealog/v1/grant-coins', parts, KEM_COINS_LENGTH),
  )
  return concat(ciphertext, seal(grantKey(sharedSecret, context, ciphertext), ZERO_NONCE, payload, context))
}

/**
 * @param options.seed the device's X-Wing seed, 32 bytes
 * @param options.sealed any length may be tried
 * @returns 32 bytes each, still to be held against the read commitments of their epochs
 * @throws SealogError ERR_OPEN; TypeError
 */
export function openGrant(
  options: GrantContext & { readonly seed: Uint8Array; readonly sealed: Uint8Array },
): readonly Uint8Array[] {
  const { seed, sealed } = options
  assertBytes(sealed, 'sealed')
  const count = (sealed.length - KEM_CIPHERTEXT_LENGTH - TAG_LENGTH) / SECRET_LENGTH
  if (!Number.isInteger(count) || count < 1) throw new SealogError('ERR_OPEN', 'a grant of the wrong length')
  const context = grantContext(options)
  const ciphertext = sealed.subarray(0, KEM_CIPHERTEXT_LENGTH)
  const key = grantKey(decapsulate(seed, ciphertext), context, ciphertext)
  const payload = open(key, ZERO_NONCE, sealed.subarray(KEM_CIPHERTEXT_LENGTH), context)
  return Array.from({ length: count }, (_, i) => payload.slice(i * SECRET_LENGTH, (i + 1) * SECRET_LENGTH))
}

function grantKey(sharedSecret: Uint8Array, context: Uint8Array, ciphertext: Uint8Array): Uint8Array {
  return hkdf(sharedSecret, 'sealog/v1/grant-key', [context, ciphertext], AEAD_KEY_LENGTH)
}

function grantContext({ space, device, from }: GrantContext): Uint8Array {
  assertBytes(space, 'space', 32)
  assertUint(device, 'device')
  assertUint(from, 'from')
  return concat(space, uint64(device), uint64(from))
}
