import {
  type Checkpoint,
  encodeNote,
  equalBytes,
  hasCode,
  type Note,
  rootAt,
  rootOf,
  SealogError,
} from 'sealog/protocol'
import { appendOf, bytesOf } from './append.ts'
import type { RelayContext } from './context.ts'
import { type Judged, type Push, type SpaceView, seenSizesOf } from './judge.ts'
import { judgeVerified } from './judge-verified.ts'
import type { Append, KeptHead, StoredEntry } from './log-store.ts'
import { ownLineOf } from './own-note.ts'
import { relayBehind } from './reject.ts'
import type { Restored } from './restored-tail.ts'
import { assertHeadOf, assertRootOf, readHead, type SignedHead, signHead } from './signed-head.ts'
import type { RecoveredSpace } from './space-recovery.ts'
import { followStored } from './stored-judge.ts'
import { readRoot } from './tree-proofs.ts'
import { withNodes } from './tree-reader.ts'

/** Roots kept at hand: most authors have seen one of the latest sizes. */
const KNOWN_ROOTS = 256

/**
 * A view that is older, in milliseconds, is compared with the store before anything is appended to it: by then another
 * database, which lacks what came last, may have taken the place of the one that it was read from.
 */
const LEVEL_AGE = 1000

/** Entries that came since they were last taken. */
export interface Growth {
  /** The last of them; more than fit one group are left to be read one by one. */
  readonly entries: readonly StoredEntry[]
  readonly isWhole: boolean
}

/**
 * The end of one log, where it grows: by what this process appends, and by what other processes of the same relay do.
 *
 * Nothing is locked. A process judges on what it knows, and an append that comes late lands nowhere; then it takes over
 * what the others appended, through the same reducer, and judges anew. It signs what is durable, and a note that comes
 * late is never shown: then it goes on from the one that was faster. So there is one log, whoever is asked, and of
 * every size one root. Calls come one after the other. What they throw means, except ERR_RELAY_BEHIND, that only a
 * fresh start from the store can tell how things stand.
 */
export class LogEnd {
  readonly #context: RelayContext
  readonly #roots = new Map<number, Uint8Array>()
  #view: SpaceView
  #head: SignedHead | undefined
  #behind: Checkpoint | undefined
  /** Time of the latest note that is known. */
  #latest: number
  /** When this process last knew what was signed last, by its own clock. */
  #levelTime = Number.NEGATIVE_INFINITY
  /** Notes up to this time that are about more than is stored were given up. */
  #abandoned: number
  #bytes: number
  #grown: StoredEntry[] = []
  #isWhole = true

  constructor(context: RelayContext, { view, head, behind, latest, abandoned, bytes }: RecoveredSpace) {
    this.#context = context
    this.#view = view
    this.#head = head
    this.#behind = behind
    this.#latest = latest
    this.#abandoned = abandoned
    this.#bytes = bytes
  }

  /** After all stored entries that this process knows of. */
  get view(): SpaceView {
    return this.#view
  }

  /** Of all entries that may be shown; undefined where the space has none. */
  get head(): SignedHead | undefined {
    return this.#head
  }

  /** What was signed beyond what is stored (DESIGN §5.5): nothing is appended or signed until all of it is back. */
  get behind(): Checkpoint | undefined {
    return this.#behind
  }

  /** Stored bytes, roughly: what other processes do is in it once their entries are. */
  get bytes(): number {
    return this.#bytes
  }

  /** Did the operator give up what this note is about, as far as it is not stored? */
  hasAbandoned({ time }: Checkpoint): boolean {
    return time <= this.#abandoned
  }

  takeGrowth(): Growth {
    const growth = { entries: this.#grown, isWhole: this.#isWhole }
    this.#grown = []
    this.#isWhole = true
    return growth
  }

  /** Appends what of the pushes holds on top of the log as it is when they land, and signs that. */
  async append(pushes: readonly Push[]): Promise<Judged> {
    const { environment, store, meter } = this.#context
    // Judged on all that was stored when the pushes came?
    let isCurrent = !store.isShared
    if (!isCurrent && environment.now() - this.#levelTime > LEVEL_AGE) {
      await this.follow()
      isCurrent = true
    }
    for (;;) {
      this.#assertLevel()
      const judged = await this.#judge(pushes)
      const isRefused = judged.refused.some(refused => refused !== undefined)
      if (isRefused && !isCurrent) {
        // It may be wrong only because others know more. Once: or one bad push, and a log that grows, would stop all.
        isCurrent = true
        if (await this.follow()) continue
      }
      if (judged.accepted.length === 0) return judged
      const append = appendOf(this.#view, judged)
      if (await this.#lands(append)) {
        this.#advance(judged.view, append.entries)
        this.#bytes += bytesOf(append)
        await this.#sign()
        return judged
      }
      meter.contended()
      isCurrent = true
      if (!(await this.follow())) this.#assertMoved()
    }
  }

  /** Takes over what other processes appended and signed. @returns whether the log grew */
  async follow(): Promise<boolean> {
    const { store } = this.#context
    const { space } = this.#view
    const before = this.#view.range.size
    for (;;) {
      // The head first: entries are stored before they are signed, so that more of them is the rule, and fewer a loss.
      const kept = await store.readHead(space)
      const { size, bytes, floor } = await store.readSize(space)
      if (size < this.#view.range.size) throw new SealogError('ERR_STORE', `the log was set back to ${size} entries`)
      const found = await this.#findHead(kept, size)
      await this.#takeOver(size)
      this.#bytes = bytes
      this.#latest = Math.max(this.#latest, kept?.latest ?? 0)
      this.#abandoned = kept?.abandoned ?? 0
      if (kept !== undefined && kept.size > size) {
        await this.#markBehind((await readHead(this.#context, space, kept)).checkpoint)
        return size > before
      }
      if (floor > size) throw new SealogError('ERR_STORE_CORRUPT', `of ${floor} signed entries nothing is known`)
      this.#markLevel()
      if (await this.#settleHead(kept, found)) return size > before
    }
  }

  /**
   * A new time under the same size, where the note is too old to say that the relay is alive. A store that is full can
   * still be read from, with the note that there is.
   */
  async freshen(): Promise<void> {
    const { environment, limits, log, store } = this.#context
    if (store.isShared) await this.follow()
    if (this.#head === undefined || this.#behind !== undefined) return
    if (environment.now() - this.#head.checkpoint.time <= limits.noteAge) return
    try {
      await this.#sign()
    } catch (error) {
      if (!hasCode(error, 'ERR_STORE_FULL')) throw error
      log({ level: 'warn', event: 'note-not-renewed', space: this.#view.space, reason: error.message })
    }
  }

  /** This relay has lost entries if the note, which it has signed as the caller has verified, is about a larger log. */
  async fallBehind(note: Note): Promise<void> {
    const { store } = this.#context
    const { checkpoint } = note
    const { space } = this.#view
    const isKnown = (): boolean => checkpoint.size <= Math.max(this.#view.range.size, this.#behind?.size ?? 0)
    if (!isKnown() && store.isShared) await this.follow()
    if (isKnown() || this.hasAbandoned(checkpoint)) return
    // Cosignatures that came with it were verified by nobody here.
    const own = encodeNote(checkpoint, [ownLineOf(this.#context, note)])
    // The head first: whoever finds the floor finds what it stands for.
    await store.raiseHead(space, { size: checkpoint.size, time: checkpoint.time, note: own })
    await store.putFloor(space, checkpoint.size)
    this.#latest = Math.max(this.#latest, checkpoint.time)
    await this.#markBehind(checkpoint)
  }

  /**
   * Appends what was lost and given back.
   * @param restored judged on top of the view as it is
   */
  async restore({ append, entries, judged }: Restored): Promise<void> {
    if (await this.#lands(append)) this.#advance(judged.view, entries)
    await this.follow()
    this.#assertLevel()
  }

  async #judge(pushes: readonly Push[]): Promise<Judged> {
    const { name, signingKey, environment, verifier } = this.#context
    const circumstances = {
      relay: { name, key: signingKey.publicKey },
      // By the time that its notes carry, which never goes back: clients hold an expiry against those.
      now: Math.max(environment.now(), this.#latest),
      seenRoots: await this.#seenRoots(pushes),
    }
    return judgeVerified(this.#view, pushes, circumstances, verifier)
  }

  async #lands(append: Append): Promise<boolean> {
    try {
      await this.#context.store.append(append)
      return true
    } catch (error) {
      if (hasCode(error, 'ERR_STORE_LOCKED')) return false
      throw error
    }
  }

  #advance(view: SpaceView, entries: readonly StoredEntry[]): void {
    this.#view = view
    this.#grown.push(...entries)
    if (this.#grown.length <= this.#context.limits.groupEntries) return
    this.#grown = []
    this.#isWhole = false
  }

  async #takeOver(size: number): Promise<void> {
    while (this.#view.range.size < size) {
      const { view, entries } = await followStored(this.#context, this.#view, size)
      this.#advance(view, entries)
      this.#context.meter.followed(entries.length)
    }
  }

  /** Signs the log as it is, or goes on from what another process signed in the meantime. */
  async #sign(): Promise<void> {
    try {
      this.#take(await signHead(this.#context, this.#view, { latest: this.#due, after: this.#head?.note }))
    } catch (error) {
      if (!hasCode(error, 'ERR_STORE_LOCKED')) throw error
      await this.follow()
    }
  }

  /**
   * What was signed last, by whichever process. It must be about this very log: what is signed next goes on from it.
   * @returns undefined where nothing is signed, or more than is stored
   */
  async #findHead(kept: KeptHead | undefined, size: number): Promise<SignedHead | undefined> {
    if (kept === undefined || kept.size === 0 || kept.size > size) return undefined
    if (this.#head !== undefined && equalBytes(this.#head.note, kept.note)) return this.#head
    const { space } = this.#view
    const head = await readHead(this.#context, space, kept)
    await this.#takeOver(kept.size)
    if (this.#view.range.size === kept.size) assertHeadOf(this.#view, head)
    else assertRootOf(head, this.#roots.get(kept.size) ?? (await readRoot(this.#context.store, space, kept.size)))
    return head
  }

  /** @returns whether the head is now that of the view: if not, another process signs at this moment */
  async #settleHead(kept: KeptHead | undefined, found: SignedHead | undefined): Promise<boolean> {
    const { size } = this.#view.range
    if (size === 0) return true
    if (found?.checkpoint.size === size && kept?.time === kept?.latest) {
      this.#take(found)
      return true
    }
    try {
      this.#take(await signHead(this.#context, this.#view, { latest: this.#due, after: kept?.note }))
      return true
    } catch (error) {
      if (hasCode(error, 'ERR_STORE_LOCKED')) return false
      throw error
    }
  }

  /** The least time of the next note: whatever was given up is earlier. */
  get #due(): number {
    return Math.max(this.#latest, this.#abandoned + 1)
  }

  #take(head: SignedHead): void {
    this.#head = head
    this.#levelTime = this.#context.environment.now()
    this.#latest = Math.max(this.#latest, head.checkpoint.time)
    this.#rememberRoot(head.checkpoint.size, head.checkpoint.root)
  }

  async #markBehind(checkpoint: Checkpoint): Promise<void> {
    if (this.#behind === undefined) this.#context.meter.spaceBehind(true)
    this.#behind = checkpoint
    const { space, range } = this.#view
    this.#context.log({ level: 'error', event: 'relay-behind', space, signed: checkpoint.size, stored: range.size })
  }

  #markLevel(): void {
    if (this.#behind === undefined) return
    this.#behind = undefined
    this.#context.meter.spaceBehind(false)
  }

  #assertLevel(): void {
    if (this.#behind !== undefined) throw relayBehind(this.#view.range.size)
  }

  /** An append that did not land on a log that is as it was: nobody was faster, so something else is wrong. */
  #assertMoved(): void {
    this.#assertLevel()
    throw new SealogError('ERR_STORE', 'the store refuses entries that follow its own')
  }

  async #seenRoots(pushes: readonly Push[]): Promise<ReadonlyMap<number, Uint8Array>> {
    const sizes = [...seenSizesOf(pushes)].filter(size => size <= this.#view.range.size)
    const unknown = sizes.filter(size => !this.#roots.has(size))
    const roots = await withNodes(this.#context.store, this.#view.space, nodeAt =>
      unknown.map(size => (size === this.#view.range.size ? rootOf(this.#view.range) : rootAt(size, nodeAt))),
    )
    const known = new Map(sizes.map(size => [size, this.#roots.get(size) as Uint8Array]))
    for (const [i, size] of unknown.entries()) known.set(size, roots[i] as Uint8Array)
    for (const [size, root] of known) this.#rememberRoot(size, root)
    return known
  }

  #rememberRoot(size: number, root: Uint8Array): void {
    this.#roots.delete(size)
    this.#roots.set(size, root)
    for (const oldest of this.#roots.keys()) {
      if (this.#roots.size <= KNOWN_ROOTS) break
      this.#roots.delete(oldest)
    }
  }
}
