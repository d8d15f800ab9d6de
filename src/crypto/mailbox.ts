import { concat, toUtf8 } from '../bytes.ts'
import type { Random } from '../environment.ts'
import { idBytes, type SpaceId } from '../ids.ts'
import { assertBytes } from './checks.ts'
import { hkdf, uint64 } from './kdf.ts'
import { openBody, sealBody } from './keyring.ts'

const SEED_LENGTH = 32

/** What follows from a seed for its mailbox. 32 bytes each. */
export interface MailboxKeys {
  /** Ed25519 seed; the public key is the mailbox's address. */
  readonly signing: Uint8Array
  /** Seals what stands in it. */
  readonly sealing: Uint8Array
}

/**
 * The mailbox of a recovery phrase, or of a one-time seed that links a device (DESIGN §7). Whoever has the seed, and
 * nobody else, finds, reads and writes it.
 * @param seed 32 bytes
 * @throws TypeError
 */
export function mailboxKeysOf(seed: Uint8Array): MailboxKeys {
  assertBytes(seed, 'seed', SEED_LENGTH)
  return {
    signing: hkdf(seed, 'sealog/v1/mailbox-signing', [], 32),
    sealing: hkdf(seed, 'sealog/v1/mailbox-sealing', [], 32),
  }
}

/**
 * The keys, as seeds of 32 bytes, under which a seed is a device of this space. In every space they are others, so
 * that spaces cannot be linked by them.
 * @param seed 32 bytes
 * @throws TypeError
 */
export function spaceDeviceOf(
  seed: Uint8Array,
  space: SpaceId,
): { readonly signing: Uint8Array; readonly kem: Uint8Array } {
  assertBytes(seed, 'seed', SEED_LENGTH)
  const id = idBytes(space)
  assertBytes(id, 'space', 32)
  return {
    signing: hkdf(seed, 'sealog/v1/recovery-signing', [id], 32),
    kem: hkdf(seed, 'sealog/v1/recovery-kem', [id], 32),
  }
}

/** Which mailbox, and which version of what stands in it. */
export interface MailboxContext {
  /** Of `mailboxKeysOf`, 32 bytes. */
  readonly sealing: Uint8Array
  /** The mailbox's public key, 32 bytes. */
  readonly address: Uint8Array
  readonly counter: number
}

/**
 * Seals what is put into a mailbox as bodies are sealed: padded by Padmé, with a hedged nonce. It opens in no other
 * mailbox and under no other counter, so that a relay cannot pass off an old version as a later one.
 * @throws TypeError
 */
export function sealMailbox(
  options: MailboxContext & { readonly payload: Uint8Array; readonly random: Random },
): Uint8Array {
  const { sealing, counter, payload, random } = options
  return sealBody({ key: sealing, payload, aad: mailboxContext(options), random, seq: counter })
}

/** @param options.sealed any length may be tried @throws SealogError ERR_OPEN; TypeError */
export function openMailbox(options: MailboxContext & { readonly sealed: Uint8Array }): Uint8Array {
  return openBody({ key: options.sealing, body: options.sealed, aad: mailboxContext(options) })
}

function mailboxContext({ address, counter }: MailboxContext): Uint8Array {
  assertBytes(address, 'address', 32)
  return concat(toUtf8('sealog/v1/mailbox\0'), address, uint64(counter))
}
