import type { Lie } from './lie.ts'
import { ADMISSION_LIES } from './lies-admissions.ts'
import { BODY_LIES } from './lies-bodies.ts'
import { DOCUMENT_LIES } from './lies-documents.ts'
import { ENTRY_LIES } from './lies-entries.ts'
import { FLIP_LIES } from './lies-flips.ts'
import { FORGERY_LIES } from './lies-forgeries.ts'
import { INTEGER_LIES } from './lies-integers.ts'
import { KEY_LIES } from './lies-keys.ts'
import { LOG_LIES } from './lies-logs.ts'
import { NOTE_LIES } from './lies-notes.ts'
import { PROOF_LIES } from './lies-proofs.ts'
import { SKIP_LIES } from './lies-skips.ts'
import { STATE_LIES } from './lies-states.ts'
import { TRACER_LIES } from './lies-tracers.ts'

/** Everything that `LyingRelay.lie` can say. */
export const LIES: readonly Lie[] = [
  ...FLIP_LIES,
  ...ENTRY_LIES,
  ...BODY_LIES,
  ...NOTE_LIES,
  ...STATE_LIES,
  ...PROOF_LIES,
  ...FORGERY_LIES,
  ...LOG_LIES,
  ...INTEGER_LIES,
  ...TRACER_LIES,
  ...SKIP_LIES,
  ...DOCUMENT_LIES,
  ...KEY_LIES,
  ...ADMISSION_LIES,
]
