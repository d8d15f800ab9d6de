import { concat, equalBytes, fromBase64, fromHex, toBase64, toHex, toUtf8 } from '../bytes.ts'
import { sha256 } from '../crypto/hash.ts'
import { SealogError } from '../errors.ts'

/** A key under the name that stands in the signature lines of notes. */
export interface NoteKey {
  /** Not empty, without Unicode spaces and `+`. */
  readonly name: string
  /** Ed25519, 32 bytes. */
  readonly publicKey: Uint8Array
}

/** C2SP signed-note: the signature type of plain Ed25519. */
const ED25519 = 0x01
/** C2SP tlog-cosignature: Ed25519 over a statement with a time of its own. */
export const COSIGNATURE_V1 = 0x04

/**
 * Which key a signature line is by: the first 4 bytes of SHA-256(name ‖ 0x0A ‖ type ‖ public key), C2SP signed-note.
 * It picks a key among known ones and identifies nothing by itself: collisions are easy to make.
 * @param publicKey Ed25519, 32 bytes
 * @param type of signature: by default 0x01, plain Ed25519
 * @throws TypeError
 */
export function noteKeyHash(
  name: string,
  publicKey: Uint8Array,
  type: typeof ED25519 | typeof COSIGNATURE_V1 = ED25519,
): Uint8Array {
  if (!isKeyName(name)) throw new TypeError('name: expected a name without spaces and "+"')
  if (publicKey.length !== 32) throw new TypeError('publicKey: expected 32 bytes')
  return sha256(toUtf8(`${name}\n`), Uint8Array.of(type), publicKey).slice(0, 4)
}

/**
 * `<name>+<key hash in hex>+<base64 of 0x01 ‖ public key>`, the text by which Go's sumdb/note and its kin take a key.
 * @throws TypeError
 */
export function encodeVerifierKey(name: string, publicKey: Uint8Array): string {
  return `${name}+${toHex(noteKeyHash(name, publicKey))}+${toBase64(concat(Uint8Array.of(ED25519), publicKey))}`
}

/** @throws SealogError ERR_MALFORMED, for keys of another type as well */
export function parseVerifierKey(text: string): NoteKey {
  const [, name, keyHash, encoded] = /^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(text) ?? []
  if (name === undefined || keyHash === undefined || encoded === undefined || !isKeyName(name)) {
    throw malformed('expected <name>+<key hash>+<key>')
  }
  let key: Uint8Array
  try {
    key = fromBase64(encoded)
  } catch (cause) {
    throw malformed('the key is not canonical base64', cause)
  }
  if (key.length !== 33 || key[0] !== ED25519) throw malformed('not an Ed25519 key')
  const publicKey = key.slice(1)
  if (!equalBytes(fromHex(keyHash), noteKeyHash(name, publicKey))) throw malformed('the key hash does not match')
  return { name, publicKey }
}

/** C2SP signed-note: not empty, well-formed, without Unicode spaces (newline is one), `+` and anything below U+0020. */
export function isKeyName(name: string): boolean {
  // Nearly all names are plain: see `hasControl` for what the Unicode classes cost.
  if (/^[!-*,-~]+$/.test(name)) return true
  if (name === '' || /[\p{White_Space}\p{Surrogate}+]/u.test(name)) return false
  return [...name].every(char => char >= ' ')
}

function malformed(message: string, cause?: unknown): SealogError {
  return new SealogError('ERR_MALFORMED', `verifier key: ${message}`, { cause })
}

/**
 * Has it control characters (Unicode category Cc)? By code: engines forget the class of a regular expression whenever
 * they collect garbage, and to build it takes longer than all else that a note takes.
 */
export function hasControl(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code < 0x20 || (code >= 0x7f && code < 0xa0)) return true
  }
  return false
}
