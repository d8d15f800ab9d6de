import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { fromBase64 } from '../../src/bytes.ts'
import { verifyConsistency, verifyInclusion } from '../../src/verify/merkle.ts'
import { describeShared } from '../helpers/shared.ts'

interface Case {
  readonly name: string
  readonly proof: readonly string[] | null
  readonly wantErr: boolean
}

interface InclusionCase extends Case {
  readonly leafIdx: number
  readonly treeSize: number
  readonly leafHash: string
  readonly root: string
}

interface ConsistencyCase extends Case {
  readonly size1: number
  readonly root1: string
  readonly size2: number
  readonly root2: string
}

function read<T>(path: string): readonly T[] {
  return JSON.parse(readFileSync(path, 'utf8'))
}

function judge(vector: Case, verify: () => void): void {
  if (vector.wantErr) expect(verify).toThrow('ERR_PROOF')
  else verify()
}

const proofOf = (vector: Case): Uint8Array[] => (vector.proof ?? []).map(fromBase64)

describeShared('RFC 6962 inclusion proofs, public vectors', ['vectors', 'merkle', 'inclusion.json'], path => {
  const vectors = read<InclusionCase>(path)

  it('are 98, valid ones among them', () => {
    expect(vectors).toHaveLength(98)
    expect(vectors.some(vector => !vector.wantErr)).toBe(true)
  })

  it.each(vectors)('$name', vector => {
    judge(vector, () =>
      verifyInclusion({
        index: vector.leafIdx,
        size: vector.treeSize,
        leafHash: fromBase64(vector.leafHash),
        proof: proofOf(vector),
        root: fromBase64(vector.root),
      }),
    )
  })
})

describeShared('RFC 6962 consistency proofs, public vectors', ['vectors', 'merkle', 'consistency.json'], path => {
  const vectors = read<ConsistencyCase>(path)

  it('are 98, valid ones among them', () => {
    expect(vectors).toHaveLength(98)
    expect(vectors.some(vector => !vector.wantErr)).toBe(true)
  })

  it.each(vectors)('$name', vector => {
    judge(vector, () =>
      verifyConsistency({
        size1: vector.size1,
        root1: fromBase64(vector.root1),
        size2: vector.size2,
        root2: fromBase64(vector.root2),
        proof: proofOf(vector),
      }),
    )
  })
})
