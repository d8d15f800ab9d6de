import { type Checkpoint, encodeNote, equalBytes, hasCode, type Note, SealogError } from 'sealog/protocol'
import { appendOf, bytesOf } from './append.ts'
import type { RelayContext } from './context.ts'
import type { Judged, Push, SpaceView } from './judge.ts'
import { judgeVerified } from './judge-verified.ts'
import { KnownRoots } from './known-roots.ts'
import { type Growth, GrowthBuffer } from './log-growth.ts'
import type { Append, KeptHead, StoredEntry } from './log-store.ts'
import { LostEnd } from './lost-end.ts'
import { ownLineOf } from './own-note.ts'
import type { Restored } from './restored-tail.ts'
import { fenceSigned, recallSigned } from './signed-fence.ts'
import { assertHeadOf, assertRootOf, readHead, type SignedHead, signHead } from './signed-head.ts'
import type { RecoveredSpace } from './space-recovery.ts'
import { followStored } from './stored-judge.ts'
import { readRoot } from './tree-proofs.ts'

/**
 * A view that is older, in milliseconds, is compared with the store before anything is appended to it: by then another
 * database, which lacks what came last, may have taken the place of the one that it was read from.
 */
const LEVEL_AGE = 1000

/**
 * The end of one log, where it grows: by what this process appends, and by what other processes of the same relay do.
 *
 * Nothing is locked. A process judges on what it knows, and an append that comes late lands nowhere; then it takes over
 * what the others appended, through the same reducer, and judges anew. It signs what is durable, and a note that comes
 * late is never shown: then it goes on from the one that was faster. So there is one log, whoever is asked, and of
 * every size one root. Calls come one after the other. What they throw means, except ERR_RELAY_BEHIND, that only a
 * fresh start from the store can tell how things stand; also except a store that was too busy to do anything, as long
 * as all that it has is signed.
 */
export class LogEnd {
  readonly #context: RelayContext
  readonly #roots: KnownRoots
  readonly #growth: GrowthBuffer
  #view: SpaceView
  #head: SignedHead | undefined
  readonly #lost: LostEnd
  /** Time of the latest note that is known. */
  #latest: number
  /** When this process last knew what was signed last, by its own clock. */
  #levelTime = Number.NEGATIVE_INFINITY
  /** Notes up to this time that are about more than is stored were given up. */
  #abandoned: number
  #bytes: number

  constructor(context: RelayContext, { view, head, behind, latest, abandoned, bytes }: RecoveredSpace) {
    this.#context = context
    this.#roots = new KnownRoots(context.store)
    this.#growth = new GrowthBuffer(context.limits.groupEntries)
    this.#view = view
    this.#head = head
    this.#lost = new LostEnd(context, view.space, behind)
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
    return this.#lost.checkpoint
  }

  /** Stored bytes, roughly: what other processes do is in it once their entries are. */
  get bytes(): number {
    return this.#bytes
  }

  /** Did the operator give up what this note is about, as far as it is not stored? */
  hasAbandoned({ time }: Checkpoint): boolean {
    return time <= this.#abandoned
  }

  /** It is in memory no more. */
  leave(): void {
    this.#lost.leave()
  }

  /** What the log grew by since this was last asked. */
  takeGrowth(): Growth {
    return this.#growth.take()
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
      this.#lost.assertNone(this.#view.range.size)
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
        // Another process may have learnt meanwhile of a longer log that was signed: then nobody has signed these.
        this.#lost.assertNone(this.#view.range.size)
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
      if (size < this.#view.range.size) {
        await recallSigned(store, space, this.#head, { kept, size })
        throw new SealogError('ERR_STORE', `the log was set back to ${size} entries`)
      }
      const found = await this.#findHead(kept, size)
      await this.#takeOver(size)
      this.#bytes = bytes
      this.#latest = Math.max(this.#latest, kept?.latest ?? 0)
      this.#abandoned = kept?.abandoned ?? 0
      if (kept !== undefined && kept.size > size) {
        this.#lost.mark((await readHead(this.#context, space, kept)).checkpoint, this.#view.range.size)
        // Whoever raised the head may have been too busy, or dead, before it came to this.
        if (floor < kept.size) await store.putFloor(space, kept.size)
        return size > before
      }
      if (floor > size) throw new SealogError('ERR_STORE_CORRUPT', `of ${floor} signed entries nothing is known`)
      this.#lost.clear()
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
    if (this.#head === undefined || this.behind !== undefined) return
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
    const isKnown = (): boolean => checkpoint.size <= Math.max(this.#view.range.size, this.behind?.size ?? 0)
    if (!isKnown() && store.isShared) await this.follow()
    if (isKnown() || this.hasAbandoned(checkpoint)) return
    // Cosignatures that came with it were verified by nobody here.
    const own = encodeNote(checkpoint, [ownLineOf(this.#context, note)])
    await fenceSigned(store, this.#view.space, { size: checkpoint.size, time: checkpoint.time, note: own })
    this.#latest = Math.max(this.#latest, checkpoint.time)
    this.#lost.mark(checkpoint, this.#view.range.size)
  }

  /**
   * Appends what was lost and given back.
   * @param restored judged on top of the view as it is
   */
  async restore({ append, entries, judged }: Restored): Promise<void> {
    if (await this.#lands(append)) this.#advance(judged.view, entries)
    await this.follow()
    this.#lost.assertNone(this.#view.range.size)
  }

  async #judge(pushes: readonly Push[]): Promise<Judged> {
    const { name, signingKey, environment, verifier } = this.#context
    const circumstances = {
      relay: { name, key: signingKey.publicKey },
      // By the time that its notes carry, which never goes back: clients hold an expiry against those.
      now: Math.max(environment.now(), this.#latest),
      seenRoots: await this.#roots.seenBy(pushes, this.#view),
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
    this.#growth.add(entries)
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
    this.#roots.remember(head.checkpoint.size, head.checkpoint.root)
  }

  /** An append that did not land on a log that is as it was: nobody was faster, so something else is wrong. */
  #assertMoved(): void {
    this.#lost.assertNone(this.#view.range.size)
    throw new SealogError('ERR_STORE', 'the store refuses entries that follow its own')
  }
}
