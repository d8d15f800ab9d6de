import { asArray, asBytes, asTuple, asUint, type Cbor, decodeCbor, encodeCbor } from '../codec.ts'
import { type ActorId, actorIdOf, type DocumentId, idBytes, type SpaceId } from '../ids.ts'
import { actorsOf, type DocumentRecord } from '../verify/state.ts'
import { type AnyDoc, isTip } from './content.ts'
import type { DocumentMeta } from './document-meta.ts'
import { documentKey, readRow } from './rows.ts'
import type { ReplicaStore, StoreRow } from './store.ts'
import type { UncheckedChain } from './unchecked.ts'

/** How far the chains of a document had been replayed here before this replica skipped: seq of the last entry of each. */
export type ReplayedChains = ReadonlyMap<ActorId, number>

const MAX_ROW: number = 64 * 1024 * 1024
const MAX_ACTORS = 1_000_000

/** Kept with the skip: afterwards the state says nothing of it any more. */
export function replayedRow(space: SpaceId, record: DocumentRecord): StoreRow {
  const value = encodeCbor([...actorsOf(record)].map(({ actor, seq }): Cbor => [idBytes(actor), seq]))
  return [replayedKey(space, record.document), value]
}

export function replayedKey(space: SpaceId, document: DocumentId): Uint8Array {
  return documentKey(space, 'replayed', document)
}

/** @throws SealogError ERR_STORE_CORRUPT */
export async function loadReplayed(store: ReplicaStore, space: SpaceId, document: DocumentId): Promise<ReplayedChains> {
  const value = await store.get(replayedKey(space, document))
  if (value === undefined) return new Map()
  return readRow('replayed chains', () => {
    const items = asArray(decodeCbor(value, MAX_ROW), MAX_ACTORS, 'replayed')
    return new Map(
      items.map(item => {
        const [actor, seq] = asTuple(item, 2, 'replayed')
        return [actorIdOf(asBytes(actor, 16, 'actor')), asUint(seq, 'seq')]
      }),
    )
  })
}

/**
 * What is left to check of a chain that was replayed here up to some entry, which needs no check: the entries behind, and
 * that the snapshot goes on from the very change to which the replay had led.
 * @param doc the snapshot
 * @param meta the bookkeeping of what was here, all of it judged
 * @returns the chain, or nothing where nothing is left; `contradicted` where the snapshot is not what was replayed
 */
export function beyondReplayed(
  chain: UncheckedChain,
  replayed: ReplayedChains,
  doc: AnyDoc,
  { tips, stopped }: Pick<DocumentMeta, 'tips' | 'stopped'>,
): readonly UncheckedChain[] | 'contradicted' {
  const { actor, next, place } = chain
  const stop = stopped.get(actor)
  const end = stop === undefined ? replayed.get(actor) : stop.covered?.seq
  if (end === undefined) return [chain]
  // It covers no more than what was here: its last tag is one that was replayed, and leads to the same.
  if (end > next.seq) return []
  const tip = tips.get(actor)
  if (tip !== undefined && (tip.seq > place.change.seq || !isTip(doc, actor, tip))) return 'contradicted'
  if (end === next.seq) return []
  return [{ ...chain, floor: { entry: end + 1, change: tip?.seq ?? 0 } }]
}
