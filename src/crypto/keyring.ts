import { concat, fromUtf8, toHex, toUtf8 } from '../bytes.ts'
import type { Random } from '../environment.ts'
import { SealogError } from '../errors.ts'
import { AEAD_KEY_LENGTH, NONCE_LENGTH, open, seal } from './aead.ts'
import { type BoundedCache, boundedCache } from './bounded-cache.ts'
import { assertBytes, assertUint } from './checks.ts'
import { SECRET_LENGTH } from './epoch.ts'
import { sha256, ZERO_32 } from './hash.ts'
import { hkdf, hmacSha256, type Label, uint64 } from './kdf.ts'
import { pad, padBlocks, unpad, unpadBlocks } from './padding.ts'

/** Longest name of a space, member or device, in bytes of UTF-8. */
const LABEL_LIMIT = 256
const FRESH_LENGTH = 32
const SMALLEST_SEALED = NONCE_LENGTH + 32 + 16

/** A catch-up opens 100,000 bodies of a few documents: deriving their keys every time would cost more than opening. */
const derived: BoundedCache<Uint8Array> = boundedCache(1024)

function deriveOnce(ikm: Uint8Array, label: Label, parts: readonly Uint8Array[] = []): Uint8Array {
  const name = [label, toHex(ikm), ...parts.map(toHex)].join(' ')
  return derived.get(name, () => hkdf(ikm, label, parts, SECRET_LENGTH))
}

/** Which document, as of which epoch. Content needs both secrets, so who has only later ones opens no older document. */
export interface DocumentSecrets {
  /** R_e of the epoch of the entry, 32 bytes. */
  readonly readSecret: Uint8Array
  /** R_b of the epoch in which the document was born, 32 bytes. */
  readonly birthReadSecret: Uint8Array
  /** 16 bytes. */
  readonly document: Uint8Array
}

function deriveDocument(label: Label, { readSecret, birthReadSecret, document }: DocumentSecrets): Uint8Array {
  assertBytes(readSecret, 'readSecret', SECRET_LENGTH)
  assertBytes(birthReadSecret, 'birthReadSecret', SECRET_LENGTH)
  assertBytes(document, 'document', 16)
  // A copy: what the cache holds stays what it is whatever the caller does with its own.
  return deriveOnce(concat(readSecret, birthReadSecret), label, [document]).slice()
}

/** K = HKDF(R_e ‖ R_b, "doc" ‖ document): seals the bodies (DESIGN §6.1). @returns 32 bytes @throws TypeError */
export function documentKey(secrets: DocumentSecrets): Uint8Array {
  return deriveDocument('sealog/v1/doc', secrets)
}

/** HKDF(R_e ‖ R_b, "tag" ‖ document): keys the tags (DESIGN §6.2). @returns 32 bytes @throws TypeError */
export function tagKey(secrets: DocumentSecrets): Uint8Array {
  return deriveDocument('sealog/v1/tag', secrets)
}

/**
 * The commitment of a header to its actor's latest Automerge change (DESIGN §6.2).
 * @param key of `tagKey`, 32 bytes
 * @param changeHash 32 bytes; never all zero, which stands for "no changes"
 * @returns 32 bytes
 * @throws TypeError
 */
export function changeTag(key: Uint8Array, changeHash: Uint8Array): Uint8Array {
  assertBytes(key, 'key', SECRET_LENGTH)
  assertBytes(changeHash, 'changeHash', 32)
  return hmacSha256(key, changeHash)
}

/** The tag of an actor without changes. @param key of `tagKey`, 32 bytes @returns 32 bytes @throws TypeError */
export function noChangesTag(key: Uint8Array): Uint8Array {
  return changeTag(key, ZERO_32)
}

/**
 * The body of an entry: nonce 24 ‖ XChaCha20-Poly1305(K, nonce, pad(payload), aad) (DESIGN §6.1).
 * @param options.key K, 32 bytes
 * @param options.aad the header without the fields about the body
 * @param options.seq the entry's place in its actor's chain
 * @throws TypeError
 */
export function sealBody(options: {
  readonly key: Uint8Array
  readonly payload: Uint8Array
  readonly aad: Uint8Array
  readonly random: Random
  readonly seq: number
}): Uint8Array {
  return sealHedged({ ...options, plaintext: pad(options.payload) })
}

/**
 * @param options.key K, 32 bytes
 * @param options.body any length may be tried
 * @returns the payload, a view of a buffer of its own
 * @throws SealogError ERR_OPEN; TypeError
 */
export function openBody(options: {
  readonly key: Uint8Array
  readonly body: Uint8Array
  readonly aad: Uint8Array
}): Uint8Array {
  assertBytes(options.body, 'body')
  return unpad(openHedged(options.key, options.body, options.aad))
}

/** Where a human label stands and under which key. */
export interface LabelContext {
  /** N_e of the epoch that the label is sealed in, or another uniform secret of its readers, 32 bytes. */
  readonly secret: Uint8Array
  /** Which label this is, so that one cannot stand in for another: a text of the caller's choice. */
  readonly context: string
}

/**
 * Seals the name of a space, member or device for a control entry, padded to a multiple of 32 bytes (DESIGN §4).
 * @param options.text well-formed, at most 256 bytes of UTF-8
 * @returns 72 to 328 bytes
 * @throws TypeError
 */
export function sealLabel(options: LabelContext & { readonly text: string; readonly random: Random }): Uint8Array {
  const { secret, context, text, random } = options
  if (typeof text !== 'string') throw new TypeError('text: expected a string')
  // On the way to UTF-8 a lone surrogate would become U+FFFD.
  if (/\p{Surrogate}/u.test(text)) throw new TypeError('text: expected well-formed text')
  const bytes = toUtf8(text)
  if (bytes.length > LABEL_LIMIT) throw new TypeError(`text: expected at most ${LABEL_LIMIT} bytes of UTF-8`)
  return sealHedged({ key: labelKey(secret), plaintext: padBlocks(bytes), aad: labelAad(context), random, seq: 0 })
}

/** @param options.sealed any length may be tried @throws SealogError ERR_OPEN; TypeError */
export function openLabel(options: LabelContext & { readonly sealed: Uint8Array }): string {
  const { secret, context, sealed } = options
  assertBytes(sealed, 'sealed')
  const bytes = unpadBlocks(openHedged(labelKey(secret), sealed, labelAad(context)))
  if (bytes.length > LABEL_LIMIT) throw new SealogError('ERR_OPEN', 'label too long')
  try {
    return fromUtf8(bytes)
  } catch (cause) {
    throw new SealogError('ERR_OPEN', 'label is not UTF-8', { cause })
  }
}

function labelKey(secret: Uint8Array): Uint8Array {
  assertBytes(secret, 'secret', SECRET_LENGTH)
  return deriveOnce(secret, 'sealog/v1/label')
}

function labelAad(context: string): Uint8Array {
  if (typeof context !== 'string') throw new TypeError('context: expected a string')
  return toUtf8(context)
}

/**
 * nonce ‖ ciphertext, with a hedged nonce: derived, under a subkey of the key, from fresh randomness and from all that
 * is sealed. With good randomness it is random; where randomness repeats (a cloned machine, a broken generator) the
 * nonce still repeats only when the whole message does, and then nothing is given away but that.
 */
function sealHedged(options: {
  readonly key: Uint8Array
  readonly plaintext: Uint8Array
  readonly aad: Uint8Array
  readonly random: Random
  readonly seq: number
}): Uint8Array {
  const { key, plaintext, aad, random, seq } = options
  assertBytes(key, 'key', AEAD_KEY_LENGTH)
  assertBytes(aad, 'aad')
  assertUint(seq, 'seq')
  const fresh = random(FRESH_LENGTH)
  assertBytes(fresh, 'random', FRESH_LENGTH)
  const parts = [fresh, sha256(plaintext), sha256(aad), uint64(seq)]
  const nonce = hkdf(deriveOnce(key, 'sealog/v1/nonce-key'), 'sealog/v1/nonce', parts, NONCE_LENGTH)
  return concat(nonce, seal(key, nonce, plaintext, aad))
}

function openHedged(key: Uint8Array, sealed: Uint8Array, aad: Uint8Array): Uint8Array {
  assertBytes(key, 'key', AEAD_KEY_LENGTH)
  assertBytes(aad, 'aad')
  if (sealed.length < SMALLEST_SEALED) throw new SealogError('ERR_OPEN', 'ciphertext too short')
  return open(key, sealed.subarray(0, NONCE_LENGTH), sealed.subarray(NONCE_LENGTH), aad)
}
