import { equalBytes, parseNote, SealogError, type SignatureVerifier, type SpaceId } from 'sealog/protocol'
import type { BackedUpSpace } from './backup-content.ts'
import { BackupJudge } from './backup-judge.ts'
import { visitBackup } from './backup-visit.ts'
import { verifyMailboxes } from './fsck.ts'
import { reasonOf } from './fsck-finding.ts'
import type { RelayName } from './fsck-fold.ts'
import { type NoteOrigin, readSignedNote } from './fsck-notes.ts'
import type { Append, KeptHead, LogStore } from './log-store.ts'
import { isTombstone } from './log-store-fence.ts'

export interface Restoring {
  readonly path: string
  readonly store: LogStore
  /** Public key of the key file, 32 bytes; undefined where there is none yet. */
  readonly key: Uint8Array | undefined
  readonly verifier: SignatureVerifier
  /** Go on where nothing says what was signed after the backup was taken: its own notes are then the heads. */
  readonly withoutHeads: boolean
  /** Only judge. */
  readonly dryRun: boolean
  /** What became of a space, or of the mailboxes. */
  readonly tell: (what: RestoredPart) => void
}

export interface RestoredPart {
  /** Undefined: mailboxes. */
  readonly space: SpaceId | undefined
  /** Entries, or mailboxes, that the store took, or would take. */
  readonly taken: number
  /** Why nothing was taken. */
  readonly refused: string | undefined
}

/** What the first reading of a backup decides about one space. */
interface Plan {
  /** Entries that the store has already. */
  readonly from: number
  /** What this relay has signed, by the store's own heads. */
  readonly signed: Uint8Array | undefined
  /** The head to keep, where the store has none that is as large. */
  readonly head: KeptNote | undefined
}

/** A note of a backup that was verified. */
type KeptNote = { readonly size: number; readonly time: number; readonly note: Uint8Array }

/**
 * Puts the logs of a backup into a store that is empty, or that has the beginnings of the same logs. The file is read
 * twice: at first everything in it is judged, and nothing is written; then each space that stood the test is appended,
 * group by group, as the reducer makes it of the entries. A restoration that is cut off leaves beginnings of logs, and
 * may be repeated; as their heads are there already, a relay that is started on them knows that they are no more than
 * that. Heads that the store has stay as they are: where they are ahead, the relay knows what it has lost. Where every
 * space is refused nothing is written, so that an empty store does not become one that a relay would serve from.
 *
 * @returns how many spaces were refused
 * @throws SealogError ERR_RELAY_IDENTITY for another relay's backup or store; what the file or the store throws
 */
export async function restoreBackup(restoring: Restoring): Promise<number> {
  const plans = new Map<SpaceId, Plan>()
  const refused = await judgeBackup(restoring, plans)
  if (refused > 0 && plans.size === 0) return refused
  await appendBackup(restoring, plans)
  return refused
}

/** @returns how many spaces were refused */
async function judgeBackup(restoring: Restoring, plans: Map<SpaceId, Plan>): Promise<number> {
  const { path, store, key, verifier, withoutHeads, tell } = restoring
  let refused = 0
  await visitBackup(path, {
    begin: relay => assertIdentity(store, key, relay),
    async space(backup, relay) {
      const plan = await planFor(store, { relay, verifier, space: backup.space }, backup, withoutHeads)
      plans.set(backup.space, plan)
      const { from, signed } = plan
      const onAppend = (append: Append): Promise<void> => assertSamePrefix(store, append, from)
      return BackupJudge.begin(backup, { relay, verifier, signed, stop: from, onAppend })
    },
    async ended() {},
    refused({ space }, error) {
      plans.delete(space)
      refused++
      tell({ space, taken: 0, refused: reasonOf(error) })
    },
    async mailboxes(page, relay) {
      const verdicts = await verifyMailboxes(page, relay, verifier)
      const isWhole = verdicts.every(holds => holds)
      if (!isWhole) throw new SealogError('ERR_SIGNATURE', 'a mailbox of the backup was not written by its owner')
    },
  })
  return refused
}

async function appendBackup(restoring: Restoring, plans: ReadonlyMap<SpaceId, Plan>): Promise<void> {
  const { path, store, verifier, dryRun, tell } = restoring
  await visitBackup(path, {
    async begin(relay) {
      if (dryRun) return
      // All heads before the first entry, and before the store is anybody's. A log without a head is taken for one that
      // nobody was told of yet: the relay would sign the half of it that there is, and others in the place of the rest.
      for (const [space, { head }] of plans) if (head !== undefined) await store.raiseHead(space, head)
      if ((await store.readIdentity()) === undefined) await store.writeIdentity(relay)
    },
    async space(backup, relay) {
      const plan = plans.get(backup.space)
      if (plan === undefined) return undefined
      const { from, signed } = plan
      const taken = Math.max(0, backup.size - from)
      if (dryRun || taken === 0) {
        tell({ space: backup.space, taken, refused: undefined })
        return undefined
      }
      const onAppend = async (append: Append): Promise<void> => {
        if (append.from >= from) await store.append(append)
      }
      return BackupJudge.begin(backup, { relay, verifier, signed, stop: from, onAppend })
    },
    async ended({ space, size, cosigned }) {
      const { from = 0 } = plans.get(space) ?? {}
      for (const note of cosigned) await store.putCosigned(space, parseNote(note).checkpoint.size, note)
      tell({ space, taken: size - from, refused: undefined })
    },
    refused(_backup, error) {
      // It was judged before: now it is the store that failed.
      throw error
    },
    async mailboxes(page) {
      let taken = 0
      for (const { address, counter, bytes, signature } of page) {
        if (dryRun || (await store.putMailbox(address, { counter, bytes, signature }))) taken++
      }
      tell({ space: undefined, taken, refused: undefined })
    },
  })
}

// -- What is decided about a space ----------------------------------------------------------------------------------

async function assertIdentity(store: LogStore, key: Uint8Array | undefined, relay: RelayName): Promise<void> {
  const stored = await store.readIdentity()
  if (key !== undefined && !equalBytes(relay.key, key)) throw foreign('the backup is of a relay with another key')
  if (stored === undefined) return
  if (stored.name !== relay.name || !equalBytes(stored.key, relay.key)) throw foreign('the store is of another relay')
}

async function planFor(
  store: LogStore,
  origin: NoteOrigin,
  { space, size, head: bytes }: BackedUpSpace,
  withoutHeads: boolean,
): Promise<Plan> {
  const kept = await store.readHead(space)
  if (isTombstone(kept)) throw refusal('the operator has removed this space')
  const stored = await store.readSize(space)
  if (stored.floor > stored.size) {
    throw refusal(`the store waits for its ${stored.floor} entries from the members: restore into an empty store`)
  }
  const note = bytes && (await readSignedNote(origin, bytes))
  const signed = kept === undefined || kept.note.length === 0 ? undefined : kept.note
  const from = Math.min(stored.size, size)
  if (note === undefined || bytes === undefined || isAhead(kept, note.checkpoint.size)) {
    return { from, signed, head: undefined }
  }
  if (!withoutHeads) {
    throw refusal(
      `the store does not know that ${note.checkpoint.size} entries were signed. Put its heads back first; where they ` +
        'are lost, or nothing was signed since the backup was taken, add --without-heads',
    )
  }
  const { size: signedSize, time } = note.checkpoint
  return { from, signed, head: { size: signedSize, time, note: bytes } }
}

function isAhead(kept: KeptHead | undefined, size: number): boolean {
  return kept !== undefined && kept.size >= size
}

/** What is stored must be how the log of the backup begins. */
async function assertSamePrefix(store: LogStore, { space, from, entries }: Append, stored: number): Promise<void> {
  const shared = entries.slice(0, Math.max(0, stored - from))
  if (shared.length === 0) return
  const hashes = await store.readNodes(
    space,
    shared.map((_, i) => [0, from + i] as const),
  )
  const other = shared.findIndex(({ hash }, i) => !equalBytes(hash, hashes[i] as Uint8Array))
  if (other >= 0) throw refusal(`entry ${from + other} of the store is another`)
}

function foreign(message: string): SealogError {
  return new SealogError('ERR_RELAY_IDENTITY', message)
}

function refusal(message: string): SealogError {
  return new SealogError('ERR_STORE', message, { retryable: false })
}
