import {
  type DeliveryRecord,
  equalBytes,
  type NodeAt,
  nodeHash,
  type ProvenWrap,
  proveInclusion,
  rootAt,
  type SpaceId,
  wrapLeaf,
} from 'sealog/protocol'
import type { LogStore } from './log-store.ts'

/** Leaves of deliveries that are kept at hand in one space: with the nodes above them some 8 MiB. */
const KEPT_LEAVES = 65_536

/** The complete subtrees over the wraps of one delivery, by level; undefined where the relay does not have them all. */
type Tree = { readonly levels: readonly (readonly Uint8Array[])[] } | undefined

/**
 * What the deliveries of one space hold for single devices, with the proof. When an epoch starts all devices ask for the
 * same delivery, so the trees of those asked for last are kept.
 */
export class WrapProofs {
  readonly #store: LogStore
  readonly #space: SpaceId
  /** By place in the log of the entry, the one used last at the end. */
  readonly #trees = new Map<number, Tree>()
  readonly #room: number
  #leaves = 0

  /** @param room for so many leaves */
  constructor(store: LogStore, space: SpaceId, room: number = KEPT_LEAVES) {
    this.#store = store
    this.#space = space
    this.#room = room
  }

  /** Is the tree at hand, so that a proof costs little? */
  has(delivery: DeliveryRecord): boolean {
    return this.#trees.has(delivery.index)
  }

  /**
   * The wrap for this device; undefined where the delivery has none, or the relay has not got the delivery.
   * @throws SealogError whatever the store throws
   */
  async prove(delivery: DeliveryRecord, device: number): Promise<ProvenWrap | undefined> {
    const stored = await this.#store.readWrap(this.#space, delivery.index, device)
    const tree = stored && (await this.#treeOf(delivery))
    if (stored === undefined || tree === undefined) return undefined
    const { position, wrap } = stored
    return { device, position, wrap, proof: proveInclusion(position, delivery.wrapsCount, nodesOf(tree.levels)) }
  }

  async #treeOf(delivery: DeliveryRecord): Promise<Tree> {
    const isKnown = this.#trees.has(delivery.index)
    const tree = isKnown ? this.#trees.get(delivery.index) : await this.#build(delivery)
    this.#keep(delivery.index, tree)
    return tree
  }

  /** A store that gives back other wraps than it took must not lead to a proof that does not verify. */
  async #build({ index, wrapsCount, wrapsRoot }: DeliveryRecord): Promise<Tree> {
    const wraps = await this.#store.readWraps(this.#space, index)
    const levels = [wraps.map(({ device, wrap }) => wrapLeaf(device, wrap))]
    for (let below = levels[0] ?? []; below.length > 1; below = levels.at(-1) ?? []) {
      const above = Array.from({ length: Math.floor(below.length / 2) }, (_, i) =>
        nodeHash(below[2 * i] as Uint8Array, below[2 * i + 1] as Uint8Array),
      )
      levels.push(above)
    }
    const isWhole = wraps.length === wrapsCount && equalBytes(rootAt(wrapsCount, nodesOf(levels)), wrapsRoot)
    return isWhole ? { levels } : undefined
  }

  #keep(index: number, tree: Tree): void {
    this.#forget(index)
    this.#trees.set(index, tree)
    this.#leaves += leavesOf(tree)
    for (const oldest of this.#trees.keys()) {
      if (this.#leaves <= this.#room || oldest === index) break
      this.#forget(oldest)
    }
  }

  #forget(index: number): void {
    this.#leaves -= this.#trees.has(index) ? leavesOf(this.#trees.get(index)) : 0
    this.#trees.delete(index)
  }
}

/** What is not there takes a place too. */
function leavesOf(tree: Tree): number {
  return 1 + (tree?.levels[0]?.length ?? 0)
}

function nodesOf(levels: readonly (readonly Uint8Array[])[]): NodeAt {
  return (level, index) => levels[level]?.[index] as Uint8Array
}
