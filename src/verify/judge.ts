import { equalBytes, toHex } from '../bytes.ts'
import { verifySync } from '../crypto/sign.ts'
import { hasCode, SealogError } from '../errors.ts'
import { type Checkpoint, originOf, parseNote, relaySignature } from './checkpoint.ts'
import { type CheckpointsClaim, decodeEvidence, type Evidence, type InconsistencyClaim } from './evidence.ts'
import { judgeTransition } from './judge-transition.ts'
import { verifyConsistency } from './merkle.ts'
import { type Court, type Finding, sentenceOf, type Verdict } from './verdict.ts'

/**
 * Judges evidence (DESIGN §5.5). Pure, and needs nothing but the bytes: the accused relay's key is stated in them, so
 * that `holds` convicts the holder of that key and nobody else. Whether it is the key of the relay that one cares about
 * is for the caller to compare.
 *
 * Convicts only where signatures by that key bind everything that is refuted. What a relay did not sign (signatures of
 * entries, bodies, proofs that do not verify) and what this build does not know (ERR_UPGRADE) never convicts. Takes
 * whatever bytes a stranger sends and throws nothing for them.
 * @param bytes at most 16 MiB are looked at
 */
export function judgeEvidence(bytes: Uint8Array): Verdict {
  const reasons: string[] = []
  let evidence: Evidence
  try {
    evidence = decodeEvidence(bytes)
  } catch (error) {
    return {
      verdict: 'unusable',
      kind: undefined,
      relay: undefined,
      space: undefined,
      reasons: [sentenceOf(error)],
    }
  }
  const { relay, space, claim } = evidence
  // All parts of a catch-up mostly come with one note, and a signature takes as long as many entries.
  const known = new Map<string, Checkpoint>()
  const { verdict, reason } = judge(evidence, {
    signed: bytes => {
      const note = toHex(bytes)
      const checkpoint = known.get(note) ?? signedCheckpoint(evidence, bytes)
      known.set(note, checkpoint)
      return checkpoint
    },
    passed: step => {
      reasons.push(step)
    },
  })
  return { verdict, kind: claim.kind, relay, space, reasons: [...reasons, reason] }
}

function judge(evidence: Evidence, court: Court): Finding {
  try {
    switch (evidence.claim.kind) {
      case 'checkpoints':
        return judgeCheckpoints(evidence.claim, court)
      case 'inconsistency':
        return judgeInconsistency(evidence.claim, court)
      case 'transition':
        return judgeTransition(evidence, evidence.claim, court)
    }
  } catch (error) {
    // A statement that the accused did not sign is no fault of theirs, so the evidence is answered, not unreadable.
    const isUnsigned = hasCode(error, 'ERR_CHECKPOINT_SIGNATURE')
    return { verdict: isUnsigned ? 'refuted' : 'unusable', reason: sentenceOf(error) }
  }
}

/** @throws SealogError ERR_CHECKPOINT_SIGNATURE unless the accused relay signed it; ERR_CHECKPOINT */
function signedCheckpoint({ relay, space }: Evidence, bytes: Uint8Array): Checkpoint {
  const note = parseNote(bytes)
  const name = originOf(relay.name, space)
  const signature = relaySignature(note, { name, publicKey: relay.key })
  if (!verifySync({ publicKey: relay.key, message: note.text, signature })) {
    throw new SealogError('ERR_CHECKPOINT_SIGNATURE', 'a note that the accused relay did not sign')
  }
  if (note.checkpoint.size === 0) throw new SealogError('ERR_CHECKPOINT', 'a note about no entries shows nothing')
  return note.checkpoint
}

// -- Two checkpoints ----------------------------------------------------------------------------------------------

function judgeCheckpoints({ notes }: CheckpointsClaim, court: Court): Finding {
  const [a, b] = [court.signed(notes[0]), court.signed(notes[1])]
  court.passed(`the relay signed a log of ${a.size} entries and one of ${b.size}`)
  const reason = contradiction(a, b)
  if (reason !== undefined) return { verdict: 'holds', reason }
  return { verdict: 'refuted', reason: 'the two notes can be about one log' }
}

/**
 * Why two checkpoints with one origin cannot both come from a relay that does its duty, or undefined where they can.
 *
 * - One size has one root and one state root: the log only grows, and the state is a function of the log.
 * - Two sizes never have one root: the trees have different shapes, so that would be a collision of SHA-256.
 *
 * A smaller size with a later time is no such thing. It says that the relay went back, and whoever had more refuses
 * it (protocol.md R-NOTE-4); but the one log may still be how the other begins, and a relay that was restored from a
 * backup says just this before members give it back what it lost. If it goes on in another way, one of the above shows.
 */
export function contradiction(a: Checkpoint, b: Checkpoint): string | undefined {
  if (a.size === b.size) {
    if (!equalBytes(a.root, b.root)) return `it signed two roots for ${a.size} entries`
    if (!equalBytes(a.stateRoot, b.stateRoot)) return `it signed two states for ${a.size} entries`
    return undefined
  }
  if (equalBytes(a.root, b.root)) return `it signed one root for ${a.size} and for ${b.size} entries`
  return undefined
}

// -- A log that is not how another begins -------------------------------------------------------------------------

/**
 * A consistency proof that leads from some root to the one signed for the larger size is made of nodes of that tree:
 * other nodes would be a collision. So the root it starts from is what the log had at the smaller size, and if the
 * relay signed another one for that size, it signed two logs.
 */
function judgeInconsistency({ smaller, larger, root, proof }: InconsistencyClaim, court: Court): Finding {
  const [a, b] = [court.signed(smaller), court.signed(larger)]
  court.passed(`the relay signed a log of ${a.size} entries and one of ${b.size}`)
  if (a.size >= b.size) return { verdict: 'unusable', reason: 'the first note is not about the smaller log' }
  try {
    verifyConsistency({ size1: a.size, root1: root, size2: b.size, root2: b.root, proof })
  } catch (error) {
    return { verdict: 'refuted', reason: `the proof is not bound to the larger log: ${sentenceOf(error)}` }
  }
  court.passed(`the proof shows the root that the larger log had at ${a.size} entries`)
  if (equalBytes(root, a.root)) return { verdict: 'refuted', reason: 'the smaller log is how the larger one begins' }
  return { verdict: 'holds', reason: `it is not the root that the relay signed for ${a.size} entries` }
}
