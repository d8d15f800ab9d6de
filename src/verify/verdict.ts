import { SealogError } from '../errors.ts'
import type { SpaceId } from '../ids.ts'
import type { Checkpoint } from './checkpoint.ts'
import type { EvidenceKind } from './evidence.ts'
import type { PinnedRelay } from './log.ts'

/**
 * - `holds`: the relay contradicted itself, and everything that shows it is bound by its own signatures;
 * - `refuted`: the evidence was judged whole and does not show that;
 * - `unusable`: it cannot be judged: malformed, incomplete, or of a later version.
 */
export type Outcome = 'holds' | 'refuted' | 'unusable'

/** How the judgement of one claim ended. */
export interface Finding {
  readonly verdict: Outcome
  /** One sentence. */
  readonly reason: string
}

export interface Verdict {
  readonly verdict: Outcome
  /** The following three are what the evidence says of itself; undefined where it could not be read. */
  readonly kind: EvidenceKind | undefined
  /** Whom it accuses. Where the verdict is `holds`, the holder of this key is convicted, whatever name it goes by. */
  readonly relay: PinnedRelay | undefined
  readonly space: SpaceId | undefined
  /** What was checked, in order, a sentence each; the last one decided. */
  readonly reasons: readonly string[]
}

/** What the judge of one kind of evidence works with. */
export interface Court {
  /** What a note says that the accused relay signed about this space. @throws SealogError */
  readonly signed: (note: Uint8Array) => Checkpoint
  /** Takes down a step that was passed. */
  readonly passed: (step: string) => void
}

/** What went wrong, for people; nothing of where in the code. */
export function sentenceOf(error: unknown): string {
  // What a stranger's bytes led to and nobody foresaw is no finding either.
  return error instanceof SealogError ? error.message : 'the contents cannot be judged'
}
