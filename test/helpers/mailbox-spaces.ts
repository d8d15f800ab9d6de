import { fromHex } from '../../src/bytes.ts'
import type { MailboxSpace } from '../../src/crdt/mailbox-list.ts'
import { sha256 } from '../../src/crypto/hash.ts'
import { publicKeyOf, signSync } from '../../src/crypto/sign.ts'
import { memberIdOf, type SpaceId } from '../../src/ids.ts'
import { encodeNote, encodeNoteText, originOf, parseNote } from '../../src/verify/checkpoint.ts'
import { noteKeyHash } from '../../src/verify/note-key.ts'

const RELAY_SEED = new Uint8Array(32).fill(200)
const relayKey = publicKeyOf(RELAY_SEED)

/**
 * A space as it stands in a mailbox: at some relay, with a note that this relay signed.
 * @param sign in its place, where no signature is looked at and there are many
 */
export function listedSpace(number: number, relayName = 'relay.test', sign: typeof signSync = signSync): MailboxSpace {
  const space = number.toString(16).padStart(64, '0') as SpaceId
  const relay = { name: relayName, key: relayKey, url: `wss://${relayName}` }
  const member = memberIdOf(sha256(fromHex(space)).slice(0, 16))
  const listed = { relay, space, member, note: new Uint8Array(0) }
  return { ...listed, note: noteAt(listed, 10, RELAY_SEED, sign) }
}

/** @param seed of the key that signs, if it is not the relay's */
export function noteAt(
  { relay, space }: MailboxSpace,
  size: number,
  seed: Uint8Array = RELAY_SEED,
  sign: typeof signSync = signSync,
): Uint8Array {
  const origin = originOf(relay.name, space)
  const root = sha256(fromHex(space), Uint8Array.of(size))
  const checkpoint = { origin, size, root, stateRoot: sha256(root), time: 1_700_000_000_000 + size }
  const keyHash = noteKeyHash(origin, seed === RELAY_SEED ? relayKey : publicKeyOf(seed))
  return encodeNote(checkpoint, [{ name: origin, keyHash, signature: sign(seed, encodeNoteText(checkpoint)) }])
}

/** The same note with a signature line that says nothing. */
export function cosigned({ note }: MailboxSpace): Uint8Array {
  const { checkpoint, signatures } = parseNote(note)
  const line = { name: 'witness.test', keyHash: new Uint8Array(4), signature: new Uint8Array(72) }
  return encodeNote(checkpoint, [line, ...signatures])
}
