import { type NodeAt, rootAt } from 'sealog/protocol'
import type { Append } from './log-store.ts'

const HASH_LENGTH = 32
const FIRST_ROOM = 1024

/** The tree of a log in memory, 64 bytes for each entry: for logs that stand in no store that could be asked. */
export class LeafTree {
  readonly #levels: { bytes: Uint8Array; count: number }[] = []

  add({ entries, nodes }: Append): void {
    for (const { hash } of entries) this.#push(0, hash)
    for (const [level, , hash] of nodes) this.#push(level, hash)
  }

  /** Roots (32 bytes) of the first so many entries, at most as many as were added. */
  rootsAt(sizes: readonly number[]): ReadonlyMap<number, Uint8Array> {
    const nodeAt: NodeAt = (level, index) =>
      this.#levels[level]?.bytes.slice(index * HASH_LENGTH, (index + 1) * HASH_LENGTH) ?? new Uint8Array(0)
    return new Map(sizes.map(size => [size, rootAt(size, nodeAt)]))
  }

  /** Complete subtrees of one level come about in the order of their places. */
  #push(number: number, hash: Uint8Array): void {
    const level = this.#levels[number] ?? { bytes: new Uint8Array(FIRST_ROOM * HASH_LENGTH), count: 0 }
    this.#levels[number] = level
    if (level.bytes.length === level.count * HASH_LENGTH) {
      const larger = new Uint8Array(2 * level.bytes.length)
      larger.set(level.bytes)
      level.bytes = larger
    }
    level.bytes.set(hash, level.count * HASH_LENGTH)
    level.count++
  }
}
