import {
  actorOf,
  type Batch,
  concat,
  decodeHeader,
  deleteAt,
  encodeTracer,
  findDocument,
  type SpaceState,
  setAt,
  stateKey,
  touchedBy,
} from 'sealog/protocol'
import { forgeLog } from './forged-log.ts'
import { batchLie, flip, type Lie, type Teller } from './lie.ts'

/** Anything that does not lead to the root of the state before the entries, or that cannot be read. */
const REFUSED = ['ERR_PROOF', 'ERR_MALFORMED', 'ERR_LIMIT'] as const

/** Other tracers than the one that a batch needs, told to whoever does not know the whole state. */
export const TRACER_LIES: readonly Lie[] = [
  ...['first', 'early', 'middle', 'late', 'last'].map((where, quarter) =>
    tracerLie(`flipped-${where}`, `a bit is flipped in the ${where} byte of`, tracer =>
      flip(tracer, Math.floor(((tracer.length - 1) * quarter) / 4)),
    ),
  ),
  tracerLie('cut', 'the last byte is missing in', tracer => tracer.slice(0, -1)),
  tracerLie('halved', 'the second half is missing in', tracer => tracer.slice(0, tracer.length / 2)),
  tracerLie('padded', 'a byte follows', tracer => concat(tracer, Uint8Array.of(0))),
  tracerLie('empty', 'nothing is in', () => new Uint8Array(0)),
  tracerLie('missing', 'there is no such thing as', () => undefined),
  stateLie('old', 'of the state an entry earlier is', (batch, { log }) => forgeLog(log).state(batch.from - 1)),
  stateLie('later', 'of the state behind the entries is', (batch, { log }) =>
    forgeLog(log).state(batch.from + batch.entries.length),
  ),
  stateLie('denying', 'of a state without the document is', (batch, { log }) => {
    const state = forgeLog(log).state(batch.from)
    const document = documentIn(batch)
    return state && { ...state, documents: deleteAt(state.documents, stateKey(document)) }
  }),
  stateLie('forgetful', 'of a state without the author is', (batch, { log }) => {
    const state = forgeLog(log).state(batch.from)
    const record = state && findDocument(state, documentIn(batch))
    const [author] = state && record ? authorsIn(batch, state) : []
    if (state === undefined || record === undefined || author === undefined) return undefined
    const actors = deleteAt(record.actors, stateKey(author.actor))
    const documents = setAt(state.documents, stateKey(record.document), { ...record, actors })
    return { ...state, documents }
  }),
  batchLie({
    name: 'other-tracer',
    says: 'the tracer of another document comes in place of the one that is needed',
    expected: REFUSED,
    batch: (batch, { log }) => {
      const state = forgeLog(log).state(batch.from)
      if (batch.tracer === undefined || batch.entries.length === 0 || state === undefined) return undefined
      const { document } = decodeHeader((batch.entries[0] as Batch['entries'][number]).header)
      const other = authorsIn({ ...batch, entries: log.slice(0, batch.from) }, state)
      return {
        ...batch,
        tracer: encodeTracer(state.documents, touchedBy(other.filter(each => each.header.document !== document))),
      }
    },
  }),
]

function tracerLie(name: string, what: string, change: (tracer: Uint8Array) => Uint8Array | undefined): Lie {
  return batchLie({
    name: `${name}-tracer`,
    says: `${what} the tracer of a batch`,
    expected: REFUSED,
    batch: batch =>
      batch.tracer === undefined || batch.entries.length === 0 ? undefined : { ...batch, tracer: change(batch.tracer) },
  })
}

/** The tracer as it would be if the state before the entries were another. */
function stateLie(name: string, what: string, stateFor: (batch: Batch, teller: Teller) => SpaceState | undefined): Lie {
  return batchLie({
    name: `${name}-tracer`,
    says: `the tracer ${what} in place of the one that is needed`,
    expected: REFUSED,
    batch: (batch, teller) => {
      if (batch.tracer === undefined || batch.entries.length === 0) return undefined
      const state = stateFor(batch, teller)
      return state && { ...batch, tracer: encodeTracer(state.documents, touchedBy(authorsIn(batch, state))) }
    },
  })
}

type Authored = Parameters<typeof touchedBy>[0] extends Iterable<infer T> ? T : never

function authorsIn({ entries }: Batch, { control }: SpaceState): readonly Authored[] {
  return entries.flatMap(entry => {
    const header = decodeHeader(entry.header)
    const device = control.devices.get(header.device)
    if (device === undefined || header.kind === 'control') return []
    return [{ header, actor: actorOf(header.space, header.document, device.signing, header.incarnation) }]
  })
}

function documentIn({ entries }: Batch): ReturnType<typeof decodeHeader>['document'] {
  return decodeHeader((entries.at(-1) as Batch['entries'][number]).header).document
}
