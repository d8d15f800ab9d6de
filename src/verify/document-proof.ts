import { equalBytes, isZero } from '../bytes.ts'
import { SealogError } from '../errors.ts'
import type { ActorId, DocumentId } from '../ids.ts'
import { rootOf } from './compact-range.ts'
import { actorOf, decodeHeader, entryHash, entrySigningInput, type Header } from './entry.ts'
import { bodyOf } from './entry-body.ts'
import type { LogView, RequiredCheck, VerifiedEntry } from './log.ts'
import { prefixesOf } from './prefixes.ts'
import type { DocumentHead, LogRecord } from './records.ts'
import { type ActorRecord, actorsOf, type DocumentRecord, type SpaceState, stateKey } from './state.ts'
import { entriesOf, getAt } from './state-map.ts'
import { MAX_DOCUMENT_PROOF, mergeTracer } from './tracer.ts'

/** The end of one actor's chain: ascending, without gap, up to the actor's latest entry. */
export type Chain = readonly VerifiedEntry[]

export interface ProvenDocument {
  /** The state with all that it has of the document. */
  readonly state: SpaceState
  /** Undefined where the log has no entry of this document. */
  readonly record: DocumentRecord | undefined
  readonly chains: ReadonlyMap<ActorId, Chain>
  /** Every one must hold before anything of this result is used. */
  readonly checks: readonly RequiredCheck[]
}

/**
 * Verifies what a relay says of one document as of the view (DESIGN §5.4). What is proven:
 *
 * 1. this is all that the state of the view has of the document: all of its actors, none left out;
 * 2. for each actor, the entries are the end of its chain: the last is the one in the state, and each commits to the
 *    one before through `prev`;
 * 3. the last one is signed by the actor's device, which covers the others;
 * 4. what its author had seen is how this very log begins;
 * 5. every body that came is the one its header commits to.
 *
 * Where the entries stand in the log is only claimed, see `assertPlaces`; nothing about content depends on it.
 *
 * @throws SealogError with the code of the step that failed
 */
export function verifyDocument(
  view: LogView,
  document: DocumentId,
  head: DocumentHead,
  records: readonly LogRecord[],
): ProvenDocument {
  const { state, range } = view
  if (state === undefined || head.size !== range.size) {
    throw new SealogError('ERR_UNEXPECTED', `a document as of ${head.size} entries, where ${range.size} are known`)
  }
  const documents = mergeTracer(state.documents, head.documents, MAX_DOCUMENT_PROOF)
  const record = getAt(documents, stateKey(document))
  const known: SpaceState = { control: state.control, documents }
  if (record === undefined) {
    if (records.length > 0) throw new SealogError('ERR_PROOF', 'entries of a document that the log does not have')
    return { state: known, record, chains: new Map(), checks: [] }
  }
  assertComplete(record)
  const prefixes = prefixesOf(range.size, rootOf(range), head.proofs)
  const entries = records.map(item => entryOf(state, document, item, range.size))
  const chains = new Map<ActorId, Chain>()
  const checks: RequiredCheck[] = []
  const byActor = groupByActor(entries)
  for (const actor of actorsOf(record)) {
    const own = byActor.get(actor.actor) ?? []
    const chain = own.map(item => item.entry).sort((a, b) => a.header.seq - b.header.seq)
    assertChain(chain, actor)
    chains.set(actor.actor, chain)
    const last = chain.at(-1) as VerifiedEntry
    prefixes.assertPrefix(last.header.seenSize, last.header.seenRoot)
    checks.push(signatureOf(last, own.find(item => item.entry === last) as Read))
  }
  const counted = [...chains.values()].reduce((sum, chain) => sum + chain.length, 0)
  if (counted !== entries.length)
    throw new SealogError('ERR_PROOF', 'an entry of an actor that the state does not have')
  assertPlaces(chains.values())
  return { state: known, record, chains, checks }
}

/**
 * What can be told of claimed places in the log: no two entries are at one place, as they are kept by it; none is before
 * what its author had seen of the log (protocol.md R-SEEN-1); and nothing comes before an import.
 * @param chains of one document
 * @throws SealogError ERR_PROOF
 */
export function assertPlaces(chains: Iterable<Chain>): void {
  const entries = [...chains].flat()
  const places = new Set(entries.map(entry => entry.index))
  const imported = entries.find(({ header }) => header.kind === 'import')
  const isWrong =
    places.size !== entries.length ||
    entries.some(({ header, index }) => header.seenSize > index) ||
    (imported !== undefined && entries.some(({ index }) => index < imported.index))
  if (isWrong) throw new SealogError('ERR_PROOF', 'entries at places of the log where they cannot be')
}

/**
 * The chain with entries that come right before it, and which it commits to.
 * @throws SealogError ERR_PROOF, ERR_BODY
 */
export function prependChain(state: SpaceState, chain: Chain, records: readonly LogRecord[]): Chain {
  const [first] = chain
  if (first === undefined) throw new TypeError('chain: expected one that is not empty')
  const earlier = records.map(record => entryOf(state, first.header.document, record, first.index).entry)
  const whole = [...earlier, ...chain]
  assertLinked(whole)
  return whole
}

interface Read {
  readonly entry: VerifiedEntry
  readonly signer: Uint8Array
  readonly signature: Uint8Array | undefined
}

function groupByActor(entries: readonly Read[]): ReadonlyMap<ActorId, readonly Read[]> {
  const groups = new Map<ActorId, Read[]>()
  for (const item of entries) {
    const group = groups.get(item.entry.actor)
    if (group === undefined) groups.set(item.entry.actor, [item])
    else group.push(item)
  }
  return groups
}

function entryOf({ control }: SpaceState, document: DocumentId, record: LogRecord, size: number): Read {
  const header: Header = decodeHeader(record.header)
  const { index } = record
  const device = control.devices.get(header.device)
  const isOfDocument = header.document === document && equalBytes(header.space, control.space)
  if (!isOfDocument || device === undefined || index >= size) {
    throw new SealogError('ERR_PROOF', 'an entry that does not belong to the document', { details: { index } })
  }
  const actor = actorOf(header.space, document, device.signing, header.incarnation)
  const hash = entryHash(record.header)
  const body = bodyOf(header, record.body, index)
  const entry: VerifiedEntry = { index, header, hash, actor, body, control: undefined }
  return { entry, signer: device.signing, signature: record.signature }
}

function assertComplete(record: DocumentRecord): void {
  // Both walk the whole map, and throw at the first part that is not shown.
  for (const _ of actorsOf(record));
  for (const _ of entriesOf(record.writers));
}

function assertChain(chain: Chain, actor: ActorRecord): void {
  const last = chain.at(-1)
  if (last === undefined || !equalBytes(last.hash, actor.hash)) {
    throw new SealogError('ERR_PROOF', 'the latest entry of an actor is not the one in the state')
  }
  assertLinked(chain)
}

function assertLinked(chain: Chain): void {
  for (const [i, { header, index }] of chain.entries()) {
    const before = chain[i - 1]
    const isLinked =
      before === undefined
        ? header.seq > 0 || isZero(header.prev)
        : header.seq === before.header.seq + 1 && equalBytes(header.prev, before.hash) && index > before.index
    if (!isLinked) throw new SealogError('ERR_PROOF', 'a chain with a gap', { details: { index } })
  }
}

function signatureOf({ index, hash }: VerifiedEntry, { signer, signature }: Read): RequiredCheck {
  if (signature === undefined) {
    throw new SealogError('ERR_UNCOVERED', `entry ${index} is covered by no signature`, { details: { index } })
  }
  return {
    publicKey: signer,
    message: entrySigningInput(hash),
    signature,
    code: 'ERR_SIGNATURE',
    what: `entry ${index}`,
  }
}
