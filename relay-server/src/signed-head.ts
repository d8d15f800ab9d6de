import {
  type Checkpoint,
  encodeNote,
  encodeNoteText,
  equalBytes,
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

const NO_NOTE = new Uint8Array(0)

/** A checkpoint that this relay signed, and stored before anybody saw it. */
export interface SignedHead {
  readonly checkpoint: Checkpoint
  readonly note: Uint8Array
}

/**
 * Signs the durable entries of a space and stores the note; only then may it be shown to anyone. So after a crash the
 * relay knows everything that it ever signed, and of several processes that sign at once each learns before it shows
 * anything whether another was ahead of it. As each note follows one that its signer has found to be about the same
 * log, all notes of a space are about one log, also where a store gives back less than it took.
 * @param latest the time of the latest note so far: time never goes back
 * @param after the note that is kept, as far as this process knows; undefined: none
 * @throws SealogError ERR_STORE_LOCKED where another process signed in the meantime; and whatever else the store throws
 */
export async function signHead(
  context: RelayContext,
  view: SpaceView,
  { latest, after = NO_NOTE }: { readonly latest: number; readonly after: Uint8Array | undefined },
): Promise<SignedHead> {
  if (view.state === undefined) throw new TypeError('view: expected a space with a genesis')
  const origin = originOf(context.name, view.space)
  const checkpoint: Checkpoint = {
    origin,
    size: view.range.size,
    root: rootOf(view.range),
    stateRoot: stateRoot(view.state),
    time: Math.max(context.environment.now(), latest),
  }
  const signature = await context.signingKey.sign(encodeNoteText(checkpoint))
  const keyHash = noteKeyHash(origin, context.signingKey.publicKey)
  const note = encodeNote(checkpoint, [{ name: origin, keyHash, signature }])
  await context.store.putHead(view.space, { size: checkpoint.size, time: checkpoint.time, note }, after)
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

/** @throws SealogError ERR_STORE_CORRUPT where the head is of this size, and of another log or state */
export function assertHeadOf({ range, state }: SpaceView, { checkpoint }: SignedHead): void {
  const isSame =
    state !== undefined &&
    checkpoint.size === range.size &&
    equalBytes(checkpoint.root, rootOf(range)) &&
    equalBytes(checkpoint.stateRoot, stateRoot(state))
  if (!isSame) throw new SealogError('ERR_STORE_CORRUPT', 'the log is another than the signed one')
}

/** @param root of the log at the size of the head @throws SealogError ERR_STORE_CORRUPT where that is another */
export function assertRootOf({ checkpoint }: SignedHead, root: Uint8Array): void {
  if (!equalBytes(checkpoint.root, root)) {
    throw new SealogError('ERR_STORE_CORRUPT', `the log is another than the one that was signed for ${checkpoint.size}`)
  }
}
