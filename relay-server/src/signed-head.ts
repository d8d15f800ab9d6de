import {
  type Checkpoint,
  encodeNote,
  encodeNoteText,
  noteKeyHash,
  originOf,
  rootOf,
  SealogError,
  type SpaceId,
  stateRoot,
} from 'sealog/protocol'
import type { RelayContext } from './context.ts'
import type { SpaceView } from './judge.ts'
import type { StoredHead } from './log-store.ts'
import { readOwnNote } from './own-note.ts'

/** A checkpoint that this relay signed, and stored before anybody saw it. */
export interface SignedHead {
  readonly checkpoint: Checkpoint
  readonly note: Uint8Array
}

/**
 * Signs the durable entries of a space and stores the note; only then may it be shown to anyone. So after a crash the
 * relay knows everything that it ever signed.
 * @param before the head so far: its time is the least that the new one may have
 * @throws SealogError whatever the store throws
 */
export async function signHead(
  context: RelayContext,
  view: SpaceView,
  before: Pick<SignedHead, 'checkpoint'> | undefined,
): Promise<SignedHead> {
  if (view.state === undefined) throw new TypeError('view: expected a space with a genesis')
  const origin = originOf(context.name, view.space)
  const checkpoint: Checkpoint = {
    origin,
    size: view.range.size,
    root: rootOf(view.range),
    stateRoot: stateRoot(view.state),
    time: Math.max(context.environment.now(), before?.checkpoint.time ?? 0),
  }
  const signature = await context.signingKey.sign(encodeNoteText(checkpoint))
  const keyHash = noteKeyHash(origin, context.signingKey.publicKey)
  const note = encodeNote(checkpoint, [{ name: origin, keyHash, signature }])
  await context.store.putHead(view.space, { size: checkpoint.size, time: checkpoint.time, note })
  return { checkpoint, note }
}

/** A head as the store has it. @throws SealogError if this relay has not signed it, or it is about another log */
export async function readHead(context: RelayContext, space: SpaceId, stored: StoredHead): Promise<SignedHead> {
  const { checkpoint } = await readOwnNote(context, space, stored.note)
  if (checkpoint.size !== stored.size || checkpoint.time !== stored.time) {
    throw new SealogError('ERR_STORE_CORRUPT', 'the stored note is not the one that its row describes')
  }
  return { checkpoint, note: stored.note }
}

/**
 * The head of a log whose lost end was given back: the note that this relay signed for it then; or a new one, where it
 * has signed something later since, as time must not go back.
 * @param signed what else this relay is known to have signed of this space
 * @param head of the view's size, root and state root, by this relay
 */
export async function continueHead(
  context: RelayContext,
  view: SpaceView,
  signed: readonly Checkpoint[],
  head: SignedHead,
): Promise<SignedHead> {
  const { size, time } = head.checkpoint
  const latest = signed.find(other => other.time > time && signed.every(({ time: each }) => each <= other.time))
  if (latest !== undefined) return signHead(context, view, { checkpoint: latest })
  await context.store.putHead(view.space, { size, time, note: head.note })
  return head
}
