import { concat, equalBytes } from '../bytes.ts'
import type { Random } from '../environment.ts'
import { SealogError } from '../errors.ts'
import { NONCE_LENGTH, open, seal, TAG_LENGTH } from './aead.ts'
import { assertBytes, assertUint } from './checks.ts'
import {
  commitmentsOf,
  type EpochCommitments,
  historySecretOf,
  namesSecretOf,
  readCommitOf,
  readSecretOf,
} from './commitments.ts'
import { hkdf, type Label, uint64 } from './kdf.ts'

/** S_e and everything that follows from it have 32 bytes. */
export const SECRET_LENGTH = 32
/** nonce ‖ sealed secret. */
const LINK_LENGTH: number = NONCE_LENGTH + SECRET_LENGTH + TAG_LENGTH

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

/** DESIGN §7. @param secret S_e, 32 bytes @throws TypeError */
export function deriveEpoch(secret: Uint8Array): EpochKeys {
  return {
    ...commitmentsOf(secret),
    secret: secret.slice(),
    readSecret: readSecretOf(secret),
    historySecret: historySecretOf(secret),
  }
}

/**
 * What follows from S_e, once it is the secret that the epoch commits to.
 * @param secret S_e, 32 bytes
 * @throws SealogError ERR_KEY; TypeError
 */
export function assertCommits(secret: Uint8Array, commitments: EpochCommitments): EpochKeys {
  const keys = deriveEpoch(secret)
  if (!equalBytes(keys.readCommit, commitments.readCommit)) {
    throw new SealogError('ERR_KEY', 'not the secret that the epoch commits to')
  }
  return keys
}

/** The same for a member that holds only R_e. @throws SealogError ERR_KEY; TypeError */
export function assertReadCommits(readSecret: Uint8Array, readCommit: Uint8Array): void {
  assertBytes(readSecret, 'readSecret', SECRET_LENGTH)
  assertNamesCommits(namesSecretOf(readSecret), readCommit)
}

/** The same for one who followed a link to N_e. @throws SealogError ERR_KEY; TypeError */
export function assertNamesCommits(namesSecret: Uint8Array, readCommit: Uint8Array): void {
  if (!equalBytes(readCommitOf(namesSecret), readCommit)) {
    throw new SealogError('ERR_KEY', 'not the secret that the epoch commits to')
  }
}

/** What a link leads to: the secret of an earlier epoch (sealed under H_e), or its names secret (under N_e). */
export type LinkKind = 'history' | 'names'

/** Which epoch a link hangs on and which earlier one it leads to. */
export interface LinkContext {
  /** 32 bytes. */
  readonly space: Uint8Array
  /** The epoch whose secret seals the link. */
  readonly epoch: number
  /** The epoch, below `epoch`, whose secret is in the link. */
  readonly target: number
}

/**
 * Seals a secret of an earlier epoch, so that who knows one of this epoch can walk back (DESIGN §7). Deterministic: the
 * nonce follows from the secret, so different secrets, as a repair brings them, never meet under one nonce, and whoever
 * knows both secrets can recompute the bytes.
 * @param options.key H_e or N_e, 32 bytes
 * @param options.secret S or N of the target, 32 bytes
 * @returns 72 bytes
 * @throws TypeError
 */
export function sealLink(
  kind: LinkKind,
  options: LinkContext & { readonly key: Uint8Array; readonly secret: Uint8Array },
): Uint8Array {
  const { key, secret } = options
  const aad = linkContext(options)
  assertBytes(key, 'key', SECRET_LENGTH)
  assertBytes(secret, 'secret', SECRET_LENGTH)
  const nonce = hkdf(key, LABELS[kind].nonce, [aad, secret], NONCE_LENGTH)
  return concat(nonce, seal(linkKey(kind, key), nonce, secret, aad))
}

/**
 * @param options.key H_e or N_e, 32 bytes
 * @param options.link 72 bytes; another length does not open
 * @returns the secret of the target epoch, 32 bytes: still to be held against that epoch's commitments
 * @throws SealogError ERR_OPEN; TypeError
 */
export function openLink(
  kind: LinkKind,
  options: LinkContext & { readonly key: Uint8Array; readonly link: Uint8Array },
): Uint8Array {
  const { key, link } = options
  const aad = linkContext(options)
  assertBytes(key, 'key', SECRET_LENGTH)
  assertBytes(link, 'link')
  if (link.length !== LINK_LENGTH) throw new SealogError('ERR_OPEN', 'link of the wrong length')
  return open(linkKey(kind, key), link.subarray(0, NONCE_LENGTH), link.subarray(NONCE_LENGTH), aad)
}

const LABELS: Readonly<Record<LinkKind, { readonly key: Label; readonly nonce: Label }>> = {
  history: { key: 'sealog/v1/link', nonce: 'sealog/v1/link-nonce' },
  names: { key: 'sealog/v1/names-link', nonce: 'sealog/v1/names-link-nonce' },
}

function linkKey(kind: LinkKind, key: Uint8Array): Uint8Array {
  return hkdf(key, LABELS[kind].key, [], SECRET_LENGTH)
}

function linkContext({ space, epoch, target }: LinkContext): Uint8Array {
  assertBytes(space, 'space', 32)
  assertUint(epoch, 'epoch')
  assertUint(target, 'target')
  if (target >= epoch) throw new TypeError('target: expected an epoch before `epoch`')
  return concat(space, uint64(epoch), uint64(target))
}
