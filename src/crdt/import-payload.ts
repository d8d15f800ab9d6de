import * as Automerge from '@automerge/automerge/slim'
import { equalBytes } from '../bytes.ts'
import { asBytesUpTo, asTuple, asUint, decodeCbor, encodeCbor } from '../codec.ts'
import { labelledHash } from '../crypto/hash.ts'
import { uint64 } from '../crypto/kdf.ts'
import { SealogError } from '../errors.ts'
import type { ActorId } from '../ids.ts'
import type { AnyDoc } from './content.ts'
import { checkDocumentChanges } from './guard/document-rules.ts'
import { DOCUMENT_LIMITS } from './guard/rules.ts'
import { loadGuarded, readShared, refuseDocument, summaryOf } from './guarded-document.ts'
import type { ImportSummary } from './snapshot-payload.ts'

/** The only kind of payload there is in an entry of kind `import`; others make an old build stop. */
const VERSION = 0
/** What surrounds the document in CBOR. */
const OVERHEAD = 16
const MAX_IMPORT_PAYLOAD: number = DOCUMENT_LIMITS.maxBytes + OVERHEAD

/** An import ready to be sealed. */
export interface BuiltImport {
  readonly payload: Uint8Array
  /** The document alone, as one chunk. */
  readonly saved: Uint8Array
  readonly summary: ImportSummary
  /** What the entry's tag commits to, 32 bytes. */
  readonly commitment: Uint8Array
}

/** An import that was checked. */
export interface VerifiedImport {
  /** The document as Automerge loaded it, without changes of anybody else. */
  readonly doc: AnyDoc
  /** The same as one document chunk. */
  readonly saved: Uint8Array
  readonly summary: ImportSummary
  /** Automerge actors that it mentions, in hex, of any length: they can never write entries of this document. */
  readonly actors: ReadonlySet<string>
}

/**
 * SHA-256("sealog/v1/import" ‖ 0x00 ‖ heads ‖ change count as u64): stands in an import's tag where the hash of the
 * latest change stands in others (DESIGN §6.2). The heads commit to all changes, and no change hash can be equal to
 * it, as what Automerge hashes for a change begins with another byte.
 * @returns 32 bytes
 */
export function importCommitment({ heads, count }: ImportSummary): Uint8Array {
  return labelledHash('sealog/v1/import', ...heads, uint64(count))
}

/**
 * Makes a document out of a foreign `Automerge.save()`. What is sealed is what Automerge saves again, not the foreign
 * bytes, and only after it passed what every replica will check.
 * @param saved one document chunk, at most 256 MiB
 * @throws SealogError ERR_GUARD for what the content rules refuse, ERR_CONTENT for what does not load or holds no change
 */
export function buildImport(saved: Uint8Array): BuiltImport {
  const chunk = readShared(saved)
  checkDocumentChanges(chunk, new Uint8Array(chunk.actors.length))
  const foreign = loadGuarded(saved, chunk)
  let payload: Uint8Array
  try {
    payload = encodeCbor([VERSION, Automerge.save(foreign)])
  } finally {
    Automerge.free(foreign)
  }
  const { doc, saved: again, summary } = check(payload, {})
  Automerge.free(doc)
  return { payload, saved: again, summary, commitment: importCommitment(summary) }
}

/** The actors, in hex, that have changes in an import that was checked. */
export function importedActors(saved: Uint8Array): ReadonlySet<string> {
  const { actors, changes } = readShared(saved)
  return new Set(Array.from(new Set(changes.actor), index => actors[index] as string))
}

export interface VerifyImportOptions {
  /** As opened from the entry's body. */
  readonly payload: Uint8Array
  /** Tag of the entry's header, 32 bytes. */
  readonly tag: Uint8Array
  /** `changeTag` under the keys of that entry. */
  readonly tagOf: (commitment: Uint8Array) => Uint8Array
  /** Who is to edit the document that is returned. */
  readonly actor?: ActorId
}

/**
 * Checks an import in the order of all content: it decodes, is what its signed tag commits to, and the guard takes it;
 * then Automerge loads it. The heads in the chunk are compared with the tag before that, and with what was loaded
 * after, so that an import has exactly one content.
 *
 * Its actors may have ids of any length. Who writes entries under one of them, the importer or anybody else, could not
 * be told from it in a snapshot: such entries are refused, not the import.
 * @returns a document that is the caller's to free
 * @throws SealogError ERR_UPGRADE, ERR_MALFORMED, ERR_LIMIT, ERR_TAG, ERR_GUARD, ERR_CONTENT
 */
export function verifyImport(options: VerifyImportOptions): VerifiedImport {
  return check(options.payload, options)
}

function check(payload: Uint8Array, expected: Partial<VerifyImportOptions>): VerifiedImport {
  const { tag, tagOf, actor } = expected
  const saved = decodeImportPayload(payload)
  const chunk = readShared(saved)
  if (chunk.changes.count === 0) refuseDocument('import', 'empty')
  const summary = summaryOf(chunk.heads, chunk.changes.count)
  if (tag !== undefined && tagOf !== undefined && !equalBytes(tagOf(importCommitment(summary)), tag))
    refuseDocument('import-tag', 'import')
  checkDocumentChanges(chunk, new Uint8Array(chunk.actors.length))
  return { doc: loadGuarded(saved, chunk, actor), saved, summary, actors: new Set(chunk.actors) }
}

function decodeImportPayload(bytes: Uint8Array): Uint8Array {
  const value = decodeCbor(bytes, MAX_IMPORT_PAYLOAD)
  const version = Array.isArray(value) ? value[0] : undefined
  if (typeof version === 'number' && version !== VERSION)
    throw new SealogError('ERR_UPGRADE', `import of version ${version}`)
  const [zero, saved] = asTuple(value, 2, 'import')
  asUint(zero, 'import version', VERSION)
  return asBytesUpTo(saved, DOCUMENT_LIMITS.maxBytes, 'imported document')
}
