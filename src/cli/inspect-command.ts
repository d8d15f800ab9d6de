import { toBase64, toHex } from '../bytes.ts'
import { SealogError } from '../errors.ts'
import { type Note, parseNote } from '../verify/checkpoint.ts'
import { decodeEvidence, type TransitionClaim } from '../verify/evidence.ts'
import { readInput } from './input.ts'
import type { ProofFile } from './proof-file.ts'
import { accusedFacts, type Facts } from './report.ts'

/** What a file holds by its own account: nothing of it is verified. */
export interface Inspection {
  readonly subject: string
  readonly facts: Facts
}

/** @throws SealogError where the file is nothing that can be read */
export function inspectFile(bytes: Uint8Array): Inspection {
  const input = readInput(bytes)
  switch (input.type) {
    case 'evidence':
      return inspectEvidence(input.bytes)
    case 'checkpoint':
      return {
        subject: 'a checkpoint, not verified',
        facts: { ...noteFacts(input.note), ...signatureFacts(input.note) },
      }
    case 'proof':
      return { subject: `${input.proof.type} proof, not verified`, facts: proofFacts(input.proof) }
  }
}

function inspectEvidence(bytes: Uint8Array): Inspection {
  const { relay, space, claim } = decodeEvidence(bytes)
  const accused = accusedFacts({ relay, space })
  const subject = `evidence of kind ${claim.kind}, not judged`
  switch (claim.kind) {
    case 'checkpoints':
      return { subject, facts: { ...accused, ...claimedNotes(claim.notes) } }
    case 'inconsistency':
      return {
        subject,
        facts: {
          ...accused,
          ...claimedNotes([claim.smaller, claim.larger]),
          'root in the larger log': toBase64(claim.root),
          'hashes of the proof': claim.proof.length,
        },
      }
    case 'transition':
      return { subject, facts: { ...accused, ...transitionFacts(claim) } }
  }
}

function transitionFacts({ base, batches, anchors, prefixes }: TransitionClaim): Facts {
  const entries = batches.reduce((sum, batch) => sum + batch.entries.length, 0)
  return {
    'from entry': base?.range.size ?? 0,
    entries,
    batches: batches.length,
    ...(base === undefined ? {} : { 'devices in the base': base.control.devices.size }),
    ...claimedNotes([...(base === undefined ? [] : [base.note]), ...batches.map(batch => batch.note), ...anchors]),
    ...(prefixes.length === 0 ? {} : { 'proven prefixes': prefixes.map(prefix => prefix.size).join(', ') }),
  }
}

function claimedNotes(notes: readonly Uint8Array[]): Facts {
  return Object.fromEntries(
    notes.flatMap((bytes, at) => {
      const facts = readNote(bytes)
      return Object.entries(facts).map(([name, value]) => [`note ${at + 1} ${name}`, value])
    }),
  )
}

function readNote(bytes: Uint8Array): Facts {
  try {
    return noteFacts(parseNote(bytes))
  } catch (error) {
    if (error instanceof SealogError) return { unreadable: error.message }
    throw error
  }
}

function noteFacts({ checkpoint }: Note): Facts {
  const { origin, size, root, stateRoot, time } = checkpoint
  return { origin, size, root: toBase64(root), 'state root': toBase64(stateRoot), 'time in Unix milliseconds': time }
}

function signatureFacts({ signatures }: Note): Facts {
  return Object.fromEntries(
    signatures.map(({ name, keyHash, signature }, at) => [
      `signature ${at + 1}`,
      `${name} (key hash ${toHex(keyHash)}, ${signature.length} bytes)`,
    ]),
  )
}

function proofFacts(proof: ProofFile): Facts {
  const hashes = { 'hashes of the proof': proof.proof.length }
  if (proof.type === 'inclusion') {
    return { index: proof.index, size: proof.tree.size, 'leaf hash': toHex(proof.leafHash), ...hashes }
  }
  return { 'smaller size': proof.smaller.size, 'larger size': proof.larger.size, ...hashes }
}
