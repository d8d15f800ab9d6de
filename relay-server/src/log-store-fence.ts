import { decodeRange, equalBytes, SealogError } from 'sealog/protocol'
import type { Append, AppendUndo, KeptHead, SpaceSize, StoredHead, StoredSpace } from './log-store.ts'

/** An append that could never land. @throws TypeError */
export function assertAppendForm({ from, base, entries, frontier }: Append): void {
  if (entries.length === 0) throw new TypeError('append.entries: expected at least one')
  if (decodeRange(frontier).size !== from + entries.length) {
    throw new TypeError('append.frontier: expected a range over all entries')
  }
  if (decodeRange(base).size !== from) throw new TypeError('append.base: expected a range over the entries before')
}

/** What an append is held against. */
export interface LogEnding extends Pick<SpaceSize, 'size' | 'floor'> {
  /** As `StoredSpace` has it; of no meaning where the size is 0. */
  readonly frontier: Uint8Array
}

export const NO_LOG: LogEnding = { size: 0, floor: 0, frontier: new Uint8Array(0) }

/**
 * Refuses what comes from a process that does not know the latest state of the space: another number of entries, or
 * others in the same number, as after a standby that lagged behind took over.
 */
export function assertAppendable(append: Append, { size, floor, frontier }: LogEnding): void {
  assertAppendForm(append)
  const end = append.from + append.entries.length
  fenceIf(append.from !== size, `the log has ${size} entries, not ${append.from}`)
  fenceIf(size > 0 && !equalBytes(append.base, frontier), `the log has ${size} other entries`)
  fenceIf(
    size < floor && !(append.isRestored && end >= floor),
    `the log has ${size} entries of ${floor} that were signed`,
  )
}

/**
 * Of what is stored only the last append can be taken back.
 * @param stored undefined for a space without entries
 */
export function assertUndoable(
  { frontier, base }: AppendUndo,
  stored: Pick<StoredSpace, 'frontier' | 'base'> | undefined,
): void {
  const isLast = stored?.base !== undefined && equalBytes(frontier, stored.frontier) && equalBytes(base, stored.base)
  fenceIf(!isLast, 'the last append was another')
}

/**
 * A head never goes back in size or time, there is one note of a size and time, and each follows the one before.
 * @param after the note that it follows, where that matters
 */
export function assertHeadAdvances(head: StoredHead, before: KeptHead | undefined, after?: Uint8Array): void {
  if (before === undefined) return
  fenceIf(isTombstone(before), 'the space was removed')
  fenceIf(head.size < before.size || head.time < before.latest, `a head older than the one for ${before.size} entries`)
  const isOther = head.size === before.size && head.time === before.time && !equalBytes(head.note, before.note)
  fenceIf(isOther, `another note for ${before.size} entries at the same time`)
  fenceIf(
    after !== undefined && !equalBytes(after, before.note),
    'a head that follows another than the one that is kept',
  )
}

/** The head that is kept when it turns out that `found` was signed earlier. */
export function raisedHead(found: StoredHead, before: KeptHead | undefined): KeptHead {
  const latest = Math.max(found.time, before?.latest ?? 0)
  const abandoned = before?.abandoned ?? 0
  if (before !== undefined && isTombstone(before)) return { ...before, latest }
  const isLarger = before === undefined || found.size > before.size
  return isLarger ? { size: found.size, time: found.time, note: found.note, latest, abandoned } : { ...before, latest }
}

/** The head of a space that was removed: of a size, and without a signature that it was ever so large. */
export function isTombstone(head: StoredHead | undefined): boolean {
  return head !== undefined && head.size > 0 && head.note.length === 0
}

/** @param size of what is stored */
export function tombstone(before: KeptHead | undefined, size: number): KeptHead {
  const { time = 0, latest = 0, abandoned = 0 } = before ?? {}
  return { size: Math.max(before?.size ?? 0, size, 1), time, note: new Uint8Array(0), latest, abandoned }
}

/** The head of a log whose signed end was given up. */
export function abandonedHead({ latest }: KeptHead): KeptHead {
  return { size: 0, time: 0, note: new Uint8Array(0), latest, abandoned: latest }
}

/** A cosigned note is of what is stored. */
export function assertStored(noteSize: number, size: number): void {
  fenceIf(noteSize === 0 || noteSize > size, `a note of ${noteSize}, where ${size} are stored`)
}

function fenceIf(late: boolean, message: string): void {
  if (late) throw new SealogError('ERR_STORE_LOCKED', message)
}
