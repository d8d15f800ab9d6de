import { asArray, asBytes, asOptional, asTuple, asUint, type Cbor, decodeCbor, encodeCbor, optional } from '../codec.ts'
import { type ActorId, actorIdOf, type DocumentId, idBytes, type MemberId, memberIdOf, type SpaceId } from '../ids.ts'
import type { VerifiedEntry } from '../verify/log.ts'
import type { ChainEnd } from './chain-place.ts'
import { documentKey, lastPart, readRow, rowPrefix } from './rows.ts'
import type { CoveredActor } from './snapshot-payload.ts'
import type { ReplicaStore, StoreRow } from './store.ts'
import type { WalkPlace } from './tag-walk.ts'

/** What is left of one actor's chain to be held against the document, from its end towards its beginning. */
export interface UncheckedChain {
  readonly actor: ActorId
  /** The last covered entry, by its place in the log. */
  readonly covered: number
  /** The next entry to look at. */
  readonly next: ChainEnd
  readonly place: WalkPlace
  /** The tag that this entry must have, 32 bytes: the one behind it adds no change, and repeats it (R-TAG-1). */
  readonly repeated: Uint8Array | undefined
  /** Entries below this seq were replayed here, and led to the change of this seq. */
  readonly floor: { readonly entry: number; readonly change: number }
}

/**
 * A document that came as a snapshot, which was held against the *last* covered tag of each actor, and against none
 * below it (DESIGN §6.2). Those of an actor that tells one story fit as well.
 */
export interface UncheckedDocument {
  readonly document: DocumentId
  /** The entry that brought the snapshot, and whose it is. */
  readonly snapshot: { readonly index: number; readonly actor: ActorId; readonly member: MemberId }
  /** A tag did not fit: the document is to be taken by all entries from the first. */
  readonly isRefuted: boolean
  readonly chains: readonly UncheckedChain[]
}

const MAX_ROW: number = 64 * 1024 * 1024
const MAX_ACTORS = 1_000_000

/**
 * What there is to be checked below the last covered entry of an actor; that one was checked with the snapshot.
 * @returns undefined where nothing is below
 */
export function uncheckedBelow(
  { index, header: { seq, prev, kind, tag } }: Pick<VerifiedEntry, 'index' | 'header'>,
  { actor, latestSeq, latestHash }: CoveredActor,
): UncheckedChain | undefined {
  if (seq === 0) return undefined
  const isPassed = kind === 'changes'
  return {
    actor,
    covered: index,
    next: { seq: seq - 1, hash: prev },
    place: { change: { seq: latestSeq, hash: latestHash }, isPassed },
    repeated: isPassed ? undefined : tag,
    floor: { entry: 0, change: 0 },
  }
}

export function uncheckedRow(space: SpaceId, unchecked: UncheckedDocument): StoreRow {
  const { document, snapshot, isRefuted, chains } = unchecked
  const { index, actor, member } = snapshot
  const value = encodeCbor([
    [index, idBytes(actor), idBytes(member)],
    isRefuted ? 1 : 0,
    chains.map(
      ({ actor, covered, next, place, repeated, floor }): Cbor => [
        idBytes(actor),
        covered,
        [next.seq, next.hash],
        [place.change.seq, place.change.hash, place.isPassed ? 1 : 0],
        optional(repeated, bytes => bytes),
        [floor.entry, floor.change],
      ],
    ),
  ])
  return [uncheckedKey(space, document), value]
}

export function uncheckedKey(space: SpaceId, document: DocumentId): Uint8Array {
  return documentKey(space, 'unchecked', document)
}

/** @throws SealogError ERR_STORE_CORRUPT */
export async function loadUnchecked(store: ReplicaStore, space: SpaceId): Promise<readonly UncheckedDocument[]> {
  const rows = await store.scan(rowPrefix(space, 'unchecked'))
  return rows.map(([key, value]) => readRow('check', () => decodeUnchecked(lastPart(key) as DocumentId, value)))
}

function decodeUnchecked(document: DocumentId, value: Uint8Array): UncheckedDocument {
  const fields = asTuple(decodeCbor(value, MAX_ROW), 3, 'check')
  const [index, author, member] = asTuple(fields[0], 3, 'snapshot')
  return {
    document,
    snapshot: {
      index: asUint(index, 'index'),
      actor: actorIdOf(asBytes(author, 16, 'actor')),
      member: memberIdOf(asBytes(member, 16, 'member')),
    },
    isRefuted: asUint(fields[1], 'refuted', 1) === 1,
    chains: asArray(fields[2], MAX_ACTORS, 'chains').map(asChain),
  }
}

function asChain(item: Cbor): UncheckedChain {
  const [actor, covered, next, place, repeated, floor] = asTuple(item, 6, 'chain')
  const [nextSeq, nextHash] = asTuple(next, 2, 'next')
  const [changeSeq, changeHash, isPassed] = asTuple(place, 3, 'place')
  const [entry, change] = asTuple(floor, 2, 'floor')
  return {
    actor: actorIdOf(asBytes(actor, 16, 'actor')),
    covered: asUint(covered, 'covered'),
    next: { seq: asUint(nextSeq, 'seq'), hash: asBytes(nextHash, 32, 'hash') },
    place: {
      change: { seq: asUint(changeSeq, 'seq'), hash: asBytes(changeHash, 32, 'hash') },
      isPassed: asUint(isPassed, 'passed', 1) === 1,
    },
    repeated: asOptional(repeated, 'repeated', (bytes, what) => asBytes(bytes, 32, what)),
    floor: { entry: asUint(entry, 'entry'), change: asUint(change, 'change') },
  }
}
