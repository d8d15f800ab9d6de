import { createHash } from 'node:crypto'
import {
  type NodeAt,
  proveConsistency,
  proveInclusion,
  rootAt,
  verifyConsistency,
  verifyInclusion,
} from 'sealog/protocol'
import { type Figure, microseconds } from './measure.ts'

const HASH = 32
/** Proofs of each kind. */
const PROOFS = 500

/** Inclusion and consistency in a log of this size: the leaves are made up, the tree is whole. */
export function benchLogProofs(size: number): readonly Figure[] {
  const nodeAt = buildTree(size)
  const root = rootAt(size, nodeAt)
  const name = size.toLocaleString('en')
  const floor = HASH * Math.ceil(Math.log2(size))

  const indices = spread(PROOFS, size)
  const inclusions = indices.map(index => ({
    index,
    size,
    root,
    leafHash: nodeAt(0, index),
    proof: proveInclusion(index, size, nodeAt),
  }))
  const sizes = spread(PROOFS, size - 1).map(index => index + 1)
  const consistencies = sizes.map(size1 => ({
    size1,
    root1: rootAt(size1, nodeAt),
    size2: size,
    root2: root,
    proof: proveConsistency(size1, size, nodeAt),
  }))
  return [
    { case: `inclusion proof, ${name} entries`, value: largest(inclusions), unit: 'bytes', floor },
    {
      case: `make inclusion proof, ${name} entries`,
      value: microseconds(PROOFS, i => proveInclusion(indices[i] as number, size, nodeAt)),
      unit: 'µs',
    },
    {
      case: `verify inclusion proof, ${name} entries`,
      value: microseconds(PROOFS, i => verifyInclusion(inclusions[i] as (typeof inclusions)[number])),
      unit: 'µs',
    },
    { case: `consistency proof, ${name} entries`, value: largest(consistencies), unit: 'bytes', floor },
    {
      case: `make consistency proof, ${name} entries`,
      value: microseconds(PROOFS, i => proveConsistency(sizes[i] as number, size, nodeAt)),
      unit: 'µs',
    },
    {
      case: `verify consistency proof, ${name} entries`,
      value: microseconds(PROOFS, i => verifyConsistency(consistencies[i] as (typeof consistencies)[number])),
      unit: 'µs',
    },
  ]
}

function largest(proven: readonly { readonly proof: readonly Uint8Array[] }[]): number {
  return HASH * Math.max(...proven.map(({ proof }) => proof.length))
}

/** Numbers below `limit` with no pattern that a tree would care about, the same in every run; the last one is there. */
function spread(count: number, limit: number): readonly number[] {
  return Array.from({ length: count }, (_, i) =>
    i === 0 ? limit - 1 : Math.floor(((i * 0.618_033_988_75) % 1) * limit),
  )
}

/** The complete subtrees over `size` leaves, level by level: 64 bytes for each leaf. */
function buildTree(size: number): NodeAt {
  const leaves = new Uint8Array(size * HASH)
  for (let i = 0; i < size; i++) leaves.set(createHash('sha256').update(`leaf ${i}`).digest(), i * HASH)
  const levels = [leaves]
  for (let below = leaves, count = size >> 1; count > 0; count >>= 1) {
    const level = new Uint8Array(count * HASH)
    const prefix = Uint8Array.of(1)
    for (let i = 0; i < count; i++) {
      const children = below.subarray(2 * i * HASH, 2 * (i + 1) * HASH)
      level.set(createHash('sha256').update(prefix).update(children).digest(), i * HASH)
    }
    levels.push(level)
    below = level
  }
  return (level, index) => {
    const nodes = levels[level]
    if (nodes === undefined || (index + 1) * HASH > nodes.length) throw new RangeError(`no node ${index} on ${level}`)
    return nodes.subarray(index * HASH, (index + 1) * HASH)
  }
}
