import { beforeAll, describe, expect, it } from 'vitest'
import { encodeCbor } from '../../src/codec.ts'
import { SealogError } from '../../src/errors.ts'
import { type ActorId, CONTROL_DOCUMENT, type DocumentId, documentIdOf } from '../../src/ids.ts'
import type { Batch, LogView } from '../../src/verify/log.ts'
import {
  type ActorRecord,
  type DocumentRecord,
  encodeActorRecord,
  encodeDocumentRecord,
  encodeWriterRecord,
  findActor,
  findDocument,
  knownDocument,
  openActorsOf,
  type SpaceState,
  stateKey,
  stateRoot,
  writerKey,
} from '../../src/verify/state.ts'
import { deleteAt, entriesOf, getAt, mapRoot, type StateMap, setAt } from '../../src/verify/state-map.ts'
import { encodePruned } from '../../src/verify/state-map-codec.ts'
import { prune } from '../../src/verify/state-map-proof.ts'
import {
  decodeDocuments,
  encodeDocuments,
  encodeTracer,
  keepDocuments,
  MAX_TRACER_LENGTH,
  mergeTracer,
} from '../../src/verify/tracer.ts'
import { actorAt, actorOfDevice, touchedIn, tracerOf } from '../helpers/log-answers.ts'
import { accept, bytesOf, DOCUMENT, LogBuilder, type TestDevice, verdictOf } from '../helpers/log-builder.ts'

const documentOf = (name: string): DocumentId => documentIdOf(bytesOf(name).slice(0, 16))
const OTHER = documentOf('other')
const UNTOUCHED = documentOf('untouched')
// Its place is beside those of the others, so that their proofs do not show it, too.
const NEW = documentOf('another')

/** Several documents of several actors, then a stretch that touches some of them, and begins another. */
function richLog(): { log: LogBuilder; writer: TestDevice; start: number } {
  const { log, writer } = LogBuilder.withWriter()
  const third = log.admit('third')
  for (const document of [DOCUMENT, OTHER, UNTOUCHED, ...Array.from({ length: 12 }, (_, i) => documentOf(`d${i}`))]) {
    for (const device of [log.owner, writer, third]) log.append(log.changes(device, { document }))
  }
  const start = log.size
  log.append(log.changes(writer))
  log.append(log.changes(log.owner, { document: OTHER }))
  log.append(log.changes(writer, { document: NEW }))
  log.append(log.snapshot(writer))
  log.append(log.retire(writer, { document: OTHER }))
  log.append(log.changes(writer))
  return { log, writer, start }
}

const { log, writer, start: START } = richLog()
const BEFORE = log.stateAt(START).documents
const TRACER = tracerOf(log, START)
const EMPTY_TOUCHED = { actors: new Set<ActorId>(), devices: new Set<number>() }

/** Has verified the log up to `START`, and kept nothing of its documents. */
let view: LogView

beforeAll(async () => {
  const full = await log.viewAt(START)
  view = { ...full, state: keepDocuments(full.state as SpaceState, [CONTROL_DOCUMENT]) }
})

/** What a sparse replica answers to the stretch with this tracer; its view must be as it was, whatever it answers. */
async function answer(tracer: Uint8Array | undefined, batch: Batch = log.batch(START)): Promise<string> {
  const before = stateRoot(view.state as SpaceState)
  const known = knownIn(view)
  const verdict = await verdictOf(() => accept(view, { ...batch, tracer }))
  expect(stateRoot(view.state as SpaceState)).toEqual(before)
  expect(knownIn(view)).toEqual(known)
  return verdict
}

function knownIn({ state }: LogView): readonly DocumentId[] {
  const documents = [CONTROL_DOCUMENT, DOCUMENT, OTHER, UNTOUCHED, NEW]
  return documents.filter(document => knownDocument(state, document) !== undefined)
}

/** The tracer after something was done to the map that it is cut out of. */
function tracerWith(change: (documents: StateMap<DocumentRecord>) => StateMap<DocumentRecord>): Uint8Array {
  return encodeTracer(change(BEFORE), touchedIn(log, START, log.size))
}

function changed(document: DocumentId, change: (record: DocumentRecord) => DocumentRecord): Uint8Array {
  return tracerWith(map => setAt(map, stateKey(document), change(getAt(map, stateKey(document)) as DocumentRecord)))
}

describe('a sparse replica with tracers (R-TRACER-1)', () => {
  it('comes to the state of a full one, in any batching, and learns of nothing else', async () => {
    for (const step of [1, 2, 6]) {
      let sparse = view
      for (let from = START; from < log.size; from += step) {
        const to = Math.min(log.size, from + step)
        const batch = { ...log.batch(from, to, { signedSize: to }), tracer: tracerOf(log, from, to) }
        const { state, ...rest } = await accept(sparse, batch)
        expect(stateRoot(state as SpaceState)).toEqual(stateRoot(log.stateAt(to)))
        expect(knownDocument(state, UNTOUCHED)).toBeUndefined()
        sparse = { ...rest, state: keepDocuments(state as SpaceState, [CONTROL_DOCUMENT]) }
      }
    }
  })

  it('knows of a touched document what the entries touch, and no more', async () => {
    const { state } = await accept(view, { ...log.batch(START), tracer: TRACER })
    const record = findDocument(state as SpaceState, OTHER) as DocumentRecord
    expect(findActor(record, actorOfDevice(log, log.owner, OTHER))?.seq).toBe(1)
    expect(openActorsOf(record, writer.number)).toBe(0)
    expect(() => [...entriesOf(record.actors)]).toThrow(SealogError)
  })

  it('forgets a document down to the hashes beside its path, and has the same root', () => {
    const state = keepDocuments(log.stateAt(), [DOCUMENT])
    expect(stateRoot(state)).toEqual(stateRoot(log.stateAt()))
    expect(findDocument(state, DOCUMENT)).toBeDefined()
    expect(knownDocument(state, OTHER)).toBeUndefined()
    expect(() => findDocument(state, OTHER)).toThrow(/ERR_PROOF/)
  })

  it('takes in what it lacks, and keeps what it has', () => {
    const sparse = keepDocuments({ control: log.stateAt(START).control, documents: BEFORE }, [OTHER])
    const merged = mergeTracer(sparse.documents, encodeDocuments(BEFORE, [DOCUMENT]))
    expect(mapRoot(merged)).toEqual(mapRoot(BEFORE))
    for (const document of [DOCUMENT, OTHER]) {
      const record = getAt(merged, stateKey(document)) as DocumentRecord
      expect([...entriesOf(record.actors)].length).toBe(3)
    }
    expect(() => getAt(merged, stateKey(UNTOUCHED))).toThrow(/ERR_PROOF/)
    // Less of a document than is known takes nothing away.
    const less = encodeTracer(BEFORE, new Map([[OTHER, EMPTY_TOUCHED]]))
    const record = getAt(mergeTracer(merged, less), stateKey(OTHER)) as DocumentRecord
    expect([...entriesOf(record.actors)].length).toBe(3)
  })
})

describe('a tracer that leaves something out (R-TRACER-2)', () => {
  it('is refused as a proof that is missing, and is no verdict on the entries', async () => {
    expect(await answer(undefined)).toBe('ERR_PROOF stub')
    for (const left of touchedIn(log, START, log.size).keys()) {
      const touched = new Map([...touchedIn(log, START, log.size)].filter(([document]) => document !== left))
      expect(await answer(encodeTracer(BEFORE, touched)), left).toBe('ERR_PROOF stub')
    }
  })

  it('an actor, or how many actors a device has open', async () => {
    const all = touchedIn(log, START, log.size)
    const without = (part: 'actors' | 'devices') =>
      new Map([...all, [OTHER, { ...(all.get(OTHER) ?? EMPTY_TOUCHED), [part]: new Set() }]])
    expect(await answer(encodeTracer(BEFORE, without('actors')))).toBe('ERR_PROOF stub')
    expect(await answer(encodeTracer(BEFORE, without('devices')))).toBe('ERR_PROOF stub')
    expect(await answer(encodeTracer(BEFORE, all))).toBe('accepted')
  })
})

describe('a tracer of another state (R-TRACER-3)', () => {
  it('of another size of the same log', async () => {
    for (const size of [START - 1, START + 1, log.size]) {
      expect(await answer(encodeTracer(log.stateAt(size).documents, touchedIn(log, START, log.size)))).toBe(
        'ERR_PROOF root',
      )
    }
  })

  it('of another log', async () => {
    const other = new LogBuilder({ relaySeed: bytesOf('another relay') })
    other.append(other.genesis())
    expect(await answer(encodeTracer(other.stateAt().documents, new Map([[DOCUMENT, EMPTY_TOUCHED]])))).toBe(
      'ERR_PROOF root',
    )
  })

  it('that hides a document which exists', async () => {
    expect(await answer(tracerWith(map => deleteAt(map, stateKey(DOCUMENT))))).toBe('ERR_PROOF root')
  })

  it('that makes up a document which does not exist', async () => {
    const record = { ...(getAt(BEFORE, stateKey(OTHER)) as DocumentRecord), document: NEW }
    expect(await answer(tracerWith(map => setAt(map, stateKey(NEW), record)))).toBe('ERR_PROOF root')
  })

  it('that hides an actor which exists', async () => {
    const actor = actorAt(log, START)
    const hidden = changed(DOCUMENT, record => ({ ...record, actors: deleteAt(record.actors, stateKey(actor)) }))
    expect(await answer(hidden)).toBe('ERR_PROOF root')
  })

  it('with an extra actor, or one that is further or less far', async () => {
    const actor = actorAt(log, START)
    const put = (change: (record: ActorRecord) => ActorRecord) =>
      changed(DOCUMENT, record => {
        const next = change(findActor(record, actor) as ActorRecord)
        return { ...record, actors: setAt(record.actors, stateKey(next.actor), next) }
      })
    expect(await answer(put(record => ({ ...record, actor: '00'.repeat(16) as ActorId })))).toBe('ERR_PROOF root')
    expect(await answer(put(record => ({ ...record, seq: record.seq + 1 })))).toBe('ERR_PROOF root')
    expect(await answer(put(record => ({ ...record, retired: true })))).toBe('ERR_PROOF root')
    expect(await answer(put(record => record))).toBe('accepted')
  })

  it('that forgets an open actor of a device, a snapshot, or the import', async () => {
    const writers = changed(DOCUMENT, record => ({
      ...record,
      writers: setAt(record.writers, writerKey(writer.number), { device: writer.number, open: 0 }),
    }))
    expect(await answer(writers)).toBe('ERR_PROOF root')
    expect(await answer(changed(DOCUMENT, record => ({ ...record, contentEnd: 1 })))).toBe('ERR_PROOF root')
    expect(await answer(changed(DOCUMENT, record => ({ ...record, importTag: bytesOf('import') })))).toBe(
      'ERR_PROOF root',
    )
  })
})

describe('a record in the place of another (R-TRACER-4)', () => {
  const record = getAt(BEFORE, stateKey(OTHER)) as DocumentRecord
  const decode = (bytes: Uint8Array) => verdictOf(() => decodeDocuments(bytes, MAX_TRACER_LENGTH))
  const nothing = encodeCbor([0])
  const inPlace = (key: Uint8Array, actors: Uint8Array, writers: Uint8Array): Uint8Array =>
    encodeCbor([[key, encodeCbor([encodeDocumentRecord(record), actors, writers])]])

  it('does not answer for it: a document, an actor, a device', async () => {
    const actors = prune(record.actors, [stateKey(actorOfDevice(log, writer, OTHER))])
    const misplaced = encodeCbor([
      [stateKey('11'.repeat(16) as ActorId), encodeActorRecord([...entriesOf(record.actors)][0]?.[1] as ActorRecord)],
    ])
    const device = encodeCbor([[writerKey(7), encodeWriterRecord({ device: 8, open: 1 })]])
    const own = encodePruned(actors, encodeActorRecord)
    expect(await decode(inPlace(stateKey(OTHER), own, nothing))).toBe('accepted')
    expect(await decode(inPlace(stateKey(DOCUMENT), own, nothing))).toBe('ERR_PROOF key')
    expect(await decode(inPlace(stateKey(OTHER), misplaced, nothing))).toBe('ERR_PROOF key')
    expect(await decode(inPlace(stateKey(OTHER), own, device))).toBe('ERR_PROOF key')
  })

  it('two documents that have changed places are refused with the stretch, too', async () => {
    const other = getAt(BEFORE, stateKey(DOCUMENT)) as DocumentRecord
    const swapped = tracerWith(map => setAt(setAt(map, stateKey(OTHER), other), stateKey(DOCUMENT), record))
    expect(await answer(swapped)).toBe('ERR_PROOF key')
  })
})

describe('garbage (R-TRACER-5)', () => {
  it('a tracer that is cut short or has bytes behind it', async () => {
    for (let length = 0; length < TRACER.length; length += 41) {
      expect(await answer(TRACER.slice(0, length)), `${length}`).toMatch(/^ERR_(MALFORMED|PROOF)/)
    }
    expect(await answer(new Uint8Array([...TRACER, 0]))).toBe('ERR_MALFORMED')
  })

  it('a tracer with a bit flipped anywhere', async () => {
    for (let at = 0; at < TRACER.length; at += 13) {
      const flipped = TRACER.slice()
      flipped[at] = (flipped[at] as number) ^ (1 << (at % 8))
      expect(await answer(flipped), `byte ${at}`).toMatch(/^ERR_(MALFORMED|LIMIT|PROOF)/)
    }
  })

  it('a tracer that is too long is not read', async () => {
    expect(await answer(new Uint8Array(MAX_TRACER_LENGTH + 1))).toBe('ERR_LIMIT')
  })

  it('a tracer where there is no state yet', async () => {
    const batch = { ...log.batch(0, START), tracer: TRACER }
    expect(await verdictOf(() => accept(log.emptyView(), batch))).toBe('ERR_PROOF')
  })
})

describe('a relay that signs a state which its log does not lead to (R-BATCH-3)', () => {
  it('is found out by a sparse replica as by a full one', async () => {
    const forgetful = stateRoot(log.stateAt(log.size - 1))
    const batch = log.batch(START, log.size, { checkpoint: { stateRoot: forgetful } })
    expect(await answer(TRACER, batch)).toBe('ERR_STATE_ROOT')
    const full = await log.viewAt(START)
    expect(await verdictOf(() => accept(full, batch))).toBe('ERR_STATE_ROOT')
  })
})
