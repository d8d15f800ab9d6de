import { equalBytes } from '../bytes.ts'
import type { SignatureVerifier } from '../crypto/sign.ts'
import { SealogError } from '../errors.ts'
import { originOf, parseNote, relaySignature } from '../verify/checkpoint.ts'
import { rootOf } from '../verify/compact-range.ts'
import type { Anchor, LogView } from '../verify/log.ts'
import { prefixesOf } from '../verify/prefixes.ts'
import { decodeSkipHead } from '../verify/records.ts'
import type { SpaceChannel } from './space-channel.ts'

/**
 * Holds a head that somebody else was shown against the own view: it must be how this log began, this very log, or
 * what it will grow into.
 * @returns an anchor for a head that is ahead: entries must lead there
 * @throws SealogError ERR_CHECKPOINT, ERR_CHECKPOINT_SIGNATURE where the relay did not sign it for this space;
 * ERR_PROOF where the relay does not prove that it belongs to this log; ERR_OFFLINE where it could not be asked
 */
export async function compareHead(
  bytes: Uint8Array,
  view: LogView,
  channel: SpaceChannel,
  verifier: SignatureVerifier,
): Promise<Anchor | undefined> {
  const note = parseNote(bytes)
  const { checkpoint } = note
  const signature = relaySignature(note, { name: originOf(view.relay.name, view.space), publicKey: view.relay.key })
  if (!(await verifier.verify({ publicKey: view.relay.key, message: note.text, signature }))) {
    throw new SealogError('ERR_CHECKPOINT_SIGNATURE', 'the relay did not sign this head')
  }
  const { size, root } = checkpoint
  const own = rootOf(view.range)
  if (size > view.range.size) return { size, root, note: bytes }
  // What differs at the same size is for the witness to show.
  if (size === view.range.size || size === 0) return undefined
  const at = view.range.size
  const answer = await channel.records({ type: 'skip', at, from: at, attestations: 0, prove: [size] })
  const { proofs } = decodeSkipHead(answer.head)
  if (equalBytes(own, root)) throw new SealogError('ERR_PROOF', 'one root for two sizes')
  prefixesOf(at, own, proofs).assertPrefix(size, root)
  return undefined
}
