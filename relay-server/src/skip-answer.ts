import {
  CONTROL_DOCUMENT,
  encodeDocuments,
  encodeRange,
  encodeSkipHead,
  type LogRecord,
  MAX_CONTROL_BODY_LENGTH,
  SealogError,
  type Skip,
  ZERO_32,
} from 'sealog/protocol'
import type { AnswerSource } from './answer-source.ts'
import { chosenEntries } from './chosen-entries.ts'
import { recordFrames } from './record-frames.ts'
import { proveEntries, provePrefixes, readRange, readRoot } from './tree-proofs.ts'

/** The checkpoint that is skipped to. */
export interface SkipTarget {
  /** At most that of the signed head. */
  readonly size: number
  /** Empty where the replica has the note and this relay does not keep it. */
  readonly note: Uint8Array
}

/**
 * Composes the answer to `skip` (DESIGN §5.4), which `skipTo` verifies: every control entry from the replica's size up
 * to the target, each with its inclusion proof, and in the head what proves that they are all and that the log known to
 * the replica is how the one of the target begins. The control entries are read twice, as the head goes first and says
 * what they have seen; so memory holds numbers of all of them, and bodies of a few.
 * @throws SealogError ERR_UNEXPECTED, ERR_LIMIT, and whatever the store throws; before the first frame or between two
 */
export async function* answerSkip(
  source: AnswerSource,
  request: Skip,
  { size, note }: SkipTarget,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { space, store } = source
  if (request.from > size) throw new SealogError('ERR_UNEXPECTED', `a skip from ${request.from} back to ${size}`)
  const { seenSizes, end } = await survey(source, request.from, size)
  const asked = request.prove.filter(each => each <= size)
  const ofControl = end === undefined ? [] : [end]
  const head = encodeSkipHead({
    note,
    range: encodeRange(await readRange(store, space, size)),
    documents: encodeDocuments(await source.documentsAt(size), [CONTROL_DOCUMENT]),
    controlRoot: end === undefined ? ZERO_32 : await readRoot(store, space, end),
    proofs: await provePrefixes(store, space, [...asked, ...seenSizes, ...ofControl], size),
  })
  yield* recordFrames(request, head, controlRecords(source, request.from, size))
}

interface Survey {
  /** What the authors of the control entries had seen. */
  readonly seenSizes: ReadonlySet<number>
  /** Right after the last of them; undefined where there is none. */
  readonly end: number | undefined
}

async function survey({ store, space }: AnswerSource, from: number, to: number): Promise<Survey> {
  const seenSizes = new Set<number>()
  let end: number | undefined
  for await (const entries of chosenEntries(store, space, { kind: 'control', from, to }, -1)) {
    for (const { seenSize, index } of entries) {
      seenSizes.add(seenSize)
      end = index + 1
    }
  }
  return { seenSizes, end }
}

async function* controlRecords(
  { store, space }: AnswerSource,
  from: number,
  to: number,
): AsyncGenerator<LogRecord, void, undefined> {
  const choice = { kind: 'control', from, to } as const
  for await (const entries of chosenEntries(store, space, choice, MAX_CONTROL_BODY_LENGTH)) {
    const indices = entries.map(entry => entry.index)
    const proofs = await proveEntries(store, space, indices, to)
    for (const [i, { index, header, signature, body }] of entries.entries()) {
      yield { index, header, signature, body, inclusion: proofs[i] ?? [] }
    }
  }
}
