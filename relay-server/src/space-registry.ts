import type { SpaceId } from 'sealog/protocol'
import type { RelayContext } from './context.ts'
import { Cosignatures } from './cosignatures.ts'
import { Restoration } from './restoration.ts'
import { recoverSpace } from './space-recovery.ts'
import { SpaceSequencer } from './space-sequencer.ts'
import { WrapProofs } from './wrap-proofs.ts'

/** Somebody's hold on an open space: it stays in memory until everyone has released it. */
export interface Lease {
  readonly sequencer: SpaceSequencer
  readonly cosignatures: Cosignatures
  readonly restoration: Restoration
  readonly wraps: WrapProofs
  /** To be called once, when nothing of the holder is under way in the space. */
  release(): void
}

type Parts = Omit<Lease, 'release'>

interface OpenSpace {
  readonly space: SpaceId
  readonly parts: Promise<Parts>
  holders: number
  /** Is there nothing to it yet, so that it can be forgotten at once? */
  isEmpty: () => boolean
  /** May it be forgotten at all? What it has lost, it may know from a replica alone. */
  isPinned: () => boolean
}

/** The spaces that are in memory: opened when first asked for, closed when unused for longest. */
export class SpaceRegistry {
  readonly #context: RelayContext
  readonly #open = new Map<SpaceId, OpenSpace>()
  /** Nobody holds these; the one unused for longest first. */
  readonly #idle = new Map<SpaceId, OpenSpace>()
  readonly #restoring = { bytes: 0 }

  constructor(context: RelayContext) {
    this.#context = context
  }

  /**
   * A space that does not exist comes without entries.
   * @throws SealogError ERR_RELAY_STORAGE where it cannot be served
   */
  async acquire(space: SpaceId): Promise<Lease> {
    const entry = this.#open.get(space) ?? this.#load(space)
    this.#idle.delete(space)
    entry.holders++
    let isHeld = true
    const release = (): void => {
      if (!isHeld) return
      isHeld = false
      this.#release(entry)
    }
    try {
      return { ...(await entry.parts), release }
    } catch (error) {
      release()
      throw error
    }
  }

  /** Resolves when nothing that was asked of any space is under way. */
  async settle(): Promise<void> {
    const opened = await Promise.allSettled([...this.#open.values()].map(entry => entry.parts))
    await Promise.all(opened.map(result => (result.status === 'fulfilled' ? result.value.sequencer.idle() : undefined)))
  }

  #load(space: SpaceId): OpenSpace {
    const parts = this.#bring(space)
    const entry: OpenSpace = { space, parts, holders: 0, isEmpty: () => false, isPinned: () => false }
    this.#open.set(space, entry)
    parts.then(
      ({ sequencer }) => {
        entry.isEmpty = () => sequencer.head === undefined
        entry.isPinned = () => sequencer.behind !== undefined
      },
      // What contradicts itself stays closed, without being read again for everyone who asks.
      error => this.#context.log({ level: 'error', event: 'space-refused', space, reason: String(error) }),
    )
    return entry
  }

  async #bring(space: SpaceId): Promise<Parts> {
    const sequencer = new SpaceSequencer(this.#context, await recoverSpace(this.#context, space))
    return {
      sequencer,
      cosignatures: new Cosignatures(this.#context, sequencer),
      restoration: new Restoration(this.#context, sequencer, this.#restoring),
      wraps: new WrapProofs(this.#context.store, space),
    }
  }

  #release(entry: OpenSpace): void {
    entry.holders--
    if (entry.holders > 0 || entry.isPinned()) return
    if (entry.isEmpty()) {
      this.#open.delete(entry.space)
      return
    }
    this.#idle.set(entry.space, entry)
    for (const space of this.#idle.keys()) {
      if (this.#idle.size <= this.#context.limits.idleSpaces) break
      this.#idle.delete(space)
      this.#open.delete(space)
    }
  }
}
