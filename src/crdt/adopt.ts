import * as Automerge from '@automerge/automerge/slim'
import { equalBytes } from '../bytes.ts'
import { changeTag, openBody } from '../crypto/keyring.ts'
import { SealogError } from '../errors.ts'
import type { ActorId, DocumentId } from '../ids.ts'
import { assertPlaces, type Chain, type ProvenDocument, prependChain } from '../verify/document-proof.ts'
import { headerContext } from '../verify/entry.ts'
import { bodyOf } from '../verify/entry-body.ts'
import type { VerifiedEntry } from '../verify/log.ts'
import type { DocumentRecord } from '../verify/state.ts'
import type { ChangeTip } from './chain-place.ts'
import type { AnyDoc } from './content.ts'
import type { SpaceKeys } from './epoch-secrets.ts'
import { type KeysOf, keysIn } from './receive.ts'
import { type ProvenActor, type VerifiedSnapshot, verifySnapshot } from './snapshot.ts'
import { type CoveredActor, decodeSnapshotPayload, type SnapshotPayload } from './snapshot-payload.ts'
import type { SpaceChannel } from './space-channel.ts'
import { type UncheckedDocument, uncheckedBelow } from './unchecked.ts'

/** A document as it came by fast-forward, checked as far as it can be without the entries that the snapshot covers. */
export interface Adoption {
  readonly document: DocumentId
  readonly record: DocumentRecord
  /** Undefined where all entries came. */
  readonly snapshot: AdoptedSnapshot | undefined
  /** What the snapshot does not cover, in the order of the log. */
  readonly entries: readonly VerifiedEntry[]
  readonly keysOf: KeysOf
  /** What has yet to be held against the tags below the last covered ones; undefined where there are none. */
  readonly unchecked: UncheckedDocument | undefined
  /** Gives up the memory of one that is not used. */
  discard(): void
}

export interface AdoptedSnapshot {
  readonly doc: AnyDoc
  /** With the same as one document chunk. */
  readonly payload: SnapshotPayload
  readonly count: number
  /** Latest change of each actor in it. */
  readonly tips: ReadonlyMap<ActorId, ChangeTip>
}

export interface AdoptOptions {
  readonly channel: SpaceChannel
  readonly keys: SpaceKeys
  /** Which snapshot was asked for: 0 is the latest, 1 the one before, beyond them all entries. */
  readonly snapshot: number
  /** Who is to edit the document here, where that is known. */
  readonly actor: ActorId | undefined
}

/** A snapshot that is not what the signed tags commit to: its author made it so. Or one not served, or lacking a key here. */
export class SnapshotRefused extends Error {
  readonly entry: VerifiedEntry
  readonly error: SealogError

  constructor(entry: VerifiedEntry, error: SealogError) {
    super(error.message, { cause: error })
    this.entry = entry
    this.error = error
  }
}

/** A snapshot that does not go with what was here: which of the two holds, only all entries from the first settle. */
export class SnapshotContradicted extends Error {
  constructor() {
    super('the snapshot contradicts what was here')
  }
}

/**
 * Prepares a proven document for the store (DESIGN §5.4): fetches what did not travel with it, opens the snapshot, and
 * holds it against the tags of the proven chains (§6.2). What it does not cover comes as entries, like any others.
 * @throws SnapshotRefused; SealogError where the relay's answers do not fit together
 */
export async function prepareAdoption(
  proven: ProvenDocument,
  record: DocumentRecord,
  options: AdoptOptions,
): Promise<Adoption> {
  const { document } = record
  const keysOf = keysIn(options.keys, proven.state)
  const fetcher = new Fetcher(proven, document, options.channel)
  const entry = chosenSnapshot(proven, record, options.snapshot)
  const opened = entry && (await openSnapshot(entry, fetcher, keysOf))
  const covered = new Map(opened?.covered.map(item => [item.actor, item]))
  await fetcher.complete(covered)
  assertPlaces(fetcher.chains.values())
  const snapshot = entry && opened && checked(entry, opened, record, fetcher, keysOf, options.actor)
  const tail: VerifiedEntry[] = []
  try {
    for (const [actor, chain] of fetcher.chains) {
      const after = covered.get(actor)?.seq ?? -1
      for (const item of chain) {
        if (item.header.seq > after) tail.push(hasContent(item) ? await fetcher.withBody(item) : item)
      }
    }
  } catch (error) {
    if (snapshot !== undefined) Automerge.free(snapshot.doc)
    throw error
  }
  // Places are the relay's word; that an import comes before all else is the log's.
  const isLater = ({ header }: VerifiedEntry): number => (header.kind === 'import' ? 0 : 1)
  const entries = tail.sort((a, b) => isLater(a) - isLater(b) || a.index - b.index)
  if (new Set(entries.map(({ index }) => index)).size !== entries.length) {
    if (snapshot !== undefined) Automerge.free(snapshot.doc)
    throw new SealogError('ERR_PROOF', 'two entries in one place')
  }
  const adopted = snapshot && opened && { ...snapshot, payload: opened }
  return {
    document,
    record,
    snapshot: adopted,
    entries,
    keysOf,
    unchecked: entry && opened && uncheckedOf(entry, opened, proven, fetcher.chains),
    discard: () => {
      if (adopted !== undefined) Automerge.free(adopted.doc)
    },
  }
}

/** The snapshot was held against the last covered entry of each actor: what is below comes in the background. */
function uncheckedOf(
  { index, actor, header: { document, device } }: VerifiedEntry,
  { covered }: SnapshotPayload,
  { state }: ProvenDocument,
  chains: ReadonlyMap<ActorId, Chain>,
): UncheckedDocument | undefined {
  const unchecked = covered.flatMap(item => {
    const last = chains.get(item.actor)?.find(({ header }) => header.seq === item.seq)
    return (last && uncheckedBelow(last, item)) ?? []
  })
  const member = state.control.devices.get(device)?.member
  if (member === undefined || unchecked.length === 0) return undefined
  return { document, snapshot: { index, actor, member }, isRefuted: false, chains: unchecked }
}

/** The chains of a document, longer where that is needed. */
class Fetcher {
  readonly chains: Map<ActorId, Chain>
  readonly #proven: ProvenDocument
  readonly #document: DocumentId
  readonly #channel: SpaceChannel

  constructor(proven: ProvenDocument, document: DocumentId, channel: SpaceChannel) {
    this.chains = new Map(proven.chains)
    this.#proven = proven
    this.#document = document
    this.#channel = channel
  }

  /** Makes every chain reach back to what the snapshot covers of it, or to its beginning. */
  async complete(covered: ReadonlyMap<ActorId, CoveredActor>): Promise<void> {
    for (const [actor, chain] of [...this.chains]) {
      const from = covered.get(actor)?.seq ?? 0
      const first = chain[0]?.header.seq ?? 0
      if (from >= first) continue
      const answer = await this.#channel.records({
        type: 'get-chain',
        document: this.#document,
        actor,
        from,
        to: first - 1,
      })
      const whole = prependChain(this.#proven.state, chain, answer.records)
      if (whole[0]?.header.seq !== from) throw new SealogError('ERR_PROOF', 'a chain that begins elsewhere')
      this.chains.set(actor, whole)
    }
  }

  /** With a body that did not travel along; one that the relay does not serve is left out. */
  async withBody(entry: VerifiedEntry): Promise<VerifiedEntry> {
    const { header, index, body } = entry
    if (body !== undefined) return entry
    const served = await this.#channel.bodyIfServed(index, header.bodyLength)
    return served === undefined ? entry : { ...entry, body: bodyOf(header, served, index) }
  }
}

/** Other snapshots than the chosen one bring nothing that is not here. */
function hasContent({ header }: VerifiedEntry): boolean {
  return header.kind === 'changes' || header.kind === 'import'
}

function chosenSnapshot(proven: ProvenDocument, record: DocumentRecord, choice: number): VerifiedEntry | undefined {
  const chosen = record.snapshots[record.snapshots.length - 1 - choice]
  if (chosen === undefined) return undefined
  for (const chain of proven.chains.values()) {
    for (const entry of chain) if (equalBytes(entry.hash, chosen.hash)) return entry
  }
  throw new SealogError('ERR_PROOF', 'the snapshot is not among the entries of the document')
}

async function openSnapshot(entry: VerifiedEntry, fetcher: Fetcher, keysOf: KeysOf): Promise<SnapshotPayload> {
  const { body, header, index } = await fetcher.withBody(entry)
  if (body === undefined) {
    throw new SnapshotRefused(
      entry,
      new SealogError('ERR_BODY', `the relay does not serve the snapshot in entry ${index}`),
    )
  }
  return orRefused(entry, () => {
    const { content } = keysOf(header.document, header.epoch)
    return decodeSnapshotPayload(openBody({ key: content, body, aad: headerContext(header) }))
  })
}

function checked(
  entry: VerifiedEntry,
  payload: SnapshotPayload,
  record: DocumentRecord,
  { chains }: Fetcher,
  keysOf: KeysOf,
  actor: ActorId | undefined,
): VerifiedSnapshot {
  return orRefused(entry, () => {
    const covering = new Map<ActorId, VerifiedEntry>()
    for (const { actor, seq } of payload.covered) {
      const last = chains.get(actor)?.find(item => item.header.seq === seq)
      // Whether it is one that the author had seen is not asked: the place of an entry is the relay's word, which must
      // not make a liar of the author; and whatever is covered has to be what its tag commits to.
      if (last === undefined) throw new SealogError('ERR_CONTENT', 'the snapshot covers an entry that there is not')
      covering.set(actor, last)
    }
    // It holds the import, as every snapshot of the document does: the entry that brought it must not come again.
    for (const [actor, [first]] of chains) {
      if (first?.header.kind === 'import' && !covering.has(actor)) {
        throw new SealogError('ERR_CONTENT', 'the snapshot does not cover the import')
      }
    }
    const proven = [...covering].map(([actor, { header, hash }]): ProvenActor => {
      return { actor, seq: header.seq, hash, tag: header.tag }
    })
    return verifySnapshot({
      payload,
      proven,
      tagOf: (actor, committed) => tagAmong(covering.get(actor) as VerifiedEntry, record, keysOf, committed),
      imported: importedIn(record, keysOf),
      ...(actor === undefined ? {} : { actor }),
    })
  })
}

function importedIn(
  { document, birthEpoch, importTag }: DocumentRecord,
  keysOf: KeysOf,
): Parameters<typeof verifySnapshot>[0]['imported'] {
  if (importTag === undefined) return undefined
  const { tag } = keysOf(document, birthEpoch)
  return { tag: importTag, tagOf: commitment => changeTag(tag, commitment) }
}

/** Entries that add no change repeat a tag, which was made in the epoch of the change: any epoch so far. */
function tagAmong(
  { header }: VerifiedEntry,
  { document, birthEpoch }: DocumentRecord,
  keysOf: KeysOf,
  committed: Uint8Array,
): Uint8Array {
  const own = changeTag(keysOf(document, header.epoch).tag, committed)
  if (header.kind === 'changes' || header.kind === 'import') return own
  let lacking: SealogError | undefined
  for (let epoch = header.epoch; epoch >= birthEpoch; epoch--) {
    const tag = tagIn(keysOf, document, epoch, committed)
    if (tag instanceof SealogError) lacking ??= tag
    else if (equalBytes(tag, header.tag)) return tag
  }
  // It may be the very epoch whose secret is not here: nobody is accused by that.
  if (lacking !== undefined) throw lacking
  return own
}

/** @returns ERR_KEY of an epoch whose secret is not here */
function tagIn(keysOf: KeysOf, document: DocumentId, epoch: number, committed: Uint8Array): Uint8Array | SealogError {
  try {
    return changeTag(keysOf(document, epoch).tag, committed)
  } catch (error) {
    if (error instanceof SealogError && error.code === 'ERR_KEY') return error
    throw error
  }
}

function orRefused<T>(entry: VerifiedEntry, open: () => T): T {
  try {
    return open()
  } catch (error) {
    if (error instanceof SealogError) throw new SnapshotRefused(entry, error)
    throw error
  }
}
