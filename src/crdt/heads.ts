import { equalBytes } from '../bytes.ts'
import type { SignatureVerifier } from '../crypto/sign.ts'
import { SealogError } from '../errors.ts'
import { originOf, parseNote, relaySignature } from '../verify/checkpoint.ts'
import { rootOf } from '../verify/compact-range.ts'
import { convictByProof } from '../verify/convict.ts'
import type { Anchor, LogView } from '../verify/log.ts'
import { prefixesOf } from '../verify/prefixes.ts'
import { decodeSkipHead } from '../verify/records.ts'
import type { SpaceChannel } from './space-channel.ts'

/** What comes of a head that somebody else was shown; nothing where it is how this log began, or this very log. */
export interface Compared {
  readonly anchor?: Anchor
  readonly evidence?: Uint8Array
}

/**
 * Holds a head that somebody else was shown against the own view: it must be how this log began, this very log, or
 * what it will grow into.
 * @param own the relay's note of exactly this view, where there is one
 * @returns an anchor for a head that is ahead: entries must lead there; or evidence, where what the relay says now
 * shows that the log of the view does not go on from the one of that head
 * @throws SealogError ERR_CHECKPOINT, ERR_CHECKPOINT_SIGNATURE where the relay did not sign it for this space;
 * ERR_PROOF where the relay does not prove that it belongs to this log; ERR_OFFLINE where it could not be asked
 */
export async function compareHead(
  bytes: Uint8Array,
  view: LogView,
  own: Uint8Array | undefined,
  channel: SpaceChannel,
  verifier: SignatureVerifier,
): Promise<Compared> {
  const note = parseNote(bytes)
  const { checkpoint } = note
  const signature = relaySignature(note, { name: originOf(view.relay.name, view.space), publicKey: view.relay.key })
  if (!(await verifier.verify({ publicKey: view.relay.key, message: note.text, signature }))) {
    throw new SealogError('ERR_CHECKPOINT_SIGNATURE', 'the relay did not sign this head')
  }
  const { size, root } = checkpoint
  const ownRoot = rootOf(view.range)
  if (size > view.range.size) return { anchor: { size, root, note: bytes } }
  // What differs at the same size is for the witness to show.
  if (size === view.range.size || size === 0) return {}
  if (!channel.isLive) throw new SealogError('ERR_OFFLINE', 'not connected')
  const at = view.range.size
  const answer = await channel.records({ type: 'skip', at, from: at, attestations: 0, prove: [size] })
  const { proofs } = decodeSkipHead(answer.head)
  try {
    if (equalBytes(ownRoot, root)) throw new SealogError('ERR_PROOF', 'one root for two sizes')
    prefixesOf(at, ownRoot, proofs).assertPrefix(size, root)
    return {}
  } catch (error) {
    const proof = proofs.find(item => item.size === size)?.proof
    const evidence = own && proof && convictByProof(view, bytes, own, proof)
    if (evidence === undefined) throw error
    return { evidence }
  }
}

/**
 * Whether the log of a note goes on from the one that was verified here, asked of the relay itself, where entries do not
 * lead there. They convict nobody, as anybody on the way may have changed them; but a proof that leads to what the relay
 * signed is bound to it, and shows what that log had before.
 * @param bytes the relay's note about a log that is larger than the own one
 * @param own the relay's note of the log that was verified here
 * @returns evidence; undefined where the relay shows no contradiction, or does not answer
 */
export async function suspectFork(
  bytes: Uint8Array,
  view: LogView,
  own: Uint8Array | undefined,
  channel: SpaceChannel,
): Promise<Uint8Array | undefined> {
  try {
    const at = parseNote(bytes).checkpoint.size
    const size = own === undefined ? 0 : parseNote(own).checkpoint.size
    if (own === undefined || size === 0 || size >= at) return undefined
    const answer = await channel.records({ type: 'skip', at, from: at, attestations: 0, prove: [size] })
    const proof = decodeSkipHead(answer.head).proofs.find(item => item.size === size)?.proof
    return proof && convictByProof(view, own, bytes, proof)
  } catch (error) {
    if (error instanceof SealogError) return undefined
    throw error
  }
}
