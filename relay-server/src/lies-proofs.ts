import { type Batch, ZERO_32 } from 'sealog/protocol'
import { forgeLog } from './forged-log.ts'
import { batchLie, checkpointOf, flip, type Lie, replaceAt, type Teller } from './lie.ts'

type Proof = readonly Uint8Array[]

/** Wrong proofs beside entries and a note that are true. */
export const PROOF_LIES: readonly Lie[] = [
  batchLie({
    name: 'unneeded-consistency',
    says: 'a consistency proof comes where none is due',
    expected: ['ERR_PROOF'],
    batch: batch => ({ ...batch, consistency: [...batch.consistency, ZERO_32] }),
  }),
  consistencyLie('flip', 'a bit is flipped in', proof => proof.length > 0 && replaceAt(proof, 0, flipFirst(proof))),
  consistencyLie('truncated', 'the last hash is missing in', proof => proof.length > 0 && proof.slice(0, -1)),
  consistencyLie('extended', 'a hash follows', proof => [...proof, ZERO_32]),
  consistencyLie('reversed', 'the hashes are the wrong way round in', proof => proof.length > 1 && proof.toReversed()),
  consistencyLie('doubled', 'every hash is there twice in', proof => proof.length > 0 && proof.flatMap(twice)),
  consistencyLie('missing', 'there are no hashes in', proof => proof.length > 0 && []),
  batchLie({
    name: 'unneeded-seen-proof',
    says: 'a proof comes for a size that no header names',
    expected: ['ERR_PROOF'],
    batch: batch => {
      const size = Math.max(1, batch.from - 1)
      if (batch.seenProofs.some(item => item.size === size)) return undefined
      return { ...batch, seenProofs: [...batch.seenProofs, { size, proof: [ZERO_32] }] }
    },
  }),
  batchLie({
    name: 'doubled-seen-proof',
    says: 'the proof of what an author had seen comes twice',
    expected: ['ERR_PROOF'],
    batch: batch =>
      batch.seenProofs.length > 0 ? { ...batch, seenProofs: batch.seenProofs.flatMap(twice) } : undefined,
  }),
  batchLie({
    name: 'missing-seen-proof',
    says: 'the proof of what an author had seen is missing',
    expected: ['ERR_PROOF'],
    batch: batch => (batch.seenProofs.length > 0 ? { ...batch, seenProofs: batch.seenProofs.slice(1) } : undefined),
  }),
  batchLie({
    name: 'seen-proof-of-another-size',
    says: 'the proof of what an author had seen is called one for another size',
    expected: ['ERR_PROOF'],
    batch: batch => seenLie(batch, (size, proof) => ({ size: size + 1, proof })),
  }),
  seenProofLie('flip', 'a bit is flipped in', proof => proof.length > 0 && replaceAt(proof, 0, flipFirst(proof))),
  seenProofLie('truncated', 'the last hash is missing in', proof => proof.length > 0 && proof.slice(0, -1)),
  seenProofLie('extended', 'a hash follows', proof => [...proof, ZERO_32]),
  seenProofLie('reversed', 'the hashes are the wrong way round in', proof => proof.length > 1 && proof.toReversed()),
]

/** In a batch that ends before the note, as any relay may send it: only there is consistency to be proven. */
function consistencyLie(name: string, what: string, change: (proof: Proof) => Proof | false): Lie {
  return batchLie({
    name: `${name}-consistency`,
    says: `${what} the proof that the log goes on to the note`,
    expected: ['ERR_PROOF'],
    batch: (batch, teller) => {
      const part = firstPart(batch, teller)
      const consistency = part && change(part.consistency)
      return part && consistency ? { ...part, consistency } : undefined
    },
  })
}

function seenProofLie(name: string, what: string, change: (proof: Proof) => Proof | false): Lie {
  return batchLie({
    name: `${name}-seen-proof`,
    says: `${what} the proof of what an author had seen`,
    expected: ['ERR_PROOF'],
    batch: batch =>
      seenLie(batch, (size, proof) => {
        const changed = change(proof)
        return changed && { size, proof: changed }
      }),
  })
}

type SeenProof = Batch['seenProofs'][number]

function seenLie(batch: Batch, change: (size: number, proof: Proof) => SeenProof | false): Batch | undefined {
  const [first, ...rest] = batch.seenProofs
  const changed = first && change(first.size, first.proof)
  return changed ? { ...batch, seenProofs: [changed, ...rest] } : undefined
}

/** The batch without its last entry, with all that is due then. */
function firstPart(batch: Batch, { log }: Teller): Batch | undefined {
  const checkpoint = checkpointOf(batch)
  if (batch.entries.length < 2) return undefined
  const forged = forgeLog(log.slice(0, checkpoint.size))
  return forged.batch(batch, batch.from, { checkpoint, note: batch.note }, batch.entries.length - 1)
}

function flipFirst([first]: Proof): Uint8Array {
  return flip(first as Uint8Array, 0)
}

function twice<T>(item: T): readonly T[] {
  return [item, item]
}
