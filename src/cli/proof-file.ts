import { fromBase64, fromHex } from '../bytes.ts'
import { SealogError } from '../errors.ts'
import { MAX_HEADER_LENGTH } from '../verify/entry.ts'
import { leafHash } from '../verify/merkle.ts'

/** A tree as a proof speaks of it: its root (32 bytes) may be left to a checkpoint of that size. */
export interface ProofTree {
  readonly size: number
  readonly root: Uint8Array | undefined
}

export interface InclusionFile {
  readonly type: 'inclusion'
  readonly index: number
  /** 32 bytes */
  readonly leafHash: Uint8Array
  readonly tree: ProofTree
  readonly proof: readonly Uint8Array[]
}

export interface ConsistencyFile {
  readonly type: 'consistency'
  readonly smaller: ProofTree
  readonly larger: ProofTree
  readonly proof: readonly Uint8Array[]
}

/** Proofs as JSON, for they have no form of their own: see `sealog --help`. */
export type ProofFile = InclusionFile | ConsistencyFile

const MAX_TEXT = 64 * 1024
const MAX_PROOF = 64
const INCLUSION = ['type', 'index', 'size', 'root', 'leaf', 'header', 'proof']
const CONSISTENCY = ['type', 'size1', 'root1', 'size2', 'root2', 'proof']

/** @throws SealogError ERR_MALFORMED, ERR_LIMIT */
export function parseProofFile(text: string): ProofFile {
  if (text.length > MAX_TEXT) throw new SealogError('ERR_LIMIT', `a proof of ${text.length} characters`)
  const fields = objectIn(text)
  switch (fields.get('type')) {
    case 'inclusion':
      assertKnown(fields, INCLUSION)
      return {
        type: 'inclusion',
        index: asCount(fields, 'index'),
        leafHash: leafIn(fields),
        tree: treeIn(fields, 'size', 'root'),
        proof: proofIn(fields),
      }
    case 'consistency':
      assertKnown(fields, CONSISTENCY)
      return {
        type: 'consistency',
        smaller: treeIn(fields, 'size1', 'root1'),
        larger: treeIn(fields, 'size2', 'root2'),
        proof: proofIn(fields),
      }
    default:
      throw malformed('type: expected "inclusion" or "consistency"')
  }
}

type Fields = ReadonlyMap<string, unknown>

function objectIn(text: string): Fields {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw malformed('not JSON', cause)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed('expected an object')
  return new Map(Object.entries(value))
}

/** A misspelt field would otherwise be a check that silently does not take place. */
function assertKnown(fields: Fields, names: readonly string[]): void {
  for (const name of fields.keys()) if (!names.includes(name)) throw malformed(`${name.slice(0, 40)}: no such field`)
}

function treeIn(fields: Fields, size: string, root: string): ProofTree {
  return { size: asCount(fields, size), root: fields.has(root) ? asHash(fields.get(root), root) : undefined }
}

function leafIn(fields: Fields): Uint8Array {
  if (fields.has('leaf') === fields.has('header')) throw malformed('expected either a leaf or a header')
  if (fields.has('leaf')) return asHash(fields.get('leaf'), 'leaf')
  const header = asBytes(fields.get('header'), 'header')
  if (header.length > MAX_HEADER_LENGTH) throw malformed(`header: more than ${MAX_HEADER_LENGTH} bytes`)
  return leafHash(header)
}

function proofIn(fields: Fields): readonly Uint8Array[] {
  const proof = fields.get('proof')
  if (!Array.isArray(proof)) throw malformed('proof: expected an array')
  if (proof.length > MAX_PROOF) throw malformed(`proof: more than ${MAX_PROOF} hashes`)
  return proof.map(hash => asHash(hash, 'proof'))
}

function asCount(fields: Fields, name: string): number {
  const value = fields.get(name)
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
    throw malformed(`${name}: expected an integer from 0 to 2⁵³−1`)
  }
  return value
}

function asHash(value: unknown, name: string): Uint8Array {
  const bytes = asBytes(value, name)
  if (bytes.length !== 32) throw malformed(`${name}: expected 32 bytes`)
  return bytes
}

/** Hexadecimal, or base64 as checkpoints have it: no 32 bytes are spelt alike in both. */
function asBytes(value: unknown, name: string): Uint8Array {
  if (typeof value !== 'string') throw malformed(`${name}: expected text`)
  try {
    return /^[0-9a-fA-F]*$/.test(value) && value.length % 2 === 0 ? fromHex(value) : fromBase64(value)
  } catch (cause) {
    throw malformed(`${name}: neither hexadecimal nor base64`, cause)
  }
}

function malformed(message: string, cause?: unknown): SealogError {
  return new SealogError('ERR_MALFORMED', `proof: ${message}`, { cause })
}
