import {
  type ActorId,
  actorsOf,
  type DocumentId,
  type DocumentRecord,
  documentIdOf,
  encodeDocuments,
  encodeTracer,
  equalBytes,
  getAt,
  hashDocument,
  MAX_DOCUMENT_PROOF,
  mapRoot,
  mergeTracer,
  type StateMap,
  stateKey,
  stubMap,
  type Touched,
  type TouchedDocument,
} from 'sealog/protocol'
import { type Figure, microseconds } from './measure.ts'
import { bytesOf } from './synthetic-keys.ts'
import { actorNumber, documentNumber, documentOf, documentsOf } from './synthetic-space.ts'

/** Actors of the documents that are proven. */
const ACTORS = [2, 200]
/** Documents that one batch touches, where it touches many. */
const MANY = 100
/** DESIGN §11: bytes for each actor that a batch touches. */
const TRACER_BUDGET = { documents: 100_000, bytes: 1024 }
/** So many calls that the largest proof takes some tenths of a second. */
const CALLS = 20

/** Proofs of a space's state: tracers of what a batch touches, and proofs of whole documents. */
export function benchStateProofs(size: number): readonly Figure[] {
  const large = ACTORS.map(count => documentOf(documentIdOf(bytesOf(`${count} actors`).slice(0, 16)), count))
  const documents = documentsOf(size - large.length, large)
  // What the state root proves to a replica that has opened nothing.
  const sparse = stubMap(mapRoot(documents), hashDocument)
  const name = `${size.toLocaleString('en')} documents`
  const figures: Figure[] = []
  const tracer = (what: string, touched: Touched): void => {
    figures.push(...benchTracer(`${name}, ${what}`, size, documents, sparse, touched))
  }
  for (const [i, count] of ACTORS.entries()) {
    const { document } = large[i] as DocumentRecord
    const actors = Array.from({ length: count }, (_, device) => device)
    tracer(`1 of ${count} actors`, new Map([[document, goingOn(actors.slice(0, 1))]]))
    tracer(`all ${count} actors`, new Map([[document, goingOn(actors)]]))
    tracer(`1 new beside ${count} actors`, new Map([[document, beginning(count)]]))
    figures.push(...benchDocument(`${name}, ${count} actors`, size, documents, sparse, document))
  }
  const many = Array.from({ length: Math.min(MANY, size - large.length) }, (_, i) => documentNumber(i))
  tracer(`${many.length} touched`, new Map(many.map(document => [document, goingOn([0])])))
  return figures
}

/** Actors that go on with what they write, as nearly all entries do. */
function goingOn(numbers: readonly number[]): TouchedDocument {
  const actors: readonly ActorId[] = numbers.map(actorNumber)
  return { actors: new Set(actors), devices: new Set() }
}

/** An actor that has written nothing here yet. */
function beginning(number: number): TouchedDocument {
  return { actors: new Set([actorNumber(number)]), devices: new Set([number]) }
}

function benchTracer(
  name: string,
  size: number,
  documents: StateMap<DocumentRecord>,
  sparse: StateMap<DocumentRecord>,
  touched: Touched,
): readonly Figure[] {
  const bytes = encodeTracer(documents, touched)
  assertSame(documents, mergeTracer(sparse, bytes))
  const actors = [...touched.values()].reduce((sum, each) => sum + each.actors.size, 0)
  return [
    {
      case: `tracer per actor, ${name}`,
      value: bytes.length / actors,
      unit: 'bytes',
      ...(size === TRACER_BUDGET.documents ? { atMost: TRACER_BUDGET.bytes } : {}),
    },
    { case: `make tracer, ${name}`, value: microseconds(CALLS, () => encodeTracer(documents, touched)), unit: 'µs' },
    { case: `verify tracer, ${name}`, value: microseconds(CALLS, () => mergeTracer(sparse, bytes)), unit: 'µs' },
  ]
}

function benchDocument(
  name: string,
  size: number,
  documents: StateMap<DocumentRecord>,
  sparse: StateMap<DocumentRecord>,
  document: DocumentId,
): readonly Figure[] {
  const bytes = encodeDocuments(documents, [document])
  /** As `verifyDocument` begins: the records are those of the root, and none is left out. */
  const verify = (): void => {
    const merged = mergeTracer(sparse, bytes, MAX_DOCUMENT_PROOF)
    for (const _ of actorsOf(getAt(merged, stateKey(document)) as DocumentRecord));
  }
  verify()
  // Beside the records themselves: a hash for each level of the map above them.
  const alone = encodeDocuments(documentsOf(0, [getAt(documents, stateKey(document)) as DocumentRecord]), [document])
  const floor = alone.length + 32 * Math.ceil(Math.log2(size))
  return [
    { case: `document proof, ${name}`, value: bytes.length, unit: 'bytes', floor },
    {
      case: `make document proof, ${name}`,
      value: microseconds(CALLS, () => encodeDocuments(documents, [document])),
      unit: 'µs',
    },
    { case: `verify document proof, ${name}`, value: microseconds(CALLS, verify), unit: 'µs' },
  ]
}

function assertSame(a: StateMap<DocumentRecord>, b: StateMap<DocumentRecord>): void {
  if (!equalBytes(mapRoot(a), mapRoot(b))) throw new Error('the tracer is not of this state')
}
