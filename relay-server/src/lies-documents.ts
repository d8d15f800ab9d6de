import {
  concat,
  type DocumentHead,
  type DocumentId,
  decodeDocumentHead,
  decodeHeader,
  deleteAt,
  encodeDocumentHead,
  encodeDocuments,
  type LogRecord,
  type RelayMessage,
  stateKey,
} from 'sealog/protocol'
import { forgeLog } from './forged-log.ts'
import { answerLie, flip, type Lie, replaceAt, type Teller, type Telling } from './lie.ts'

/** Parts of an answer that never ends, told at once; a replica gives up long before. */
const ENDLESS = 5000

/** Other answers to `get-document` and `get-chain` than the true ones. */
export const DOCUMENT_LIES: readonly Lie[] = [
  recordsLie('document-without-actor', 'all entries of one actor are left out', records => {
    const author = authorOf(records[0] as LogRecord)
    return records.filter(record => authorOf(record) !== author)
  }),
  recordsLie('document-without-last-entry', 'the latest entry is left out', records => records.slice(0, -1)),
  recordsLie('document-with-a-gap', 'an entry in the middle of a chain is left out', records => {
    // Without the first one it would be a shorter end of the chain, which is true.
    const at = records.findIndex((record, i) => {
      const isOfChain = (other: LogRecord): boolean => authorOf(other) === authorOf(record)
      return records.slice(0, i).some(isOfChain) && records.slice(i + 1).some(isOfChain)
    })
    return at < 0 ? undefined : records.filter((_, i) => i !== at)
  }),
  recordsLie('document-with-a-foreign-entry', 'an entry of another document is among them', (records, { log }) => {
    const { document } = decodeHeader((records[0] as LogRecord).header)
    const at = log.findIndex(entry => !entry.isControl && decodeHeader(entry.header).document !== document)
    const other = log[at]
    if (other === undefined) return undefined
    const { header, signature, body } = other
    return [...records, { index: at, header, signature, body, inclusion: [] }]
  }),
  recordsLie('document-with-an-entry-twice', 'an entry is there twice', records => [...records, ...records.slice(-1)]),
  recordsLie('document-unsigned', 'the latest entries come without signatures', ['ERR_UNCOVERED'], records =>
    records.map(record => ({ ...record, signature: undefined })),
  ),
  recordsLie('document-flipped-signature', 'a bit is flipped in each signature', ['ERR_SIGNATURE'], records =>
    records.map(record => ({ ...record, signature: record.signature && flip(record.signature, 40) })),
  ),
  recordsLie('document-flipped-header', 'a bit is flipped in the tag of an entry', ['ERR_PROOF'], records => {
    const last = records.at(-1) as LogRecord
    return replaceAt(records, records.length - 1, { ...last, header: flip(last.header, last.header.length - 40) })
  }),
  recordsLie('document-flipped-body', 'a bit is flipped in a body', ['ERR_BODY'], records => {
    const at = records.findIndex(({ body }) => body !== undefined)
    const record = records[at]
    const body = record?.body
    return record && body && replaceAt(records, at, { ...record, body: flip(body, body.length - 1) })
  }),
  headLie('document-denied', 'it is proven that there is no such document', ['ERR_PROOF'], (head, { log }, name) => {
    const state = forgeLog(log.slice(0, head.size)).state(head.size)
    if (state === undefined) return undefined
    const documents = deleteAt(state.documents, stateKey(name))
    return { ...head, documents: encodeDocuments(documents, [name]), proofs: [] }
  }),
  headLie('document-as-it-was', 'the state of the document is an older one', ['ERR_PROOF'], (head, { log }, name) => {
    const forged = forgeLog(log.slice(0, head.size))
    const now = forged.state(head.size)
    for (let size = head.size - 1; size > 0; size--) {
      const state = forged.state(size)
      if (state === undefined || now === undefined) return undefined
      if (state.documents === now.documents) continue
      return { ...head, documents: encodeDocuments(state.documents, [name]) }
    }
    return undefined
  }),
  headLie('document-of-another-size', 'the log is said to be an entry shorter', ['ERR_UNEXPECTED'], head => ({
    ...head,
    size: head.size - 1,
  })),
  headLie(
    'document-without-proofs',
    'nothing proves that what the authors had seen is this log',
    ['ERR_PROOF'],
    head => (head.proofs.length > 0 ? { ...head, proofs: [] } : undefined),
  ),
  headLie(
    'document-flipped-proofs',
    'a bit is flipped in each proof of what the authors had seen',
    ['ERR_PROOF'],
    head =>
      head.proofs.length > 0
        ? { ...head, proofs: head.proofs.map(({ size, proof }) => ({ size, proof: proof.map(hash => flip(hash, 0)) })) }
        : undefined,
  ),
  headLie(
    'document-flipped-state',
    'a bit is flipped in the state of the document',
    ['ERR_PROOF', 'ERR_MALFORMED'],
    head => ({
      ...head,
      documents: flip(head.documents, head.documents.length - 1),
    }),
  ),
  headLie(
    'document-padded-state',
    'a byte follows the state of the document',
    ['ERR_PROOF', 'ERR_MALFORMED'],
    head => ({
      ...head,
      documents: concat(head.documents, Uint8Array.of(0)),
    }),
  ),
  partsLie(
    'document-part-twice',
    'the first part of the answer comes twice',
    ['ERR_MALFORMED', 'ERR_PROOF'],
    answer => [{ ...answer, more: true }, answer],
  ),
  partsLie('document-without-head', 'the first part of the answer is missing', ['ERR_MALFORMED'], answer => [
    { ...answer, head: new Uint8Array(0) },
  ]),
  partsLie('document-without-end', 'the answer has no end', ['ERR_LIMIT'], answer =>
    Array.from({ length: ENDLESS }, () => ({ ...answer, head: new Uint8Array(0), records: [], more: true })),
  ),
  answerLie({
    name: 'chain-cut',
    says: 'the first entry of a stretch of a chain is left out',
    expected: ['ERR_PROOF'],
    to: 'get-chain',
    answer: answer => (answer.records.length > 0 ? { ...answer, records: answer.records.slice(1) } : undefined),
  }),
  answerLie({
    name: 'chain-flipped-header',
    says: 'a bit is flipped in a header of a stretch of a chain',
    expected: ['ERR_PROOF'],
    to: 'get-chain',
    answer: answer => {
      const [first, ...rest] = answer.records
      return (
        first && { ...answer, records: [{ ...first, header: flip(first.header, first.header.length - 40) }, ...rest] }
      )
    },
  }),
]

type RecordsMessage = Extract<RelayMessage, { type: 'records' }>
type Change = (records: readonly LogRecord[], teller: Teller) => readonly LogRecord[] | undefined

function recordsLie(name: string, says: string, ...rest: [Change] | [Lie['expected'], Change]): Lie {
  const change = rest.at(-1) as Change
  const expected = rest.length > 1 ? (rest[0] as Lie['expected']) : (['ERR_PROOF'] as const)
  return answerLie({
    name,
    says: `in the answer to a request for a document, ${says}`,
    expected,
    to: 'get-document',
    answer: (answer, teller) => {
      const records = answer.records.length > 1 ? change(answer.records, teller) : undefined
      return records && { ...answer, records }
    },
  })
}

function headLie(
  name: string,
  says: string,
  expected: Lie['expected'],
  change: (head: DocumentHead, teller: Teller, document: DocumentId) => DocumentHead | undefined,
): Lie {
  return answerLie({
    name,
    says: `in the answer to a request for a document, ${says}`,
    expected,
    to: 'get-document',
    answer: (answer, teller) => {
      const [first] = answer.records
      const head = first && change(decodeDocumentHead(answer.head), teller, decodeHeader(first.header).document)
      return head && { ...answer, head: encodeDocumentHead(head) }
    },
  })
}

function partsLie(
  name: string,
  says: string,
  expected: Lie['expected'],
  change: (answer: RecordsMessage) => Telling | undefined,
): Lie {
  const tell = async (message: RelayMessage, { asked }: Teller): Promise<Telling | undefined> =>
    message.type === 'records' && asked?.type === 'get-document' && !message.more ? change(message) : undefined
  return { name, says, expected, isSigned: false, freezes: false, tell }
}

/** Whose chain an entry is in, among those of one document. */
function authorOf({ header }: LogRecord): string {
  const { device, incarnation } = decodeHeader(header)
  return `${device}/${incarnation.join()}`
}
