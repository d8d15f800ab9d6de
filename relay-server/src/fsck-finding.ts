import type { SpaceId } from 'sealog/protocol'

/** What a check of a store looks at. */
export type Checked =
  /** The store's own pages, indexes and rows without an owner. */
  | 'store'
  | 'identity'
  /** A header, its hash, and what the reducer says of it. */
  | 'entry'
  /** What stands beside a header so that it can be found. */
  | 'columns'
  | 'signature'
  | 'body'
  | 'wraps'
  | 'tree'
  | 'state'
  /** Size, bytes and floor of a space. */
  | 'account'
  | 'head'
  /** The row of a head does not have its checksum: it changed after it was written. A forged one is `head`. */
  | 'damaged-head'
  /** Entries that were signed are lost: members can give them back. */
  | 'behind'
  /** The latest time of all notes is later than that of the head: that note is not kept, or the row is damaged. */
  | 'latest'
  | 'cosigned'
  | 'mailbox'

/** One thing that is not as it must be. */
export interface Finding {
  readonly checked: Checked
  readonly space?: SpaceId | undefined
  /** Place in the log. */
  readonly entry?: number | undefined
  /** For people; holds no content and no keys. */
  readonly reason: string
}

export type Report = (finding: Finding) => void

/** One line, without its end. */
export function findingLine({ checked, space, entry, reason }: Finding): string {
  const place = [space && `space ${space}`, entry !== undefined && `entry ${entry}`].filter(Boolean).join(' ')
  return `${checked}: ${place === '' ? '' : `${place}: `}${reason}`
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
