import {
  advance,
  assertChecks,
  type Batch,
  CONTROL_DOCUMENT,
  DIRECTORY_DOCUMENT,
  decodeHeader,
  defaultVerifier,
  encodeTracer,
  entryHash,
  findDocument,
  keepDocuments,
  type LogView,
  type SignatureVerifier,
  type SpaceState,
  touchedBy,
} from 'sealog/protocol'
import { type Figure, median, microseconds } from './measure.ts'
import { type SyntheticEntry, SyntheticLog } from './synthetic-log.ts'
import { documentNumber, documentsOf } from './synthetic-space.ts'

const DOCUMENTS = 10_000
/** Documents that the entries are about. */
const TOUCHED = 50
/** Batches, and entries in each: a few of what fits into one frame. */
const BATCHES = 8
const ENTRIES = 1_000
const ROUNDS = 5
/** DESIGN §11, for one header. */
const BUDGET = 15

interface Case {
  readonly name: string
  /** Entries between two of which the author saw what was new. */
  readonly entriesPerPush: number
}

const CASES: readonly Case[] = [
  { name: '16 entries a push', entriesPerPush: 16 },
  { name: '1 entry a push', entriesPerPush: 1 },
]

/**
 * Catching up: `advance` and the signatures that it asks for, without bodies. Held against what nobody can do without,
 * which is to read a header and to hash it.
 */
export async function benchCatchUp(): Promise<readonly Figure[]> {
  const verifier = await defaultVerifier()
  const figures: Figure[] = []
  for (const { name, entriesPerPush } of CASES) {
    const { view, batches } = buildBatches(entriesPerPush)
    const headers = batches.full.flatMap(({ entries }) => entries.map(({ header }) => header))
    const floor = microseconds(headers.length, i => {
      decodeHeader(headers[i] as Uint8Array)
      entryHash(headers[i] as Uint8Array)
    })
    const full = await timePerHeader(view, batches.full, verifier, state => state)
    const sparse = await timePerHeader(
      { ...view, state: view.state && keep(view.state) },
      batches.sparse,
      verifier,
      keep,
    )
    figures.push(
      { case: `verify header, full, ${name}`, value: full, unit: 'µs', floor, atMost: BUDGET },
      { case: `verify header, sparse, ${name}`, value: sparse, unit: 'µs', floor, atMost: BUDGET },
    )
  }
  return figures
}

interface Built {
  /** Before the first batch. */
  readonly view: LogView
  readonly batches: { readonly full: readonly Batch[]; readonly sparse: readonly Batch[] }
}

function buildBatches(entriesPerPush: number): Built {
  const log = new SyntheticLog(withOtherDocuments)
  const view = log.view()
  const full: Batch[] = []
  const sparse: Batch[] = []
  for (let batch = 0; batch < BATCHES; batch++) {
    const from = log.size
    const before = log.state
    const entries: SyntheticEntry[] = []
    for (let i = 0; i < ENTRIES; i++) {
      if (i % entriesPerPush === 0) log.see()
      // Of documents that are new and grow: a writer stays with one for a while.
      entries.push(log.append(documentNumber(DOCUMENTS + (Math.floor(i / 16) % TOUCHED))))
    }
    const made = batchOf(from, entries, log.note())
    full.push(made)
    const touched = touchedBy(entries.map(({ decoded, actor }) => ({ header: decoded, actor })))
    sparse.push({ ...made, tracer: encodeTracer(before.documents, touched) })
  }
  return { view, batches: { full, sparse } }
}

function withOtherDocuments(state: SpaceState): SpaceState {
  const control = findDocument(state, CONTROL_DOCUMENT)
  return { ...state, documents: documentsOf(DOCUMENTS, control === undefined ? [] : [control]) }
}

/** As the relay sends it: a signature on the last entry of each actor, no bodies. */
function batchOf(from: number, entries: readonly SyntheticEntry[], note: Uint8Array): Batch {
  const last = new Map(entries.map(entry => [entry.actor, entry]))
  const sent = entries.map(entry => {
    const signature = last.get(entry.actor) === entry ? entry.signature : undefined
    return { header: entry.header, signature, body: undefined }
  })
  return { from, entries: sent, seenProofs: [], note, consistency: [], tracer: undefined }
}

function keep(state: SpaceState): SpaceState {
  return keepDocuments(state, [CONTROL_DOCUMENT, DIRECTORY_DOCUMENT])
}

/** @returns microseconds */
async function timePerHeader(
  start: LogView,
  batches: readonly Batch[],
  verifier: SignatureVerifier,
  keptOf: (state: SpaceState) => SpaceState,
): Promise<number> {
  const times: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    let view = start
    for (const batch of batches) {
      const began = performance.now()
      const advanced = advance(view, batch)
      await assertChecks(verifier, advanced.checks)
      times.push((1000 * (performance.now() - began)) / batch.entries.length)
      const { state } = advanced.view
      view = { ...advanced.view, state: state && keptOf(state) }
    }
  }
  return median(times)
}
