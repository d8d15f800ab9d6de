import { equalBytes } from '../bytes.ts'
import { SealogError } from '../errors.ts'
import { type Checkpoint, type Note, originOf } from '../verify/checkpoint.ts'
import { contradiction, judgeEvidence } from '../verify/judge.ts'
import { verifyConsistency, verifyInclusion } from '../verify/merkle.ts'
import type { Finding, Outcome, Verdict } from '../verify/verdict.ts'
import { type Input, readInput } from './input.ts'
import type { ConsistencyFile, InclusionFile, ProofFile, ProofTree } from './proof-file.ts'
import { foreignNote, type KnownRelay } from './relay-key.ts'
import { accusedFacts, type Facts, type Report } from './report.ts'

/**
 * Judges files together: evidence by itself; one checkpoint; two checkpoints, with or without a proof between them; a
 * proof, by itself or with the checkpoints that it leads to. Throws nothing for what stands in the files.
 */
export function verifyFiles(files: readonly Uint8Array[], relay: KnownRelay): Report {
  try {
    return judgeFiles(files, relay)
  } catch (error) {
    if (!(error instanceof SealogError)) throw error
    const steps = [error.message]
    return { verdict: 'unusable', subject: 'files', facts: {}, steps, meaning: MEANINGS.unusable }
  }
}

function judgeFiles(files: readonly Uint8Array[], relay: KnownRelay): Report {
  const inputs = files.map(readInput)
  const [first, ...others] = inputs
  if (first?.type === 'evidence') {
    if (others.length > 0) throw unusable('evidence is judged by itself')
    return verifyEvidence(first.bytes, relay)
  }
  const notes = inputs.flatMap(input => (input.type === 'checkpoint' ? [input.note] : []))
  const proofs = inputs.flatMap(input => (input.type === 'proof' ? [input.proof] : []))
  assertCombination(inputs, notes, proofs)
  const steps: string[] = []
  const finding = judgeNotes(notes, relay, steps) ?? judgeClaim(notes, proofs[0], steps)
  return {
    verdict: finding.verdict,
    subject: subjectOf(notes, proofs[0]),
    facts: factsOf(notes),
    steps: [...steps, finding.reason],
    meaning: MEANINGS[finding.verdict],
  }
}

const MEANINGS: Readonly<Record<Outcome, string>> = {
  holds: 'what the files say is proven',
  refuted: 'what the files say is not so, or not proven by them',
  unusable: 'the files do not decide it',
}

function assertCombination(inputs: readonly Input[], notes: readonly Note[], proofs: readonly ProofFile[]): void {
  if (inputs.some(input => input.type === 'evidence')) throw unusable('evidence is judged by itself')
  if (notes.length > 2 || proofs.length > 1) throw unusable('expected at most two checkpoints and one proof')
}

// -- Evidence -----------------------------------------------------------------------------------------------------

/** For evidence, "holds" is bad news: so the verdict says whom it is about and what it means. */
function verifyEvidence(bytes: Uint8Array, known: KnownRelay): Report {
  const judged = judgeEvidence(bytes)
  const other = judged.verdict === 'holds' ? otherThanMeant(judged, known) : undefined
  const verdict = other === undefined ? judged.verdict : 'refuted'
  return {
    verdict,
    subject: judged.kind === undefined ? 'evidence' : `evidence of kind ${judged.kind}`,
    facts: accusedFacts(judged),
    steps: [...judged.reasons, ...(other === undefined ? [] : [other])],
    meaning: EVIDENCE_MEANINGS[verdict],
  }
}

const EVIDENCE_MEANINGS: Readonly<Record<Outcome, string>> = {
  holds: 'the evidence holds: the holder of this relay key contradicted itself, by its own signatures',
  refuted: 'the evidence does not show that the relay contradicted itself',
  unusable: 'the evidence cannot be judged',
}

/** Evidence against one relay says nothing about another. */
function otherThanMeant({ relay, space }: Verdict, { key, origin }: KnownRelay): string | undefined {
  if (relay === undefined || space === undefined) return undefined
  if (key !== undefined && !equalBytes(relay.key, key)) return 'but it accuses another relay key than the one given'
  if (origin !== undefined && originOf(relay.name, space) !== origin) return `but it is not about ${origin}`
  return undefined
}

// -- Checkpoints and proofs ---------------------------------------------------------------------------------------

function factsOf(notes: readonly Note[]): Facts {
  const named = notes.flatMap(({ checkpoint: { origin, size, time } }, at) => {
    const of = notes.length === 1 ? '' : ` of checkpoint ${at + 1}`
    return Object.entries({ origin, size, time }).map(([name, value]) => [`${name}${of}`, value] as const)
  })
  return Object.fromEntries(named)
}

function subjectOf(notes: readonly Note[], proof: ProofFile | undefined): string {
  const checkpoints = ['', 'a checkpoint', 'two checkpoints'][notes.length] ?? ''
  return [proof === undefined ? '' : `${PROOFS[proof.type]} proof`, checkpoints]
    .filter(part => part !== '')
    .join(' with ')
}

const PROOFS = { inclusion: 'an inclusion', consistency: 'a consistency' } as const

/** @returns why the notes are not by the relay that is meant; undefined where they are */
function judgeNotes(notes: readonly Note[], { key, origin }: KnownRelay, steps: string[]): Finding | undefined {
  const [first] = notes
  if (first === undefined) return undefined
  if (key === undefined) throw unusable('a checkpoint says nothing without the key of its relay: --key is missing')
  for (const note of notes) {
    // Two checkpoints are compared, so they are about one log, whatever its name.
    const foreign = foreignNote(note, key, origin ?? first.checkpoint.origin)
    if (foreign !== undefined) return { verdict: 'refuted', reason: foreign }
    steps.push(`the relay signed ${note.checkpoint.size} entries of ${note.checkpoint.origin}`)
  }
  return undefined
}

function judgeClaim(notes: readonly Note[], proof: ProofFile | undefined, steps: string[]): Finding {
  const [a, b] = notes.map(note => note.checkpoint)
  if (a !== undefined && b !== undefined) {
    const reason = contradiction(a, b)
    if (reason !== undefined) return { verdict: 'refuted', reason: `the checkpoints contradict each other: ${reason}` }
    steps.push('the checkpoints do not contradict each other')
  }
  if (proof !== undefined) return judgeProof(proof, notes, steps)
  if (a === undefined || b === undefined) return { verdict: 'holds', reason: 'the signature verifies' }
  if (a.size === b.size) return { verdict: 'holds', reason: 'they are about the same log' }
  return { verdict: 'unusable', reason: 'whether one log is how the other begins takes a consistency proof' }
}

function judgeProof(proof: ProofFile, notes: readonly Note[], steps: string[]): Finding {
  const trees = proof.type === 'inclusion' ? [proof.tree] : [proof.smaller, proof.larger]
  const checkpoints = notes.map(note => note.checkpoint)
  for (const { size } of checkpoints) {
    if (!trees.some(tree => tree.size === size)) throw unusable(`the proof does not speak of ${size} entries`)
  }
  for (const tree of trees) {
    const other = checkpoints.find(({ size, root }) => size === tree.size && !equalBytes(root, tree.root ?? root))
    if (other !== undefined)
      return { verdict: 'refuted', reason: `the relay signed another root for ${tree.size} entries` }
  }
  try {
    return proof.type === 'inclusion'
      ? checkInclusion(proof, checkpoints, steps)
      : checkConsistency(proof, checkpoints, steps)
  } catch (error) {
    if (error instanceof SealogError && error.code === 'ERR_PROOF') return { verdict: 'refuted', reason: error.message }
    throw error
  }
}

function checkInclusion(file: InclusionFile, checkpoints: readonly Checkpoint[], steps: string[]): Finding {
  const { index, leafHash, proof, tree } = file
  verifyInclusion({ index, size: tree.size, leafHash, proof, root: rootOfTree(tree, checkpoints, steps) })
  return { verdict: 'holds', reason: `the leaf is entry ${index} of ${tree.size}` }
}

function checkConsistency(file: ConsistencyFile, checkpoints: readonly Checkpoint[], steps: string[]): Finding {
  const { smaller, larger, proof } = file
  verifyConsistency({
    size1: smaller.size,
    root1: rootOfTree(smaller, checkpoints, steps),
    size2: larger.size,
    root2: rootOfTree(larger, checkpoints, steps),
    proof,
  })
  return { verdict: 'holds', reason: `the log of ${smaller.size} entries is how the one of ${larger.size} begins` }
}

function rootOfTree(tree: ProofTree, checkpoints: readonly Checkpoint[], steps: string[]): Uint8Array {
  const signed = checkpoints.find(({ size }) => size === tree.size)?.root
  const root = signed ?? tree.root
  if (root === undefined) throw unusable(`the root of ${tree.size} entries is missing`)
  if (signed === undefined)
    steps.push(`the root of ${tree.size} entries is the one in the proof: nobody signed it here`)
  return root
}

function unusable(message: string): SealogError {
  return new SealogError('ERR_MALFORMED', message)
}
