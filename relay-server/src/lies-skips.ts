import {
  appendLeaves,
  CONTROL_DOCUMENT,
  concat,
  decodeRange,
  decodeSkipHead,
  deleteAt,
  emptyRange,
  encodeDocuments,
  encodeRange,
  encodeSkipHead,
  type LogRecord,
  type Records,
  type SkipHead,
  stateKey,
  ZERO_32,
} from 'sealog/protocol'
import { forgeLog } from './forged-log.ts'
import { answerLie, flip, type Lie, replaceAt, type Teller } from './lie.ts'
import type { StoredEntry } from './log-store.ts'

const FALSE_STATE = ['ERR_STATE_ROOT', 'ERR_PROOF', 'ERR_MALFORMED'] as const

/** Other answers to `skip` than the true one. Whoever refuses one replays the log instead. */
export const SKIP_LIES: readonly Lie[] = [
  recordsLie('skip-without-last-control', 'the last control entry is left out', ['ERR_STATE_ROOT'], records =>
    records.slice(0, -1),
  ),
  recordsLie(
    'skip-without-first-control',
    'the first control entry is left out',
    ['ERR_PROOF', 'ERR_INVALID_ENTRY', 'ERR_STATE_ROOT'],
    records => records.slice(1),
  ),
  recordsLie(
    'skip-reordered',
    'the control entries are in another order',
    ['ERR_PROOF', 'ERR_INVALID_ENTRY'],
    records => (records.length > 1 ? records.toReversed() : undefined),
  ),
  recordsLie('skip-doubled', 'the last control entry is there twice', ['ERR_PROOF'], records => [
    ...records,
    ...records.slice(-1),
  ]),
  lastRecordLie('skip-renumbered', 'a control entry is said to stand one place further', ['ERR_PROOF'], record => ({
    ...record,
    index: record.index + 1,
  })),
  lastRecordLie('skip-unsigned', 'a control entry comes without its signature', ['ERR_UNCOVERED'], record => ({
    ...record,
    signature: undefined,
  })),
  lastRecordLie(
    'skip-flipped-signature',
    'a bit is flipped in the signature of a control entry',
    ['ERR_SIGNATURE'],
    record => ({
      ...record,
      signature: record.signature && flip(record.signature, 40),
    }),
  ),
  lastRecordLie('skip-without-body', 'a control entry comes without its body', ['ERR_BODY'], record => ({
    ...record,
    body: undefined,
  })),
  lastRecordLie('skip-flipped-body', 'a bit is flipped in the body of a control entry', ['ERR_BODY'], record => ({
    ...record,
    body: record.body && flip(record.body, record.body.length - 1),
  })),
  lastRecordLie(
    'skip-flipped-inclusion',
    'a bit is flipped in the proof that a control entry is in the log',
    ['ERR_PROOF'],
    record => ({
      ...record,
      inclusion: replaceAt(record.inclusion, 0, flip(record.inclusion[0] ?? ZERO_32, 0)),
    }),
  ),
  lastRecordLie(
    'skip-without-inclusion',
    'nothing proves that a control entry is in the log',
    ['ERR_PROOF'],
    record => ({
      ...record,
      inclusion: [],
    }),
  ),
  lastRecordLie(
    'skip-entry-of-another-space',
    'an entry of another space stands in the place of a control entry',
    ['ERR_PROOF'],
    (record, { otherSpace }) => {
      const other = otherSpace.findLast(entry => entry.isControl)
      return other && { ...record, ...served(other) }
    },
  ),
  lastRecordLie(
    'skip-entry-of-a-document',
    'an entry of a document is passed off as a control entry',
    ['ERR_PROOF'],
    (record, { log }) => {
      const other = log.find(entry => !entry.isControl)
      return other && { ...record, ...served(other) }
    },
  ),
  headLie('skip-flipped-range', 'a bit is flipped in the compact range', ['ERR_ROOT_MISMATCH'], head => ({
    ...head,
    range: flip(head.range, head.range.length - 1),
  })),
  headLie(
    'skip-short-range',
    'the compact range is that of an entry less',
    ['ERR_ROOT_MISMATCH'],
    (head, { log }, size) => ({
      ...head,
      range: encodeRange(
        appendLeaves(
          emptyRange,
          log.slice(0, size - 1).map(({ hash }) => hash),
        ),
      ),
    }),
  ),
  headLie('skip-cut-range', 'the compact range lacks its last byte', ['ERR_MALFORMED', 'ERR_PROOF'], head => ({
    ...head,
    range: head.range.slice(0, -1),
  })),
  headLie('skip-without-proofs', 'the proofs that logs are how the log begins are missing', ['ERR_PROOF'], head =>
    head.proofs.length > 0 ? { ...head, proofs: [] } : undefined,
  ),
  headLie('skip-doubled-proofs', 'each proof that a log is how the log begins comes twice', ['ERR_PROOF'], head => ({
    ...head,
    proofs: [...head.proofs, ...head.proofs],
  })),
  headLie(
    'skip-flipped-proofs',
    'a bit is flipped in each proof that a log is how the log begins',
    ['ERR_PROOF'],
    head => ({
      ...head,
      proofs: head.proofs.map(({ size, proof }) => ({ size, proof: proof.map(hash => flip(hash, 0)) })),
    }),
  ),
  headLie(
    'skip-flipped-control-root',
    'a bit is flipped in the root behind the last control entry',
    ['ERR_PROOF'],
    head => ({
      ...head,
      controlRoot: flip(head.controlRoot, 0),
    }),
  ),
  headLie('skip-flipped-state', 'a bit is flipped in the proof of the control document', FALSE_STATE, head => ({
    ...head,
    documents: flip(head.documents, head.documents.length - 1),
  })),
  headLie(
    'skip-state-of-another-size',
    'the proof of the control document is as of an entry less',
    FALSE_STATE,
    (head, { log }, size) => {
      const state = forgeLog(log.slice(0, size)).state(size - 1)
      return state && { ...head, documents: encodeDocuments(state.documents, [CONTROL_DOCUMENT]) }
    },
  ),
  headLie(
    'skip-state-without-control',
    'it is proven that there is no control document',
    FALSE_STATE,
    (head, { log }, size) => {
      const state = forgeLog(log.slice(0, size)).state(size)
      if (state === undefined) return undefined
      const documents = deleteAt(state.documents, stateKey(CONTROL_DOCUMENT))
      return { ...head, documents: encodeDocuments(documents, [CONTROL_DOCUMENT]) }
    },
  ),
  headLie('skip-padded-state', 'a byte follows the proof of the control document', FALSE_STATE, head => ({
    ...head,
    documents: concat(head.documents, Uint8Array.of(0)),
  })),
]

type Change<T> = (item: T, teller: Teller, size: number) => T | undefined

function recordsLie(name: string, says: string, expected: Lie['expected'], change: Change<readonly LogRecord[]>): Lie {
  return answerLie({
    name,
    says: `in the answer to a skip, ${says}`,
    expected,
    to: 'skip',
    answer: (answer, teller) => {
      const { range } = decodeSkipHead(answer.head)
      const records = answer.records.length > 0 ? change(answer.records, teller, decodeRange(range).size) : undefined
      return records && { ...answer, records }
    },
  })
}

function lastRecordLie(name: string, says: string, expected: Lie['expected'], change: Change<LogRecord>): Lie {
  return recordsLie(name, says, expected, (records, teller, size) => {
    const last = records.at(-1)
    const changed = last && change(last, teller, size)
    return changed && replaceAt(records, records.length - 1, changed)
  })
}

function headLie(name: string, says: string, expected: Lie['expected'], change: Change<SkipHead>): Lie {
  return answerLie({
    name,
    says: `in the answer to a skip, ${says}`,
    expected,
    to: 'skip',
    answer: (answer: Records, teller): Records | undefined => {
      const head = decodeSkipHead(answer.head)
      const changed = change(head, teller, decodeRange(head.range).size)
      return changed && { ...answer, head: encodeSkipHead(changed) }
    },
  })
}

function served({ header, signature, body }: StoredEntry): Pick<LogRecord, 'header' | 'signature' | 'body'> {
  return { header, signature, body }
}
