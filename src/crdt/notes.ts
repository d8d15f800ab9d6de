import { encodeNote, originOf, parseNote, relaySignature } from '../verify/checkpoint.ts'
import type { Batch, LogView } from '../verify/log.ts'
import { noteKeyHash } from '../verify/note-key.ts'

/** The note with the relay's own line only: nobody answers for what else was attached, and invites carry it along. */
export function bareNote(bytes: Uint8Array, { relay, space }: LogView): Uint8Array {
  const note = parseNote(bytes)
  const key = { name: originOf(relay.name, space), publicKey: relay.key }
  const signature = relaySignature(note, key)
  return encodeNote(note.checkpoint, [{ name: key.name, keyHash: noteKeyHash(key.name, key.publicKey), signature }])
}

/** What the relay says of the size of its log, without proof; 0 where it says nothing that can be read. */
export function claimedSize({ note }: Batch): number {
  try {
    return parseNote(note).checkpoint.size
  } catch {
    return 0
  }
}
