import {
  type ControlState,
  type Cosigner,
  cosignaturesIn,
  equalBytes,
  type Note,
  noteKeyHash,
  originOf,
  parseNote,
  relaySignature,
  rootOf,
  SealogError,
  type SignatureVerifier,
  type SpaceId,
  stateRoot,
} from 'sealog/protocol'
import { type Checked, type Report, reasonOf } from './fsck-finding.ts'
import type { RelayName } from './fsck-fold.ts'
import type { SpaceView } from './judge.ts'
import type { KeptHead, LogStore } from './log-store.ts'
import { isTombstone } from './log-store-fence.ts'
import { readHeadOrDamage } from './log-store-head-checksum.ts'

/** A note that this relay signed; whether its log is the stored one is known when the log was folded so far. */
export interface SignedNote {
  readonly kind: Extract<Checked, 'head' | 'cosigned'>
  readonly note: Note
}

/** What is signed of a space, as far as it can be judged before its log is. */
export interface SpaceNotes {
  readonly head: KeptHead | undefined
  readonly notes: readonly SignedNote[]
}

/** Whose notes, and about what. */
export interface NoteOrigin {
  readonly relay: RelayName
  readonly verifier: SignatureVerifier
  readonly space: SpaceId
}

interface NotesCheck extends NoteOrigin {
  readonly store: LogStore
  readonly report: Report
}

/** The head and the cosigned notes: by this relay, about this space, and as their rows say. */
export async function readNotes(check: NotesCheck): Promise<SpaceNotes> {
  const { store, space, report } = check
  const { head, damage } = await readHeadOrDamage(store, space)
  if (damage !== undefined) report({ checked: 'damaged-head', space, reason: damage.message })
  const notes: SignedNote[] = []
  const take = async (kind: SignedNote['kind'], bytes: Uint8Array): Promise<void> => {
    try {
      notes.push({ kind, note: await readSignedNote(check, bytes) })
    } catch (error) {
      report({ checked: kind, space, reason: reasonOf(error) })
    }
  }
  if (head !== undefined) checkHeadRow(check, head)
  if (head !== undefined && head.note.length > 0) await take('head', head.note)
  const [signed] = notes
  if (head !== undefined && signed !== undefined) checkHeadOf(check, head, signed.note)
  let above = Number.POSITIVE_INFINITY
  for (const bytes of await store.readCosigned(space)) {
    const before = notes.length
    await take('cosigned', bytes)
    const size = notes[before]?.note.checkpoint.size ?? 0
    if (size >= above) report({ checked: 'cosigned', space, reason: `the note of ${size} stands out of its order` })
    above = size
  }
  return { head, notes }
}

/** Are both roots of a note those of the log that leads to its size? @returns what is wrong, or undefined */
export function noteFault({ note }: SignedNote, view: SpaceView): string | undefined {
  const { size, root, stateRoot: signedState } = note.checkpoint
  if (!equalBytes(root, rootOf(view.range))) return `signed for ${size}: another log`
  const isSame = view.state !== undefined && equalBytes(stateRoot(view.state), signedState)
  return isSame ? undefined : `signed for ${size}: another state`
}

/** Is every line of a note besides the relay's own a cosignature of one device, which verifies? */
export async function isWhollyCosigned(
  { relay, verifier, space }: NoteOrigin,
  { note }: SignedNote,
  control: ControlState,
): Promise<boolean> {
  const devices: Cosigner[] = [...control.devices.values()].map(({ number, signing }) => ({
    number,
    publicKey: signing,
  }))
  const claimed = cosignaturesIn(note, space, devices)
  const verdicts = await verifier.verifyAll(claimed.map(({ check }) => check))
  const own = noteKeyHash(originOf(relay.name, space), relay.key)
  const others = note.signatures.filter(line => !equalBytes(line.keyHash, own))
  return others.length === claimed.length && verdicts.every(holds => holds)
}

/** A note that the relay has signed about the space. @throws SealogError ERR_CHECKPOINT, ERR_CHECKPOINT_SIGNATURE */
export async function readSignedNote({ relay, verifier, space }: NoteOrigin, bytes: Uint8Array): Promise<Note> {
  const note = parseNote(bytes)
  const signature = relaySignature(note, { name: originOf(relay.name, space), publicKey: relay.key })
  const holds = await verifier.verify({ publicKey: relay.key, message: note.text, signature })
  if (!holds) throw new SealogError('ERR_CHECKPOINT_SIGNATURE', 'a note that this relay has not signed')
  return note
}

/** What the row of a head says by itself. */
function checkHeadRow({ space, report }: NotesCheck, head: KeptHead): void {
  const fault = (reason: string): void => report({ checked: 'head', space, reason })
  const hasNote = head.note.length > 0
  if (hasNote && head.size === 0) fault('a note about nothing')
  if (!hasNote && !isTombstone(head) && head.time !== 0) fault('a time without a note')
  if (head.latest < head.time) fault('signed later than the latest of all')
  const { abandoned, latest } = head
  // A head without size is what an accepted rollback leaves: all that was signed by then is given up.
  const isPlausible = head.size === 0 ? abandoned === latest : abandoned === 0 || isTimeUpTo(abandoned, latest)
  if (!isPlausible) fault(`what was signed up to ${abandoned} is given up, where the latest is of ${latest}`)
  // Only when a replica shows a later note than this relay knew of, and until it signs the next one.
  if (hasNote && head.latest > head.time) {
    report({ checked: 'latest', space, reason: `the latest time is ${head.latest}, and no note of that time is kept` })
  }
}

function checkHeadOf({ space, report }: NotesCheck, head: KeptHead, { checkpoint }: Note): void {
  if (checkpoint.size === head.size && checkpoint.time === head.time) return
  report({ checked: 'head', space, reason: 'the note is not the one that its row describes' })
}

/** No relay is older than this. A single flipped bit of a time that is 0 leads to one before it, or far into the future. */
const EARLIEST = 1_577_836_800_000

function isTimeUpTo(time: number, latest: number): boolean {
  return time >= EARLIEST && time <= latest
}
