import { asArray, asBytes, asBytesUpTo, asTuple, asUint, decodeCbor, encodeCbor } from '../codec.ts'
import { MAX_DOCUMENT_PROOF } from './tracer.ts'

/** One entry out of the middle of the log, as it travels in answer to a fast-forward. */
export interface LogRecord {
  /** Its place in the log: proven by `inclusion` where that is sent, else no more than a claim. */
  readonly index: number
  readonly header: Uint8Array
  readonly signature: Uint8Array | undefined
  readonly body: Uint8Array | undefined
  /** Inclusion proof to the checkpoint that the answer is about; empty where it is not sent. */
  readonly inclusion: readonly Uint8Array[]
}

/** That the log of `size` entries is how a larger one begins. */
export interface PrefixProof {
  readonly size: number
  readonly proof: readonly Uint8Array[]
}

/** What an answer to `skip` says beside the control entries (DESIGN §5.4). */
export interface SkipHead {
  /** The checkpoint to skip to, with the cosignatures of members. */
  readonly note: Uint8Array
  /** `encodeRange` of the compact range at its size. */
  readonly range: Uint8Array
  /** `encodeDocuments` of its state, with the control document. */
  readonly documents: Uint8Array
  /** Root right after the last control entry that is sent, 32 bytes; of none, zero bytes. */
  readonly controlRoot: Uint8Array
  /** From the sizes asked for, from every `seen` of the control entries, and from right after the last of them. */
  readonly proofs: readonly PrefixProof[]
}

/** What an answer to `get-document` says beside the entries of the document. */
export interface DocumentHead {
  /** The log that it is about: what was sent last on the same connection. */
  readonly size: number
  /** `encodeDocuments` of its state, with the document. */
  readonly documents: Uint8Array
  /** From every `seen` of the latest headers of its actors. */
  readonly proofs: readonly PrefixProof[]
}

const MAX_PROOFS = 200_000
const MAX_HASHES = 128
const MAX_HEAD_LENGTH: number = 2 * MAX_DOCUMENT_PROOF
/** Hashes take most of a head; without this limit, 64 MiB of the smallest items would take a gigabyte once read. */
const MAX_ITEMS: number = 1 << 22

export function encodeSkipHead(head: SkipHead): Uint8Array {
  return encodeCbor([head.note, head.range, head.documents, head.controlRoot, proofFields(head.proofs)])
}

/** @throws SealogError ERR_MALFORMED, ERR_LIMIT */
export function decodeSkipHead(bytes: Uint8Array): SkipHead {
  const fields = asTuple(decodeCbor(bytes, MAX_HEAD_LENGTH, MAX_ITEMS), 5, 'skip')
  return {
    note: asBytesUpTo(fields[0], 16 * 1024, 'note'),
    range: asBytesUpTo(fields[1], 4096, 'range'),
    documents: asBytesUpTo(fields[2], MAX_DOCUMENT_PROOF, 'documents'),
    controlRoot: asBytes(fields[3], 32, 'control root'),
    proofs: asProofs(fields[4]),
  }
}

export function encodeDocumentHead(head: DocumentHead): Uint8Array {
  return encodeCbor([head.size, head.documents, proofFields(head.proofs)])
}

/** @throws SealogError ERR_MALFORMED, ERR_LIMIT */
export function decodeDocumentHead(bytes: Uint8Array): DocumentHead {
  const fields = asTuple(decodeCbor(bytes, MAX_HEAD_LENGTH, MAX_ITEMS), 3, 'document')
  return {
    size: asUint(fields[0], 'size'),
    documents: asBytesUpTo(fields[1], MAX_DOCUMENT_PROOF, 'documents'),
    proofs: asProofs(fields[2]),
  }
}

function proofFields(proofs: readonly PrefixProof[]): (readonly [number, readonly Uint8Array[]])[] {
  return proofs.map(({ size, proof }) => [size, proof])
}

function asProofs(item: Parameters<typeof asArray>[0]): readonly PrefixProof[] {
  return asArray(item, MAX_PROOFS, 'proofs').map(each => {
    const fields = asTuple(each, 2, 'proof')
    const proof = asArray(fields[1], MAX_HASHES, 'proof').map(hash => asBytes(hash, 32, 'proof'))
    return { size: asUint(fields[0], 'size'), proof }
  })
}
