import { concat, toUtf8 } from '../bytes.ts'
import { sha256 } from '../crypto/hash.ts'
import type { PinnedRelay } from '../verify/log.ts'

/*
 * What the holder of a mailbox signs. Both signatures are for one relay, by name and key, so that no other can pass
 * them on. One of them lasts: a relay shows it to whoever reads the mailbox, who thereby knows, from the seed alone,
 * that this is the relay at which the mailbox was written. The other is for one socket.
 */

/**
 * @param relay name and 32-byte key that the writer pinned
 * @param address the mailbox's public key, 32 bytes
 * @param counter 0 … 2⁵³−1
 * @param bytes what is put into it
 */
export function putMailboxInput(
  relay: PinnedRelay,
  address: Uint8Array,
  counter: number,
  bytes: Uint8Array,
): Uint8Array {
  const count = new Uint8Array(8)
  new DataView(count.buffer).setBigUint64(0, BigInt(counter))
  return concat(toUtf8('sealog/v1/mailbox-put\0'), sha256(toUtf8(relay.name)), relay.key, address, count, sha256(bytes))
}

/**
 * @param relay name and 32-byte key that the reader pinned
 * @param challenge 32 bytes from `welcome`
 * @param address the mailbox's public key, 32 bytes
 */
export function getMailboxInput(relay: PinnedRelay, challenge: Uint8Array, address: Uint8Array): Uint8Array {
  return concat(toUtf8('sealog/v1/mailbox-get\0'), sha256(toUtf8(relay.name)), relay.key, challenge, address)
}
