import { fromUtf8, toUtf8 } from '../bytes.ts'
import { SealogError } from '../errors.ts'
import { type Note, parseNote } from '../verify/checkpoint.ts'
import { EVIDENCE_LABEL } from '../verify/evidence.ts'
import { type ProofFile, parseProofFile } from './proof-file.ts'

/** What a file turned out to be; evidence is read by its judge. */
export type Input =
  | { readonly type: 'evidence'; readonly bytes: Uint8Array }
  | { readonly type: 'checkpoint'; readonly note: Note }
  | { readonly type: 'proof'; readonly proof: ProofFile }

/** Behind one byte for the array and one for the length. */
const LABEL = toUtf8(EVIDENCE_LABEL)
const LABEL_AT = 2

/**
 * Tells by its contents what a file is.
 * @throws SealogError ERR_MALFORMED, ERR_CHECKPOINT, ERR_LIMIT
 */
export function readInput(bytes: Uint8Array): Input {
  if (LABEL.every((byte, at) => bytes[LABEL_AT + at] === byte)) return { type: 'evidence', bytes }
  const text = textOf(bytes)
  if (text.trimStart().startsWith('{')) return { type: 'proof', proof: parseProofFile(text) }
  return { type: 'checkpoint', note: parseNote(bytes) }
}

function textOf(bytes: Uint8Array): string {
  try {
    return fromUtf8(bytes)
  } catch (cause) {
    throw new SealogError('ERR_MALFORMED', 'neither evidence, nor a checkpoint, nor a proof', { cause })
  }
}
