import { rootAt, rootOf } from 'sealog/protocol'
import { type Push, type SpaceView, seenSizesOf } from './judge.ts'
import type { LogStore } from './log-store.ts'
import { withNodes } from './tree-reader.ts'

/** Roots kept at hand: most authors have seen one of the latest sizes. */
const KNOWN_ROOTS = 256

/** Roots that one log had, by its size: those used last, and any other from the store. */
export class KnownRoots {
  readonly #store: LogStore
  readonly #roots = new Map<number, Uint8Array>()

  constructor(store: LogStore) {
    this.#store = store
  }

  /** The root at a size, 32 bytes, where it is at hand. */
  get(size: number): Uint8Array | undefined {
    return this.#roots.get(size)
  }

  /** @param root 32 bytes: a root of this very log */
  remember(size: number, root: Uint8Array): void {
    this.#roots.delete(size)
    this.#roots.set(size, root)
    if (this.#roots.size <= KNOWN_ROOTS) return
    for (const oldest of this.#roots.keys()) {
      if (this.#roots.size <= KNOWN_ROOTS) break
      this.#roots.delete(oldest)
    }
  }

  /**
   * The root at every size up to that of the view that an entry of the pushes names as seen.
   * @throws SealogError whatever the store throws
   */
  async seenBy(pushes: readonly Push[], { space, range }: SpaceView): Promise<ReadonlyMap<number, Uint8Array>> {
    const sizes = [...seenSizesOf(pushes)].filter(size => size <= range.size)
    const unknown = sizes.filter(size => !this.#roots.has(size))
    const roots = await withNodes(this.#store, space, nodeAt =>
      unknown.map(size => (size === range.size ? rootOf(range) : rootAt(size, nodeAt))),
    )
    const known = new Map(sizes.map(size => [size, this.#roots.get(size) as Uint8Array]))
    for (const [i, size] of unknown.entries()) known.set(size, roots[i] as Uint8Array)
    for (const [size, root] of known) this.remember(size, root)
    return known
  }
}
