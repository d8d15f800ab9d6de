import { concat, decodeHeader, SealogError, type SpaceId } from 'sealog/protocol'
import type { BackedUpWrap, BackupRecord } from './backup-format.ts'

/** An entry of a backup, put together. */
export interface BackedUpEntry {
  readonly header: Uint8Array
  readonly signature: Uint8Array
  /** Undefined where it was not stored. */
  readonly body: Uint8Array | undefined
  readonly wraps: readonly BackedUpWrap[]
}

/** How a space of a backup begins. */
export interface BackedUpSpace {
  readonly type: 'space'
  readonly space: SpaceId
  readonly size: number
  /** The note of what was signed by then. */
  readonly head: Uint8Array | undefined
  readonly cosigned: readonly Uint8Array[]
}

/** What a backup says, in its order. */
export type BackupItem =
  | Extract<BackupRecord, { readonly type: 'begin' | 'mailbox' }>
  | BackedUpSpace
  | ({ readonly type: 'entry' } & BackedUpEntry)
  /** Of a space: it has had as many entries as it announced. */
  | { readonly type: 'end' }

/** Notes of one space; a store keeps eight. */
const MAX_COSIGNED = 64

/**
 * Puts the records of a backup together. One large body, or the wraps of one entry, are held at a time.
 * @throws SealogError ERR_MALFORMED for records that do not follow each other as they must, ERR_LIMIT
 */
export async function* backupItems(records: AsyncIterable<BackupRecord>): AsyncGenerator<BackupItem> {
  const reading = new ItemReader()
  for await (const record of records) yield* reading.take(record)
}

type OpenSpace = BackedUpSpace & { readonly cosigned: Uint8Array[] }

class ItemReader {
  #isBegun = false
  #space: OpenSpace | undefined
  /** Was the beginning of the space handed out? */
  #isAnnounced = false
  #entry: { header: Uint8Array; signature: Uint8Array; body: Uint8Array | undefined; wraps: BackedUpWrap[] } | undefined
  /** Of a large body. */
  #parts: Uint8Array[] | undefined
  #last = ''
  #entries = 0
  #spaces = 0
  #mailboxes = 0

  #addCosigned(note: Uint8Array): void {
    if (this.#space === undefined || this.#isAnnounced || this.#entry !== undefined) throw misplaced('cosigned')
    this.#space.cosigned.push(note)
    if (this.#space.cosigned.length > MAX_COSIGNED) throw new SealogError('ERR_LIMIT', 'too many cosigned notes')
  }

  *take(record: BackupRecord): Generator<BackupItem> {
    if (this.#isBegun === (record.type === 'begin')) throw misplaced(record.type)
    switch (record.type) {
      case 'begin':
        this.#isBegun = true
        yield record
        return
      case 'space':
        // In ascending order, so that none comes twice.
        if (this.#space !== undefined || this.#mailboxes > 0 || record.space <= this.#last) throw misplaced(record.type)
        this.#last = record.space
        this.#space = { ...record, cosigned: [] }
        this.#isAnnounced = false
        this.#entries = 0
        this.#spaces++
        return
      case 'cosigned':
        this.#addCosigned(record.note)
        return
      case 'entry':
      case 'large':
        yield* this.#endEntry(record.type)
        this.#entries++
        this.#entry = { body: undefined, ...record, wraps: [] }
        this.#parts = record.type === 'large' ? [] : undefined
        return
      case 'part':
        if (this.#parts === undefined) throw misplaced(record.type)
        this.#parts.push(record.bytes)
        if (this.#parts.length > MAX_PARTS) throw new SealogError('ERR_LIMIT', 'a body of too many parts')
        return
      case 'wraps':
        if (this.#entry?.wraps.length !== record.position) throw misplaced(record.type)
        this.#entry.wraps.push(...record.wraps)
        return
      case 'end':
        yield* this.#endEntry(record.type)
        if (this.#entries !== this.#space?.size) throw misplaced(record.type)
        this.#space = undefined
        yield { type: 'end' }
        return
      case 'mailbox':
        if (this.#space !== undefined) throw misplaced(record.type)
        this.#mailboxes++
        yield record
        return
      case 'finish':
        if (this.#space !== undefined || record.spaces !== this.#spaces || record.mailboxes !== this.#mailboxes) {
          throw misplaced(record.type)
        }
    }
  }

  /** What is known to be whole when the next record comes. */
  *#endEntry(next: BackupRecord['type']): Generator<BackupItem> {
    const space = this.#space
    if (space === undefined) throw misplaced(next)
    if (!this.#isAnnounced) yield space
    this.#isAnnounced = true
    const entry = this.#entry
    if (entry === undefined) return
    const parts = this.#parts
    this.#entry = undefined
    this.#parts = undefined
    const body = parts === undefined ? entry.body : wholeBody(entry.header, parts)
    yield { type: 'entry', header: entry.header, signature: entry.signature, body, wraps: entry.wraps }
  }
}

const MAX_PARTS = 256

/** One that breaks off went while the backup was written. */
function wholeBody(header: Uint8Array, parts: readonly Uint8Array[]): Uint8Array | undefined {
  const body = concat(...parts)
  return body.length < decodeHeader(header).bodyLength ? undefined : body
}

function misplaced(type: BackupRecord['type']): SealogError {
  return new SealogError('ERR_MALFORMED', `the backup is damaged: a record "${type}" out of its place`)
}
