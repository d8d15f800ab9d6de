/**
 * For auditors: everything that judges what a relay says about a log. No WASM, no secrets, no I/O.
 */
export type { SignatureCheck, SignatureVerifier } from './crypto/sign.ts'
export { defaultVerifier } from './crypto/sign-backend.ts'
export { type ErrorCode, type ErrorDetails, SealogError } from './errors.ts'
export { advance } from './verify/advance.ts'
export { assertChecks } from './verify/check.ts'
export {
  type Checkpoint,
  type Note,
  type NoteSignature,
  originOf,
  parseNote,
  relaySignature,
} from './verify/checkpoint.ts'
export type { ControlBody } from './verify/control.ts'
export { decodeControlBody } from './verify/control-codec.ts'
export { decodeHeader, type EntryKind, entryHash, type Header } from './verify/entry.ts'
export { type EvidenceKind, MAX_EVIDENCE_LENGTH } from './verify/evidence.ts'
export { judgeEvidence } from './verify/judge.ts'
export {
  type Advanced,
  type Anchor,
  type Batch,
  type BatchEntry,
  emptyView,
  isCurrent,
  type LogView,
  type PinnedRelay,
  type RequiredCheck,
  type VerifiedEntry,
} from './verify/log.ts'
export {
  type ConsistencyClaim,
  EMPTY_ROOT,
  type InclusionClaim,
  leafHash,
  nodeHash,
  verifyConsistency,
  verifyInclusion,
} from './verify/merkle.ts'
export { encodeVerifierKey, type NoteKey, parseVerifierKey } from './verify/note-key.ts'
export { type SpaceState, stateRoot } from './verify/state.ts'
export type { Outcome, Verdict } from './verify/verdict.ts'
