import {
  equalBytes,
  type Note,
  type NoteSignature,
  noteKeyHash,
  originOf,
  parseNote,
  relaySignature,
  SealogError,
  type SpaceId,
} from 'sealog/protocol'
import type { RelayContext } from './context.ts'

/**
 * A note that this relay itself has signed about this space. Its signature is the whole proof: nobody else can make one,
 * so whatever it says was once true here, whoever hands it in.
 * @throws SealogError ERR_CHECKPOINT, ERR_CHECKPOINT_SIGNATURE
 */
export async function readOwnNote(context: RelayContext, space: SpaceId, bytes: Uint8Array): Promise<Note> {
  const note = parseNote(bytes)
  const publicKey = context.signingKey.publicKey
  const signature = relaySignature(note, { name: originOf(context.name, space), publicKey })
  const holds = await context.verifier.verify({ publicKey, message: note.text, signature })
  if (!holds) throw new SealogError('ERR_CHECKPOINT_SIGNATURE', 'the note is not signed by this relay')
  return note
}

/** The same for what a replica sends. @throws SealogError ERR_SIGNATURE */
export async function readShownNote(context: RelayContext, space: SpaceId, bytes: Uint8Array): Promise<Note> {
  try {
    return await readOwnNote(context, space, bytes)
  } catch (cause) {
    throw new SealogError('ERR_SIGNATURE', 'expected a note that this relay has signed', { cause })
  }
}

/** This relay's own line of a note that it has signed: of all that stand in it, the one that anybody may rely on. */
export function ownLineOf({ signingKey }: RelayContext, { checkpoint, signatures }: Note): NoteSignature {
  const keyHash = noteKeyHash(checkpoint.origin, signingKey.publicKey)
  const line = signatures.find(({ name, keyHash: hash }) => name === checkpoint.origin && equalBytes(hash, keyHash))
  if (line === undefined) throw new TypeError('note: expected one that this relay has signed')
  return line
}
