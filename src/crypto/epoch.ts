import { concat, equalBytes } from '../bytes.ts'
import type { Random } from '../environment.ts'
import { SealogError } from '../errors.ts'
import { NONCE_LENGTH, open, seal, TAG_LENGTH } from './aead.ts'
import { assertBytes, assertUint } from './checks.ts'
import { hkdf, uint64 } from './kdf.ts'

/** S_e and everything that follows from it have 32 bytes. */
export const SECRET_LENGTH = 32
/** nonce ‖ sealed secret. */
const LINK_LENGTH: number = NONCE_LENGTH + SECRET_LENGTH + TAG_LENGTH

/** What the control entry that starts an epoch says in clear about its secrets (DESIGN §7). 32 bytes each. */
export interface EpochCommitments {
  /** Determines S_e, and so everything. */
  readonly commit: Uint8Array
  /** Determines R_e, for members that may know no more than that. */
  readonly readCommit: Uint8Array
}

/** All that follows from the secret of one epoch. 32 bytes each. */
export interface EpochKeys extends EpochCommitments {
  /** S_e, fresh and random for every attempt to start an epoch. */
  readonly secret: Uint8Array
  /** R_e: opens the content of this epoch. */
  readonly readSecret: Uint8Array
  /** H_e: opens the link to an earlier epoch. */
  readonly historySecret: Uint8Array
}

/** A fresh S_e. @throws TypeError when `random` does not return 32 bytes */
export function generateEpochSecret(random: Random): Uint8Array {
  const secret = random(SECRET_LENGTH)
  assertBytes(secret, 'random', SECRET_LENGTH)
  return secret
}

/**
 * DESIGN §7. The commitments bind: another secret with the same ones would be a collision of SHA-256, so a
 * ciphertext of the epoch has one key although XChaCha20-Poly1305 by itself does not commit to it.
 * @param secret S_e, 32 bytes
 * @throws TypeError
 */
export function deriveEpoch(secret: Uint8Array): EpochKeys {
  assertBytes(secret, 'secret', SECRET_LENGTH)
  const readSecret = hkdf(secret, 'sealog/v1/read', [], SECRET_LENGTH)
  return {
    secret: secret.slice(),
    readSecret,
    historySecret: hkdf(secret, 'sealog/v1/history', [], SECRET_LENGTH),
    commit: hkdf(secret, 'sealog/v1/commit', [], SECRET_LENGTH),
    readCommit: readCommitOf(readSecret),
  }
}

/** @param readSecret R_e, 32 bytes @returns 32 bytes @throws TypeError */
function readCommitOf(readSecret: Uint8Array): Uint8Array {
  assertBytes(readSecret, 'readSecret', SECRET_LENGTH)
  return hkdf(readSecret, 'sealog/v1/read-commit', [], SECRET_LENGTH)
}

/**
 * What follows from S_e, once it is the secret that the epoch commits to.
 * @param secret S_e, 32 bytes
 * @throws SealogError ERR_KEY; TypeError
 */
export function assertCommits(secret: Uint8Array, commitments: EpochCommitments): EpochKeys {
  const keys = deriveEpoch(secret)
  if (!equalBytes(keys.commit, commitments.commit) || !equalBytes(keys.readCommit, commitments.readCommit)) {
    throw new SealogError('ERR_KEY', 'not the secret that the epoch commits to')
  }
  return keys
}

/** The same for a member that holds only R_e. @throws SealogError ERR_KEY; TypeError */
export function assertReadCommits(readSecret: Uint8Array, readCommit: Uint8Array): void {
  if (!equalBytes(readCommitOf(readSecret), readCommit)) {
    throw new SealogError('ERR_KEY', 'not the read secret that the epoch commits to')
  }
}

/** Which epoch a link hangs on and which earlier one it leads to. */
export interface LinkContext {
  /** 32 bytes. */
  readonly space: Uint8Array
  /** The epoch whose history secret seals the link. */
  readonly epoch: number
  /** The epoch, below `epoch`, whose secret is in the link. */
  readonly target: number
}

/**
 * Seals the secret of an earlier epoch, so that who knows S_e of this one can walk back (DESIGN §7).
 * Deterministic: the nonce follows from the secret, so different secrets, as a repair brings them, never meet under
 * one nonce, and whoever knows both secrets can recompute the bytes.
 * @returns 72 bytes
 * @throws TypeError
 */
export function sealLink(
  options: LinkContext & { readonly historySecret: Uint8Array; readonly secret: Uint8Array },
): Uint8Array {
  const { historySecret, secret } = options
  const aad = linkContext(options)
  assertBytes(historySecret, 'historySecret', SECRET_LENGTH)
  assertBytes(secret, 'secret', SECRET_LENGTH)
  const nonce = hkdf(historySecret, 'sealog/v1/link-nonce', [aad, secret], NONCE_LENGTH)
  return concat(nonce, seal(linkKey(historySecret), nonce, secret, aad))
}

/**
 * @param options.link 72 bytes; another length does not open
 * @returns S of the target epoch, 32 bytes: still to be held against that epoch's commitments
 * @throws SealogError ERR_OPEN; TypeError
 */
export function openLink(
  options: LinkContext & { readonly historySecret: Uint8Array; readonly link: Uint8Array },
): Uint8Array {
  const { historySecret, link } = options
  const aad = linkContext(options)
  assertBytes(historySecret, 'historySecret', SECRET_LENGTH)
  assertBytes(link, 'link')
  if (link.length !== LINK_LENGTH) throw new SealogError('ERR_OPEN', 'link of the wrong length')
  return open(linkKey(historySecret), link.subarray(0, NONCE_LENGTH), link.subarray(NONCE_LENGTH), aad)
}

function linkKey(historySecret: Uint8Array): Uint8Array {
  return hkdf(historySecret, 'sealog/v1/link', [], SECRET_LENGTH)
}

function linkContext({ space, epoch, target }: LinkContext): Uint8Array {
  assertBytes(space, 'space', 32)
  assertUint(epoch, 'epoch')
  assertUint(target, 'target')
  if (target >= epoch) throw new TypeError('target: expected an epoch before `epoch`')
  return concat(space, uint64(epoch), uint64(target))
}
