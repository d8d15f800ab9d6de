import { assertBytes } from './checks.ts'
import { labelledHash } from './hash.ts'

/*
 * What the control entry that starts an epoch says in clear about its secrets. S_e gives two secrets: R_e opens the
 * content of the epoch, H_e the link to an earlier one. Each has a commitment of its own, so there is nothing about
 * which the two could contradict each other: whoever is given a secret holds it against the commitment to that very
 * secret, and needs no other. All are uniform and 32 bytes long, so a labelled hash derives as well as HKDF would.
 */

/** 32 bytes each. */
export interface EpochCommitments {
  /** Determines R_e, which all members are given. */
  readonly readCommit: Uint8Array
  /** Determines H_e, for members that may read everything. */
  readonly historyCommit: Uint8Array
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
 * The commitments bind: another secret with the same ones would be a collision of SHA-256, so a ciphertext of the epoch
 * has one key although XChaCha20-Poly1305 by itself does not commit to it.
 * @param secret S_e, 32 bytes
 * @throws TypeError
 */
export function commitmentsOf(secret: Uint8Array): EpochCommitments {
  return {
    readCommit: readCommitOf(readSecretOf(secret)),
    historyCommit: labelledHash('sealog/v1/history-commit', historySecretOf(secret)),
  }
}

/** @param readSecret R_e, 32 bytes @returns 32 bytes @throws TypeError */
export function readCommitOf(readSecret: Uint8Array): Uint8Array {
  assertBytes(readSecret, 'readSecret', 32)
  return labelledHash('sealog/v1/read-commit', readSecret)
}
