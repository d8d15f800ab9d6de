import { createHash } from 'node:crypto'
import { asSealogError, equalBytes, SealogError, type SignatureVerifier } from 'sealog/protocol'
import type { BackedUpEntry, BackedUpSpace } from './backup-content.ts'
import { LeafTree } from './backup-tree.ts'
import { joinWraps } from './fsck-entry.ts'
import { foldedEntry, LogFold, type RelayName } from './fsck-fold.ts'
import { isWhollyCosigned, noteFault, readSignedNote, type SignedNote } from './fsck-notes.ts'
import type { Append } from './log-store.ts'
import type { PushedEntry } from './pushed-entry.ts'

const GROUP_ENTRIES = 512
const GROUP_BYTES = 8 * 1024 * 1024

export interface JudgedBackup {
  readonly relay: RelayName
  readonly verifier: SignatureVerifier
  /** What this relay is known to have signed of the space, besides what the backup says. */
  readonly signed: Uint8Array | undefined
  /** Where a group must end. */
  readonly stop: number
  /** What a store has to take, in order. */
  onAppend(append: Append): Promise<void>
}

/**
 * One space of a backup, judged as if its entries had just been pushed: nothing is taken from the backup that does not
 * follow from the entries, and these must be what the relay signed, as far as a note of it is at hand.
 */
export class BackupJudge {
  readonly #backup: BackedUpSpace
  readonly #judged: JudgedBackup
  readonly #notes: readonly SignedNote[]
  readonly #tree = new LeafTree()
  readonly #fold: LogFold
  #group: { readonly pushed: PushedEntry; readonly hasBody: boolean }[] = []
  #bytes = 0

  private constructor(backup: BackedUpSpace, judged: JudgedBackup, notes: readonly SignedNote[]) {
    this.#backup = backup
    this.#judged = judged
    this.#notes = notes
    const { relay, verifier } = judged
    this.#fold = new LogFold(backup.space, relay, verifier, async sizes => this.#tree.rootsAt(sizes))
  }

  /** @throws SealogError ERR_CHECKPOINT, ERR_CHECKPOINT_SIGNATURE for a note that is not the relay's */
  static async begin(backup: BackedUpSpace, judged: JudgedBackup): Promise<BackupJudge> {
    const origin = { ...judged, space: backup.space }
    const notes: SignedNote[] = []
    for (const bytes of backup.cosigned) notes.push({ kind: 'cosigned', note: await readSignedNote(origin, bytes) })
    for (const bytes of [backup.head, judged.signed]) {
      if (bytes !== undefined) notes.push({ kind: 'head', note: await readSignedNote(origin, bytes) })
    }
    return new BackupJudge(backup, judged, notes)
  }

  /** @throws SealogError what is wrong with the entry, or with those of its group */
  async take(entry: BackedUpEntry): Promise<void> {
    const index = this.#fold.view.range.size + this.#group.length
    const { pushed, hasBody } = entryAt(index, entry)
    this.#group.push({ pushed, hasBody })
    this.#bytes += pushed.encoded.length + pushed.body.length + (pushed.wraps?.bytes?.length ?? 0)
    const size = index + 1
    const isStop = size === this.#judged.stop || this.#notes.some(({ note }) => note.checkpoint.size === size)
    if (isStop || this.#group.length >= GROUP_ENTRIES || this.#bytes >= GROUP_BYTES) await this.#flush()
  }

  /** After the last entry. @throws SealogError what is wrong with the whole */
  async end(): Promise<void> {
    await this.#flush()
    const [uncovered] = this.#fold.uncovered
    if (uncovered !== undefined) throw new SealogError('ERR_UNCOVERED', `entry ${uncovered}: no signature covers it`)
    const { state } = this.#fold.view
    if (state === undefined) throw new SealogError('ERR_MALFORMED', 'a space without entries')
    const origin = { ...this.#judged, space: this.#backup.space }
    for (const note of this.#notes.filter(({ kind }) => kind === 'cosigned')) {
      const isWhole = await isWhollyCosigned(origin, note, state.control)
      if (!isWhole) throw new SealogError('ERR_SIGNATURE', 'a cosignature does not verify')
    }
  }

  async #flush(): Promise<void> {
    const group = this.#group
    this.#group = []
    this.#bytes = 0
    if (group.length === 0) return
    const { append, unsigned, refused } = await this.#fold.take(group.map(({ pushed }) => pushed))
    if (refused !== undefined) {
      throw new SealogError(refused.error.code, `entry ${refused.index}: ${refused.reason}`, { cause: refused.error })
    }
    const [fault] = unsigned
    if (fault !== undefined) throw new SealogError('ERR_SIGNATURE', `entry ${fault.index}: ${fault.reason}`)
    if (append === undefined) return
    this.#tree.add(append)
    this.#assertSigned()
    const missing = group.flatMap(({ hasBody }, i) => (hasBody ? [] : [append.from + i]))
    await this.#judged.onAppend({ ...append, dropped: [...new Set([...append.dropped, ...missing])] })
  }

  #assertSigned(): void {
    const { view } = this.#fold
    for (const signed of this.#notes) {
      const fault = signed.note.checkpoint.size === view.range.size ? noteFault(signed, view) : undefined
      if (fault !== undefined) throw new SealogError('ERR_ROOT_MISMATCH', fault)
    }
  }
}

/** @throws SealogError that names the entry */
function entryAt(index: number, entry: BackedUpEntry): { readonly pushed: PushedEntry; readonly hasBody: boolean } {
  try {
    return readEntry(index, entry)
  } catch (cause) {
    const { code, message } = asSealogError(cause, 'ERR_MALFORMED', 'not an entry')
    throw new SealogError(code, `entry ${index}: ${message}`, { cause })
  }
}

function readEntry(
  index: number,
  { header, signature, body, wraps }: BackedUpEntry,
): { readonly pushed: PushedEntry; readonly hasBody: boolean } {
  const rows = wraps.map(({ device, wrap }, position) => ({ index, position, device, wrap }))
  const pushed = foldedEntry(header, signature, body, joinWraps(rows))
  const { bodyHash, bodyLength, kind } = pushed.header
  const hasBody = body !== undefined || bodyLength === 0
  if (!hasBody && kind === 'control') throw new SealogError('ERR_BODY', 'a control entry without a body')
  const isRight =
    !hasBody ||
    (pushed.body.length === bodyLength && equalBytes(createHash('sha256').update(pushed.body).digest(), bodyHash))
  if (!isRight) throw new SealogError('ERR_BODY', 'a body that its header does not commit to')
  return { pushed, hasBody }
}
