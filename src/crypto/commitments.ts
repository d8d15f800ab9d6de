import { assertBytes } from './checks.ts'
import { labelledHash } from './hash.ts'
import { hkdf } from './kdf.ts'

/*
 * What the control entry that starts an epoch says in clear about its secrets. S_e gives R_e, which opens the content of
 * the epoch, and H_e, which opens the link to an earlier one; R_e gives N_e, which opens names, and is all that some are
 * ever given of an epoch. The one commitment is over N_e, at the end of that way: so whoever is given S_e, R_e or N_e
 * holds just that against it, and there are no two commitments that could disagree. To H_e none is needed, as the secret
 * that a link leads to is held against the commitment of its own epoch. All are uniform and 32 bytes long, so a labelled
 * hash derives as well as HKDF would.
 */

export interface EpochCommitments {
  /** Determines N_e, and so the R_e and the S_e that give it, 32 bytes. */
  readonly readCommit: Uint8Array
}

/** R_e, which opens the content of the epoch. @param secret S_e, 32 bytes @returns 32 bytes @throws TypeError */
export function readSecretOf(secret: Uint8Array): Uint8Array {
  assertBytes(secret, 'secret', 32)
  return labelledHash('sealog/v1/read', secret)
}

/** H_e, which opens the link to an earlier epoch. @param secret S_e, 32 bytes @returns 32 bytes @throws TypeError */
export function historySecretOf(secret: Uint8Array): Uint8Array {
  assertBytes(secret, 'secret', 32)
  return labelledHash('sealog/v1/history', secret)
}

/**
 * The commitment binds: another secret with the same one would be a collision of SHA-256, so a ciphertext of the epoch
 * has one key although XChaCha20-Poly1305 by itself does not commit to it.
 * @param secret S_e, 32 bytes
 * @throws TypeError
 */
export function commitmentsOf(secret: Uint8Array): EpochCommitments {
  return { readCommit: readCommitOf(namesSecretOf(readSecretOf(secret))) }
}

/**
 * N_e: opens the names of the space, of members, devices and documents. All members follow it back to the first epoch,
 * also those who may not read older content.
 * @param readSecret R_e, 32 bytes
 * @returns 32 bytes
 * @throws TypeError
 */
export function namesSecretOf(readSecret: Uint8Array): Uint8Array {
  assertBytes(readSecret, 'readSecret', 32)
  return hkdf(readSecret, 'sealog/v1/names', [], 32)
}

/**
 * The commitment to N_e, and so to the one R_e that gives it: another one would be a collision of SHA-256.
 * @param namesSecret N_e, 32 bytes
 * @returns 32 bytes
 * @throws TypeError
 */
export function readCommitOf(namesSecret: Uint8Array): Uint8Array {
  assertBytes(namesSecret, 'namesSecret', 32)
  return labelledHash('sealog/v1/read-commit', namesSecret)
}
