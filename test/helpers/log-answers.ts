import { ZERO_32 } from '../../src/crypto/hash.ts'
import { publicKeyOf } from '../../src/crypto/sign.ts'
import { nobleSigningKey } from '../../src/crypto/sign-backend.ts'
import { type ActorId, CONTROL_DOCUMENT, type DocumentId } from '../../src/ids.ts'
import { encodeNote, parseNote } from '../../src/verify/checkpoint.ts'
import { appendLeaves, emptyRange, encodeRange } from '../../src/verify/compact-range.ts'
import { cosign } from '../../src/verify/cosignature.ts'
import { actorOf } from '../../src/verify/entry.ts'
import {
  type DocumentHead,
  decodeDocumentHead,
  decodeSkipHead,
  encodeDocumentHead,
  encodeSkipHead,
  type LogRecord,
  type PrefixProof,
  type SkipHead,
} from '../../src/verify/records.ts'
import { actorsOf, findDocument } from '../../src/verify/state.ts'
import { encodeDocuments, encodeTracer, type Touched, touchedBy } from '../../src/verify/tracer.ts'
import type { BuiltEntry, LogBuilder, TestDevice } from './log-builder.ts'

/*
 * The relay's side of tracers and fast-forward for hand-made logs: what an honest relay answers, made in the shortest
 * way from all that the test knows, and not by the code of the relay.
 */

/** The actor of entry `index`. */
export function actorAt(log: LogBuilder, index: number): ActorId {
  const { decoded } = log.entries[index] as BuiltEntry
  const device = log.stateAt(log.size).control.devices.get(decoded.device)
  if (device === undefined) throw new Error(`no device ${decoded.device}`)
  return actorOf(log.spaceBytes, decoded.document, device.signing, decoded.incarnation)
}

export function actorOfDevice(log: LogBuilder, device: TestDevice, document: DocumentId): ActorId {
  return actorOf(log.spaceBytes, document, publicKeyOf(device.signing), device.incarnation)
}

/** What entries `from … to−1` read and write. */
export function touchedIn(log: LogBuilder, from: number, to: number): Touched {
  const entries = log.entries.slice(from, to)
  return touchedBy(entries.map(({ decoded }, i) => ({ header: decoded, actor: actorAt(log, from + i) })))
}

export function tracerOf(log: LogBuilder, from: number, to: number = log.size): Uint8Array {
  return encodeTracer(log.stateAt(from).documents, touchedIn(log, from, to))
}

export interface SkipAnswer {
  readonly head: SkipHead
  readonly records: readonly LogRecord[]
}

/** From entry `from` to the checkpoint of size `to`, with proofs from the sizes in `prove`. */
export function skipAnswer(
  log: LogBuilder,
  from: number,
  to: number = log.size,
  prove: readonly number[] = [],
): SkipAnswer {
  const control = log.entries
    .map((entry, index) => ({ entry, index }))
    .filter(({ entry, index }) => index >= from && index < to && entry.decoded.kind === 'control')
  const end = (control.at(-1)?.index ?? -1) + 1
  const head: SkipHead = {
    note: log.note(log.checkpoint(to)),
    range: rangeAt(log, to),
    documents: encodeDocuments(log.stateAt(to).documents, [CONTROL_DOCUMENT]),
    controlRoot: end === 0 ? ZERO_32 : log.rootAt(end),
    proofs: proofsTo(log, to, [from, ...prove, ...control.map(({ entry }) => entry.decoded.seenSize), end]),
  }
  const records = control.map(({ entry, index }): LogRecord => {
    const { header, signature, body } = entry
    return { index, header, signature, body, inclusion: log.inclusion(index, to) }
  })
  return { head: decodeSkipHead(encodeSkipHead(head)), records }
}

export interface DocumentAnswer {
  readonly head: DocumentHead
  readonly records: readonly LogRecord[]
}

/** All there is of a document; with `isWhole` all its entries, otherwise those that its latest snapshot does not cover. */
export function documentAnswer(log: LogBuilder, document: DocumentId, isWhole = false): DocumentAnswer {
  const { size } = log
  const record = findDocument(log.stateAt(size), document)
  const actors = record === undefined ? [] : [...actorsOf(record)]
  const covered = isWhole ? 0 : (record?.snapshots.at(-1)?.seenSize ?? 0)
  const head: DocumentHead = {
    size,
    documents: encodeDocuments(log.stateAt(size).documents, [document]),
    proofs: proofsTo(
      log,
      size,
      actors.map(actor => actor.seenSize),
    ),
  }
  const own = log.entries
    .map((entry, index) => ({ entry, index }))
    .filter(item => item.entry.decoded.document === document)
  const records = actors.flatMap(({ actor }): LogRecord[] => {
    const chain = own.filter(({ index }) => actorAt(log, index) === actor)
    const below = chain.filter(({ index }) => index < covered).at(-1)
    const sent = chain.filter(item => item.index >= covered || item === below)
    return sent.map(item => ({
      index: item.index,
      header: item.entry.header,
      signature: item === chain.at(-1) ? item.entry.signature : undefined,
      body: item === below ? undefined : item.entry.body,
      inclusion: [],
    }))
  })
  records.sort((a, b) => a.index - b.index)
  return { head: decodeDocumentHead(encodeDocumentHead(head)), records }
}

/** The note with cosignatures of these devices, in this order. @param time Unix seconds */
export async function cosigned(
  log: LogBuilder,
  note: Uint8Array,
  devices: readonly TestDevice[],
  time = 1_800_000_000,
): Promise<Uint8Array> {
  const { checkpoint, text, signatures } = parseNote(note)
  const lines = devices.map(({ number, signing }) => cosign(text, log.space, number, time, nobleSigningKey(signing)))
  return encodeNote(checkpoint, [...signatures, ...(await Promise.all(lines))])
}

export function rangeAt(log: LogBuilder, size: number): Uint8Array {
  const hashes = log.entries.slice(0, size).map(entry => entry.hash)
  return encodeRange(appendLeaves(emptyRange, hashes))
}

export function proofsTo(log: LogBuilder, size: number, sizes: readonly number[]): readonly PrefixProof[] {
  const needed = [...new Set(sizes)].filter(each => each > 0 && each < size)
  return needed.map(each => ({ size: each, proof: log.consistency(each, size) }))
}
