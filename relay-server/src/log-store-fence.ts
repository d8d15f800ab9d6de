import { decodeRange, SealogError } from 'sealog/protocol'
import type { Append, StoredHead } from './log-store.ts'

/** Refuses what comes from a process that does not know the latest state of the space. */
export function assertAppendable(append: Append, size: number): void {
  if (append.entries.length === 0) throw new TypeError('append.entries: expected at least one')
  if (decodeRange(append.frontier).size !== append.from + append.entries.length) {
    throw new TypeError('append.frontier: expected a range over all entries')
  }
  fenceIf(append.from !== size, `the log has ${size} entries, not ${append.from}`)
}

/** A head never goes back, and never runs ahead of the entries. */
export function assertHeadAdvances(head: StoredHead, size: number, before: StoredHead | undefined): void {
  fenceIf(head.size === 0 || head.size > size, `a head of ${head.size}, where ${size} are stored`)
  if (before === undefined) return
  const back = head.size < before.size || head.time < before.time
  fenceIf(back, `a head older than the one for ${before.size} entries`)
}

/** Nor does a cosigned note. */
export function assertStored(noteSize: number, size: number): void {
  fenceIf(noteSize === 0 || noteSize > size, `a note of ${noteSize}, where ${size} are stored`)
}

function fenceIf(late: boolean, message: string): void {
  if (late) throw new SealogError('ERR_STORE_LOCKED', message)
}
