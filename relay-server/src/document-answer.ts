import {
  actorsOf,
  CONTROL_DOCUMENT,
  type DocumentRecord,
  encodeDocumentHead,
  encodeDocuments,
  type GetDocument,
  getAt,
  INLINE_BODY_LENGTH,
  type LogRecord,
  MAX_DOCUMENT_PROOF,
  SealogError,
  type SnapshotRecord,
  stateKey,
  toHex,
} from 'sealog/protocol'
import type { AnswerSource } from './answer-source.ts'
import { chosenEntries } from './chosen-entries.ts'
import type { PlacedEntry } from './log-store.ts'
import { recordFrames } from './record-frames.ts'
import { provePrefixes } from './tree-proofs.ts'

/**
 * Composes the answer to `get-document` as of a size of the log (DESIGN §5.4), which `verifyDocument` verifies: all that
 * the state has of the document; then, ascending, of each actor the latest entry below what the snapshot covers, as its
 * header only, and everything from there on. Each actor's very latest entry carries its signature, which covers the
 * others through `prev`. A document that the log does not have is answered by the proof of that.
 * @throws SealogError ERR_UNEXPECTED, ERR_LIMIT, and whatever the store throws; before the first frame or between two
 */
export async function* answerDocument(
  source: AnswerSource,
  request: GetDocument,
  size: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { document } = request
  // Control entries are for everybody, and come in every sync and skip.
  if (document === CONTROL_DOCUMENT) throw new SealogError('ERR_UNEXPECTED', 'control entries are no document')
  const map = await source.documentsAt(size)
  const documents = encodeDocuments(map, [document])
  if (documents.length > MAX_DOCUMENT_PROOF) {
    throw new SealogError('ERR_LIMIT', 'a document of too many actors', { details: { limit: MAX_DOCUMENT_PROOF } })
  }
  const record = getAt(map, stateKey(document))
  const actors = record === undefined ? [] : [...actorsOf(record)]
  const seenSizes = actors.map(actor => actor.seenSize)
  const proofs = await provePrefixes(source.store, source.space, seenSizes, size)
  const records = record === undefined ? nothing() : documentRecords(source, record, request.snapshot, size)
  yield* recordFrames(request, encodeDocumentHead({ size, documents, proofs }), records)
}

async function* nothing(): AsyncGenerator<LogRecord, void, undefined> {}

async function* documentRecords(
  { store, space }: AnswerSource,
  record: DocumentRecord,
  choice: number,
  size: number,
): AsyncGenerator<LogRecord, void, undefined> {
  const { document } = record
  const snapshot = chosenSnapshot(record, choice)
  const latest = new Set<string>()
  for (const actor of actorsOf(record)) latest.add(toHex(actor.hash))
  const signatureOf = (entry: PlacedEntry): Uint8Array | undefined =>
    latest.has(toHex(entry.hash)) ? entry.signature : undefined
  const from = snapshot?.seenSize ?? 0
  const covered = { kind: 'latest', document, below: from, from: 0 } as const
  for await (const entries of chosenEntries(store, space, covered, -1)) {
    for (const entry of entries) yield recordOf(entry, signatureOf(entry), undefined)
  }
  const tail = { kind: 'document', document, from, to: size } as const
  for await (const entries of chosenEntries(store, space, tail, INLINE_BODY_LENGTH)) {
    for (const entry of entries) yield recordOf(entry, signatureOf(entry), bodyOf(entry, snapshot))
  }
}

/** 0: the latest; 1: the one before it; undefined where there is no such one. */
function chosenSnapshot({ snapshots }: DocumentRecord, choice: number): SnapshotRecord | undefined {
  return choice < 2 ? snapshots.at(-1 - choice) : undefined
}

/** Of snapshots only the chosen one: the others are long, and say what the entries say. */
function bodyOf(entry: PlacedEntry, snapshot: SnapshotRecord | undefined): Uint8Array | undefined {
  return entry.isSnapshot && entry.index !== snapshot?.index ? undefined : entry.body
}

function recordOf(
  { index, header }: PlacedEntry,
  signature: Uint8Array | undefined,
  body: Uint8Array | undefined,
): LogRecord {
  return { index, header, signature, body, inclusion: [] }
}
