import { decodeHeader, equalBytes, hasCode, INLINE_BODY_LENGTH, type SpaceId } from 'sealog/protocol'
import { checkBody, checkColumns, delivers, joinWraps } from './fsck-entry.ts'
import { type Report, reasonOf } from './fsck-finding.ts'
import { foldedEntry, type LogFold, NO_BODY } from './fsck-fold.ts'
import type { Append, LogStore, StoredEntry, StoredWrap } from './log-store.ts'
import type { PushedEntry } from './pushed-entry.ts'

const GROUP_BYTES = 4 * 1024 * 1024

/** An entry as it is stored, and as the fold takes it. */
interface WalkedEntry {
  readonly stored: StoredEntry
  readonly pushed: PushedEntry
  readonly wraps: readonly StoredWrap[]
}

/** What the walk found to be stored. */
export interface Account {
  /** Bytes of headers, signatures, bodies and wraps. */
  readonly bytes: number
  /** Bodies that are not stored, though no later snapshot took their place. */
  readonly missing: number
  /** Places and lengths of bodies that were there when the walk came by, of snapshots that others took the place of. */
  readonly superseded: ReadonlyMap<number, number>
}

/** Goes through the stored entries of one space in order, and holds everything that stands with each against the fold. */
export class StoreWalk {
  readonly #store: LogStore
  readonly #space: SpaceId
  readonly #fold: LogFold
  readonly #report: Report
  /** Snapshots that nothing took the place of so far, with the length of their body where it is stored. */
  readonly #latest = new Map<number, number | undefined>()
  readonly #superseded = new Map<number, number>()
  #next = 0
  #bytes = 0
  #missing = 0
  #isJudged = true

  constructor(store: LogStore, space: SpaceId, fold: LogFold, report: Report) {
    this.#store = store
    this.#space = space
    this.#fold = fold
    this.#report = report
  }

  /** Number of entries that were walked. */
  get size(): number {
    return this.#next
  }

  /** Is the state known? Not behind an entry that cannot have been accepted. */
  get isJudged(): boolean {
    return this.#isJudged
  }

  get account(): Account {
    const absent = [...this.#latest.values()].filter(length => length === undefined).length
    return { bytes: this.#bytes, missing: this.#missing + absent, superseded: this.#superseded }
  }

  /**
   * Some of the next entries.
   * @param to behind the last that may come, at most the stored size
   * @returns how many; 0 where there are none, though there should be
   */
  async step(to: number): Promise<number> {
    const range = { from: this.#next, to, inlineLength: INLINE_BODY_LENGTH, maxBytes: GROUP_BYTES }
    const entries = await this.#store.readEntries(this.#space, range)
    if (entries.length === 0) this.#fault(this.#next, 'the entry is missing')
    const walked: WalkedEntry[] = []
    for (const [i, stored] of entries.entries()) {
      const entry = await this.#walk(this.#next + i, stored)
      if (entry === undefined) this.#isJudged = false
      else if (this.#isJudged) walked.push(entry)
    }
    this.#next += entries.length
    await this.#judge(walked)
    return entries.length
  }

  async #walk(index: number, stored: StoredEntry): Promise<WalkedEntry | undefined> {
    const place = { store: this.#store, space: this.#space, index, report: this.#report }
    this.#bytes += stored.header.length + stored.signature.length
    try {
      const header = decodeHeader(stored.header)
      checkColumns(place, stored, header)
      const length = await checkBody(place, stored, header)
      this.#bytes += length ?? 0
      if (header.kind === 'snapshot') this.#latest.set(index, length)
      else if (length === undefined) this.#lacksBody(index, header.bodyLength)
      const body = header.kind === 'control' && length !== undefined ? await this.#bodyOf(index, stored) : NO_BODY
      const wraps = delivers(body) ? await this.#store.readWraps(this.#space, index) : []
      for (const { wrap } of wraps) this.#bytes += wrap.length
      return { stored, pushed: foldedEntry(stored.header, stored.signature, body, joinWraps(wraps)), wraps }
    } catch (error) {
      if (!hasCode(error, 'ERR_MALFORMED') && !hasCode(error, 'ERR_LIMIT') && !hasCode(error, 'ERR_UPGRADE'))
        throw error
      this.#fault(index, `not a header: ${reasonOf(error)}`)
      return undefined
    }
  }

  /** After a recovery a body may be one that nobody had any more; one without length was never missing. */
  #lacksBody(index: number, bodyLength: number): void {
    this.#missing++
    if (bodyLength > 0) return
    this.#report({ checked: 'body', space: this.#space, entry: index, reason: 'the empty body is not stored' })
  }

  async #bodyOf(index: number, { body, bodyLength }: StoredEntry): Promise<Uint8Array> {
    return body ?? (await this.#store.readBody(this.#space, index, 0, bodyLength)) ?? NO_BODY
  }

  async #judge(walked: readonly WalkedEntry[]): Promise<void> {
    if (walked.length === 0) return
    const { append, unsigned, refused } = await this.#fold.take(walked.map(({ pushed }) => pushed))
    for (const { index: entry, reason } of unsigned) {
      this.#report({ checked: 'signature', space: this.#space, entry, reason })
    }
    if (append !== undefined) await this.#compare(append, walked)
    if (refused === undefined) return
    const rest = walked.slice(append?.entries.length ?? 0)
    const [first, ...others] = rest
    // Wraps stand beside the log: without them it is the same.
    if (first?.pushed.wraps !== undefined && hasCode(refused.error, 'ERR_BODY')) {
      this.#report({ checked: 'wraps', space: this.#space, entry: refused.index, reason: refused.reason })
      await this.#judge([{ ...first, pushed: { ...first.pushed, wraps: undefined }, wraps: [] }, ...others])
      return
    }
    this.#isJudged = false
    const isThere = await this.#isAtItsPlace(refused.index)
    this.#fault(refused.index, isThere ? `it cannot have been accepted: ${refused.reason}` : 'the entry is missing')
  }

  async #compare(append: Append, walked: readonly WalkedEntry[]): Promise<void> {
    for (const [i, expected] of append.entries.entries()) {
      const { stored } = walked[i] as WalkedEntry
      const entry = append.from + i
      if (stored.actor !== expected.actor) {
        this.#report({ checked: 'columns', space: this.#space, entry, reason: 'it is by another actor' })
      }
      if (!equalBytes(stored.replaced, expected.replaced)) {
        this.#report({ checked: 'state', space: this.#space, entry, reason: 'it replaced something else' })
      }
    }
    this.#compareWraps(append, walked)
    for (const index of append.dropped) {
      const length = this.#latest.get(index)
      this.#latest.delete(index)
      if (length !== undefined) this.#superseded.set(index, length)
    }
    await this.#compareNodes(append.nodes)
  }

  #compareWraps({ wraps: expected }: Append, walked: readonly WalkedEntry[]): void {
    const stored = walked.flatMap(({ wraps }) => wraps)
    for (const [i, { index: entry, position, device }] of expected.entries()) {
      const row = stored[i]
      if (row?.index === entry && row.position === position && row.device === device) continue
      this.#report({
        checked: 'wraps',
        space: this.#space,
        entry,
        reason: `wrap ${position} stands for another device`,
      })
      return
    }
  }

  async #compareNodes(nodes: Append['nodes']): Promise<void> {
    const hashes = await this.#readNodes(nodes)
    for (const [i, [level, index, hash]] of nodes.entries()) {
      const stored = hashes[i]
      if (stored !== undefined && equalBytes(stored, hash)) continue
      const what = stored === undefined ? 'missing' : 'another'
      this.#report({ checked: 'tree', space: this.#space, reason: `node ${index} on level ${level} is ${what}` })
    }
  }

  /** All at once, and one by one where one of them is missing. */
  async #readNodes(nodes: Append['nodes']): Promise<readonly (Uint8Array | undefined)[]> {
    const places = nodes.map(([level, index]) => [level, index] as const)
    try {
      return await this.#store.readNodes(this.#space, places)
    } catch (error) {
      if (!hasCode(error, 'ERR_STORE_CORRUPT')) throw error
    }
    const hashes: (Uint8Array | undefined)[] = []
    for (const place of places) hashes.push(await this.#nodeOrNothing(place))
    return hashes
  }

  async #nodeOrNothing(place: readonly [level: number, index: number]): Promise<Uint8Array | undefined> {
    try {
      return (await this.#store.readNodes(this.#space, [place]))[0]
    } catch (error) {
      if (hasCode(error, 'ERR_STORE_CORRUPT')) return undefined
      throw error
    }
  }

  /** Where a row is missing, those behind it are read in its place. */
  async #isAtItsPlace(index: number): Promise<boolean> {
    return (await this.#nodeOrNothing([0, index])) !== undefined
  }

  #fault(entry: number, reason: string): void {
    this.#report({ checked: 'entry', space: this.#space, entry, reason })
  }
}
