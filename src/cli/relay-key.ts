import { fromHex } from '../bytes.ts'
import { verifySync } from '../crypto/sign.ts'
import { SealogError } from '../errors.ts'
import { type Note, relaySignature } from '../verify/checkpoint.ts'
import { parseVerifierKey } from '../verify/note-key.ts'

/** The relay that the user means. */
export interface KnownRelay {
  /** Ed25519, 32 bytes; undefined where the user gave none. */
  readonly key: Uint8Array | undefined
  /** `<relay name>/<space id>`, where the user, or the verifier key, says so. */
  readonly origin: string | undefined
}

/**
 * @param key 64 hexadecimal digits, or a verifier key as Go's sumdb/note takes it
 * @throws SealogError ERR_MALFORMED
 */
export function knownRelay(key: string | undefined, origin: string | undefined): KnownRelay {
  if (key === undefined) return { key: undefined, origin }
  if (/^[0-9a-fA-F]{64}$/.test(key)) return { key: fromHex(key), origin }
  const { name, publicKey } = parseVerifierKey(key)
  if (origin !== undefined && origin !== name) {
    throw new SealogError('ERR_MALFORMED', '--origin is another one than that of --key')
  }
  return { key: publicKey, origin: name }
}

/** Why this note is not by the relay that is meant, or undefined where it is. */
export function foreignNote(note: Note, key: Uint8Array, origin: string | undefined): string | undefined {
  const name = note.checkpoint.origin
  if (origin !== undefined && name !== origin) return `the checkpoint is about ${name}, not ${origin}`
  try {
    const signature = relaySignature(note, { name, publicKey: key })
    if (verifySync({ publicKey: key, message: note.text, signature })) return undefined
    return 'the signature of the relay does not verify'
  } catch (error) {
    if (error instanceof SealogError) return error.message
    throw error
  }
}
