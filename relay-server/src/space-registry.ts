import { hasCode, SealogError, type SpaceId } from 'sealog/protocol'
import type { RelayContext } from './context.ts'
import { Cosignatures } from './cosignatures.ts'
import { LogEnd } from './log-end.ts'
import { Restoration } from './restoration.ts'
import type { Loader } from './space-loads.ts'
import { recoverSpace } from './space-recovery.ts'
import { SpaceSequencer } from './space-sequencer.ts'
import { SpaceWeight } from './space-weight.ts'
import { storageError } from './storage-error.ts'
import { WrapProofs } from './wrap-proofs.ts'

/** After the store failed, a space is read anew at the earliest after so many milliseconds. */
const RETRY_AFTER = 500

/** Somebody's hold on an open space: it stays in memory until everyone has released it. */
export interface Lease {
  readonly sequencer: SpaceSequencer
  readonly cosignatures: Cosignatures
  readonly restoration: Restoration
  readonly wraps: WrapProofs
  readonly weight: SpaceWeight
  /** What was brought into memory for this hold, in bytes; 0 where the space was there already. */
  readonly loaded: number
  /** To be called once, when nothing of the holder is under way in the space. */
  release(): void
}

type Parts = Omit<Lease, 'release' | 'loaded'>

interface OpenSpace {
  readonly space: SpaceId
  readonly parts: Promise<Parts>
  holders: number
  /** Is there nothing to it yet, so that it can be forgotten at once? */
  isEmpty: () => boolean
  /** What it takes in memory, in bytes, as far as it is known. */
  weight: () => number
  /** It was found to be wrong in a way that opening it does not show. */
  readonly isRefused: boolean
}

/** The spaces that are in memory: opened when first asked for, closed when unused for longest or when they failed. */
export class SpaceRegistry {
  readonly #context: RelayContext
  readonly #open = new Map<SpaceId, OpenSpace>()
  /** Nobody holds these; the one unused for longest first. */
  readonly #idle = new Map<SpaceId, OpenSpace>()
  readonly #restoring = { bytes: 0 }
  readonly #stopListening: () => void

  constructor(context: RelayContext) {
    this.#context = context
    this.#stopListening = context.store.onGrown(space => this.#onGrown(space))
  }

  /**
   * A space that does not exist comes without entries.
   * @param loader for whom it is, where that counts: it may have to wait until the space may be brought into memory
   * @throws SealogError ERR_RELAY_STORAGE where it cannot be served; ERR_RATE_LIMITED
   */
  async acquire(space: SpaceId, loader?: Loader): Promise<Lease> {
    if (loader === undefined || this.#open.has(space)) return this.#hold(this.#open.get(space) ?? this.#load(space), 0)
    const pass = await this.#context.gate.loads.begin(loader)
    // Somebody else's turn may have come before.
    const known = this.#open.get(space)
    if (known !== undefined) {
      pass.done(0)
      return this.#hold(known, 0)
    }
    const entry = this.#load(space)
    const loading = entry.parts.then(
      ({ weight }) => weight.bytes,
      () => 0,
    )
    void loading.then(pass.done)
    return this.#hold(entry, loading)
  }

  async #hold(entry: OpenSpace, loading: number | Promise<number>): Promise<Lease> {
    this.#idle.delete(entry.space)
    entry.holders++
    let isHeld = true
    const release = (): void => {
      if (!isHeld) return
      isHeld = false
      this.#release(entry)
    }
    try {
      return { ...(await entry.parts), loaded: await loading, release }
    } catch (error) {
      release()
      throw error
    }
  }

  /** Stops a space whose stored log turned out to be wrong; it is refused from now on. */
  async refuse(space: SpaceId, error: SealogError): Promise<void> {
    const entry = this.#open.get(space)
    const failure = storageError(error)
    const parts = Promise.reject(failure)
    parts.catch(() => {})
    const { sequencer } = (await entry?.parts.catch(() => undefined)) ?? {}
    this.#idle.delete(space)
    this.#open.set(space, { space, parts, holders: 0, isEmpty: () => false, weight: () => 0, isRefused: true })
    sequencer?.stop(failure)
    if (sequencer === undefined)
      this.#context.log({ level: 'error', event: 'space-refused', space, reason: error.message })
  }

  /** Resolves when nothing that was asked of any space is under way. */
  async settle(): Promise<void> {
    const opened = await Promise.allSettled([...this.#open.values()].map(entry => entry.parts))
    await Promise.all(opened.map(result => (result.status === 'fulfilled' ? result.value.sequencer.idle() : undefined)))
  }

  /** Hears no more of other processes. */
  close(): void {
    this.#stopListening()
  }

  #onGrown(space: SpaceId | undefined): void {
    const grown = space === undefined ? [...this.#open.values()] : [this.#open.get(space)]
    for (const entry of grown) {
      // Whoever opens one that nobody holds makes it follow.
      if (entry === undefined || entry.holders === 0) continue
      entry.parts.then(
        ({ sequencer }) => sequencer.onGrown(),
        () => {},
      )
    }
  }

  #load(space: SpaceId): OpenSpace {
    const parts = this.#bring(space, failure => this.#forget(entry, failure))
    const entry: OpenSpace = { space, parts, holders: 0, isEmpty: () => false, weight: () => 0, isRefused: false }
    this.#open.set(space, entry)
    this.#context.meter.spaceOpened()
    parts.then(
      ({ sequencer, weight }) => {
        entry.isEmpty = () => sequencer.size === 0 && sequencer.behind === undefined
        entry.weight = () => weight.bytes
      },
      error => {
        this.#context.log({ level: 'error', event: 'space-refused', space, reason: reasonOf(error) })
        this.#forget(entry, error)
      },
    )
    return entry
  }

  async #bring(space: SpaceId, onFailed: (error: SealogError) => void): Promise<Parts> {
    const context = this.#context
    try {
      const recovered = await recoverSpace(context, space)
      const end = new LogEnd(context, recovered)
      const { size } = recovered.view.range
      if (recovered.behind === undefined && (recovered.head?.checkpoint.size ?? 0) !== size) {
        context.log({ level: 'warn', event: 'signing-after-crash', space, size })
        await end.follow()
      }
      const sequencer = new SpaceSequencer(context, end, onFailed)
      return {
        sequencer,
        cosignatures: new Cosignatures(context, sequencer),
        restoration: new Restoration(context, sequencer, this.#restoring),
        wraps: new WrapProofs(context.store, space),
        weight: new SpaceWeight(() => end.view),
      }
    } catch (error) {
      throw hasCode(error, 'ERR_UNKNOWN_SPACE') ? error : storageError(error)
    }
  }

  /**
   * What failed is read anew for whoever asks next, a little later, as all who held it ask at once. What contradicts
   * itself stays closed, without being read again for everyone who asks.
   */
  #forget(entry: OpenSpace, failure: unknown): void {
    const isCorrupt = failure instanceof SealogError && hasCode(failure.cause, 'ERR_STORE_CORRUPT')
    this.#context.meter.spaceFailed(isCorrupt ? 'corrupt' : 'storage')
    if (isCorrupt) return
    this.#context.environment.schedule(RETRY_AFTER, () => {
      if (this.#open.get(entry.space) === entry) this.#drop(entry)
    })
  }

  #release(entry: OpenSpace): void {
    entry.holders--
    if (entry.holders > 0 || entry.isRefused || this.#open.get(entry.space) !== entry) return
    if (entry.isEmpty()) {
      this.#drop(entry)
      return
    }
    this.#idle.set(entry.space, entry)
    this.#makeRoom()
  }

  /** The one unused for longest goes first. The last one stays, however large: whoever comes back to it is served at once. */
  #makeRoom(): void {
    const { idleSpaces, idleBytes } = this.#context.limits
    let bytes = 0
    for (const entry of this.#idle.values()) bytes += entry.weight()
    for (const oldest of this.#idle.values()) {
      const isWithin = this.#idle.size <= idleSpaces && (bytes <= idleBytes || this.#idle.size <= 1)
      if (isWithin) break
      bytes -= oldest.weight()
      this.#drop(oldest)
    }
  }

  #drop(entry: OpenSpace): void {
    this.#idle.delete(entry.space)
    this.#open.delete(entry.space)
    this.#context.meter.spaceClosed()
    entry.parts.then(
      ({ sequencer }) => sequencer.leave(),
      () => {},
    )
  }
}

function reasonOf(error: unknown): string {
  return error instanceof SealogError && error.cause instanceof Error ? error.cause.message : String(error)
}
