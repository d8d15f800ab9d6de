import { equalBytes } from '../bytes.ts'
import { asBytesUpTo, asTuple, type Cbor, decodeCbor, encodeCbor } from '../codec.ts'
import { SealogError } from '../errors.ts'
import type { ActorId, DocumentId } from '../ids.ts'
import type { Header } from './entry.ts'
import {
  type ActorRecord,
  type DocumentRecord,
  decodeActorRecord,
  decodeDocumentRecord,
  decodeWriterRecord,
  encodeActorRecord,
  encodeDocumentRecord,
  encodeWriterRecord,
  hashActor,
  hashDocument,
  hashWriter,
  type SpaceState,
  stateKey,
  type WriterRecord,
  writerKey,
} from './state.ts'
import { getAt, type StateMap, setAt } from './state-map.ts'
import { decodePruned, encodePruned } from './state-map-codec.ts'
import { mergePruned, prune } from './state-map-proof.ts'

/** Largest tracer in bytes: it travels in one frame with the entries it is for. */
export const MAX_TRACER_LENGTH: number = 512 * 1024
/** Largest proof of a whole document, which travels in parts, in bytes. */
export const MAX_DOCUMENT_PROOF: number = 32 * 1024 * 1024
/** A node takes at least a byte. */
const MAX_NODES = 1 << 20

/**
 * What entries read and write of one document: these actors, and how many actors these devices have open. The latter
 * only where that number is asked for or changes: where a chain begins or is retired (protocol.md R-ACTOR-3).
 */
export interface TouchedDocument {
  readonly actors: Set<ActorId>
  readonly devices: Set<number>
}

export type Touched = ReadonlyMap<DocumentId, TouchedDocument>

/** What the reducer reads and writes of the documents when it takes these entries. */
export function touchedBy(entries: Iterable<{ readonly header: Header; readonly actor: ActorId }>): Touched {
  const touched = new Map<DocumentId, TouchedDocument>()
  for (const { header, actor } of entries) {
    const document = touched.get(header.document) ?? { actors: new Set(), devices: new Set() }
    touched.set(header.document, document)
    document.actors.add(actor)
    if (header.seq === 0 || header.kind === 'retire') document.devices.add(header.device)
  }
  return touched
}

/**
 * The tracer of some entries (DESIGN §5.3): the records that they replace, present or absent, and the hashes beside
 * their paths, cut out of the state before them. Whoever knows the root of that state can take it in with
 * `mergeTracer`, and then run the reducer as if it had the whole map.
 * @param documents the map before the entries
 * @throws SealogError ERR_PROOF where the map itself lacks one of the parts
 */
export function encodeTracer(documents: StateMap<DocumentRecord>, touched: Touched): Uint8Array {
  let pruned = prune(documents, [...touched.keys()].map(stateKey))
  for (const [document, { actors, devices }] of touched) {
    const record = getAt(documents, stateKey(document))
    if (record === undefined) continue
    pruned = setAt(pruned, stateKey(document), {
      ...record,
      actors: prune(record.actors, [...actors].map(stateKey)),
      writers: prune(record.writers, [...devices].map(writerKey)),
    })
  }
  return encodePruned(pruned, encodeDocument)
}

/** The same for documents as a whole: all their actors, so that nothing of them is left open. */
export function encodeDocuments(documents: StateMap<DocumentRecord>, wanted: Iterable<DocumentId>): Uint8Array {
  return encodePruned(prune(documents, [...wanted].map(stateKey)), encodeDocument)
}

/** The map as far as it is known. */
export function encodeKnown(documents: StateMap<DocumentRecord>): Uint8Array {
  return encodePruned(documents, encodeDocument)
}

/**
 * The state with what a tracer, or a proof of whole documents, knows of it.
 * @throws SealogError ERR_PROOF unless it is cut out of this very state; ERR_MALFORMED, ERR_LIMIT
 */
export function mergeTracer(
  documents: StateMap<DocumentRecord>,
  tracer: Uint8Array,
  maxLength: number = MAX_TRACER_LENGTH,
): StateMap<DocumentRecord> {
  return mergePruned(documents, decodeDocuments(tracer, maxLength), mergeRecords)
}

/** Proves nothing before its root was held against a known one. */
export function decodeDocuments(bytes: Uint8Array, maxLength: number): StateMap<DocumentRecord> {
  return decodePruned(bytes, {
    hashValue: hashDocument,
    decodeValue: (value, key) => decodeDocument(value, key, maxLength),
    maxLength,
    maxNodes: MAX_NODES,
  })
}

/** Forgets what is known of all documents but these, down to the hashes beside their paths. */
export function keepDocuments(state: SpaceState, kept: Iterable<DocumentId>): SpaceState {
  return { control: state.control, documents: prune(state.documents, [...kept].map(stateKey)) }
}

function mergeRecords(mine: DocumentRecord, theirs: DocumentRecord): DocumentRecord {
  const actors = mergePruned(mine.actors, theirs.actors)
  const writers = mergePruned(mine.writers, theirs.writers)
  return actors === mine.actors && writers === mine.writers ? mine : { ...mine, actors, writers }
}

/** `[record, actors, writers]`, each as bytes. */
function encodeDocument(record: DocumentRecord): Uint8Array {
  const parts: readonly Cbor[] = [
    encodeDocumentRecord(record),
    encodePruned(record.actors, encodeActorRecord),
    encodePruned(record.writers, encodeWriterRecord),
  ]
  return encodeCbor(parts)
}

function decodeDocument(bytes: Uint8Array, key: Uint8Array, maxLength: number): DocumentRecord {
  const fields = asTuple(decodeCbor(bytes, maxLength), 3, 'document')
  const record = decodeDocumentRecord(asBytesUpTo(fields[0], 512, 'document record'))
  assertAt(key, stateKey(record.document))
  return {
    ...record,
    actors: decodePruned<ActorRecord>(asBytesUpTo(fields[1], maxLength, 'actors'), {
      hashValue: hashActor,
      decodeValue: (value, at) => {
        const actor = decodeActorRecord(value)
        assertAt(at, stateKey(actor.actor))
        return actor
      },
      maxLength,
      maxNodes: MAX_NODES,
    }),
    writers: decodePruned<WriterRecord>(asBytesUpTo(fields[2], maxLength, 'writers'), {
      hashValue: hashWriter,
      decodeValue: (value, at) => {
        const writer = decodeWriterRecord(value)
        assertAt(at, writerKey(writer.device))
        return writer
      },
      maxLength,
      maxNodes: MAX_NODES,
    }),
  }
}

/** A record in another's place would answer for it. */
function assertAt(key: Uint8Array, expected: Uint8Array): void {
  if (!equalBytes(key, expected)) {
    throw new SealogError('ERR_PROOF', 'a record in the place of another', { details: { reason: 'key' } })
  }
}
