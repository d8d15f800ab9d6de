import { describe, expect, it } from 'vitest'
import { type Adoption, SnapshotContradicted } from '../../src/crdt/adopt.ts'
import { type TakeDocumentOptions, takeDocument } from '../../src/crdt/take-document.ts'
import type { UncheckedChain } from '../../src/crdt/unchecked.ts'
import type { SpaceState } from '../../src/verify/state.ts'
import { DOCUMENT } from '../helpers/log-builder.ts'

describe('a snapshot that contradicts what was replayed here (R-SNAPSHOT-12)', () => {
  it('is not taken: nothing is written, its memory is given up, and its authors are named', async () => {
    const done: string[] = []
    const step = (name: string) => (): never => void done.push(name) as never
    const contradicted = { actor: 'a'.repeat(32), covered: 7 } as unknown as UncheckedChain
    const options = {
      log: { keep: step('keep') },
      holdings: { held: new Set(), hold: step('hold') },
      documents: { adopting: step('plan'), adopted: step('show') },
      tags: {
        due: new Map(),
        taking: async () => ({ puts: [], deletes: [], unchecked: undefined, contradicted }),
        contradicted: (_: unknown, chain: UncheckedChain) => void done.push(`named ${chain.covered}`),
        taken: step('taken'),
      },
    } as unknown as TakeDocumentOptions
    const adoption = { document: DOCUMENT, discard: step('discard') } as unknown as Adoption
    await expect(takeDocument(DOCUMENT, {} as SpaceState, adoption, options)).rejects.toThrow(SnapshotContradicted)
    expect(done).toEqual(['named 7', 'discard'])
  })
})
