import * as Automerge from '@automerge/automerge/slim'
import { type AnyDoc, emptyDoc } from '../../src/crdt/content.ts'
import type { Stopped } from '../../src/crdt/document-meta.ts'
import { DocumentRows } from '../../src/crdt/document-rows.ts'
import { type ActorToCover, buildSnapshot } from '../../src/crdt/snapshot.ts'
import type { ReplicaStore } from '../../src/crdt/store.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import type { SyncLimits } from '../../src/crdt/sync-limits.ts'
import { loadView } from '../../src/crdt/view-rows.ts'
import type { ActorId, DocumentId } from '../../src/ids.ts'
import { Replica } from '../../src/replica.ts'
import type { ReplicaOptions } from '../../src/replica-options.ts'
import type { Space } from '../../src/space.ts'
import type { SpaceDocument } from '../../src/space-document.ts'
import { actorsOf, findDocument, stateRoot } from '../../src/verify/state.ts'
import { actorOf } from '../crdt/parking-support.ts'
import { tipIn } from '../crdt/snapshot-support.ts'
import { type Note, settleKeys, type World } from './world.ts'

const NEVER = { entries: Number.POSITIVE_INFINITY }
const NO_SNAPSHOTS = { ...NEVER, bytes: Number.POSITIVE_INFINITY, delay: 1 }

/** Replays every entry, and makes no snapshot. */
export const REPLAYS: SyncLimits = {
  skip: { join: Number.POSITIVE_INFINITY, comeback: Number.POSITIVE_INFINITY },
  snapshot: NO_SNAPSHOTS,
  cosign: { entries: 4 },
}

/** Skips whatever it can. */
export const SKIPS: SyncLimits = { ...REPLAYS, skip: { join: 1, comeback: 8 } }

/** A replica of its own kind in a world. */
export interface Guest {
  readonly name: string
  readonly store: ReplicaStore
  readonly replica: Replica
  readonly space: Space
}

export async function join(
  world: World,
  inviter: Space,
  name: string,
  limits: SyncLimits,
  replicate: NonNullable<ReplicaOptions['replicate']> = 'all',
): Promise<Guest> {
  const timeout = world.patience(20_000)
  const store = memoryStore()
  const link = await inviter.invite({ timeout })
  const replica = await openGuest(world, name, store, limits, replicate)
  const space = await replica.joinSpace(link, { timeout })
  await inviter.sync({ timeout })
  await settleKeys(inviter, { timeout })
  await space.sync({ timeout })
  return { name, store, replica, space }
}

export function openGuest(
  world: World,
  name: string,
  store: ReplicaStore,
  limits: SyncLimits,
  replicate: NonNullable<ReplicaOptions['replicate']> = 'all',
): Promise<Replica> {
  const profile = { name, device: `${name}'s laptop` }
  return Replica.open({ store, relay: 'ws://relay.test', profile, replicate }, { ...world.platform, limits })
}

/**
 * Everything that a snapshot by somebody who knows what everybody really wrote would hold.
 * @param known documents that hold it, and no change that was not sent
 * @param except actors whose latest tag is not of what they wrote
 * @returns undefined where that cannot be told in a snapshot
 */
export async function accompliceSnapshot(
  { store, space }: Pick<Guest, 'store' | 'space'>,
  document: DocumentId,
  known: readonly AnyDoc[],
  except: ReadonlySet<ActorId> = new Set(),
): Promise<Uint8Array | undefined> {
  let all = emptyDoc(actorOf('9'))
  for (const doc of known) all = Automerge.merge(all, Automerge.clone(doc))
  const covered = (await endsOf(store, space, document))
    .filter(({ actor }) => !except.has(actor))
    .map((end): ActorToCover => ({ ...end, tip: tipIn(all, end.actor) }))
  return buildSnapshot(all, covered)
}

/** What an honest replica would put into a snapshot of what it shows. */
export async function honestSnapshot(
  { store, space }: Pick<Guest, 'store' | 'space'>,
  document: DocumentId,
  doc: AnyDoc,
): Promise<Uint8Array | undefined> {
  const metas = await new DocumentRows(space.id, store).metas()
  const stopped = metas.find(meta => meta.document === document)?.stopped
  const covered = (await endsOf(store, space, document)).flatMap(({ actor, ...end }): ActorToCover[] => {
    const stop = stopped?.get(actor)
    const place = stop === undefined ? end : stop.covered
    return place === undefined ? [] : [{ actor, ...place, tip: tipIn(doc, actor) }]
  })
  return buildSnapshot(doc, covered)
}

/** The latest entry of each actor, as this replica has verified it. */
async function endsOf(
  store: ReplicaStore,
  { id }: Space,
  document: DocumentId,
): Promise<{ readonly actor: ActorId; readonly seq: number; readonly hash: Uint8Array }[]> {
  const state = (await loadView(store, id))?.view.state
  const record = state && findDocument(state, document)
  return record === undefined ? [] : [...actorsOf(record)].map(({ actor, seq, hash }) => ({ actor, seq, hash }))
}

/** What a replica holds of some documents: content, where actors stop, and the state that it verified. */
export interface Held {
  readonly heads: readonly (readonly string[])[]
  readonly stopped: readonly (readonly (readonly [ActorId, Stopped['reason'], string, number, number])[])[]
  readonly stateRoot: string | undefined
}

/** @param store of a replica that was closed: what is durable counts */
export async function heldBy(
  { store, space }: Pick<Guest, 'store' | 'space'>,
  notes: readonly SpaceDocument<Note>[],
): Promise<Held> {
  const rows = new DocumentRows(space.id, store)
  const metas = new Map((await rows.metas()).map(meta => [meta.document, meta]))
  const stored = await loadView(store, space.id)
  const state = stored?.view.state
  return {
    heads: notes.map(note => note.heads().toSorted()),
    stopped: notes.map(({ id }) =>
      [...(metas.get(id)?.stopped ?? [])]
        .map(([actor, { reason, code, index, covered }]) => [actor, reason, code, index, covered?.seq ?? -1] as const)
        .sort(([a], [b]) => (a < b ? -1 : 1)),
    ),
    stateRoot: state && Buffer.from(stateRoot(state)).toString('hex'),
  }
}

/** Until all of them hold the same; then what that is. */
export async function untilEqual(held: () => Promise<readonly Held[]>, patience = 4000): Promise<readonly Held[]> {
  const until = Date.now() + patience
  for (;;) {
    const all = await held()
    const [first] = all.map(each => JSON.stringify(each))
    if (all.every(each => JSON.stringify(each) === first) || Date.now() > until) return all
    await new Promise(resolve => setTimeout(resolve, 25))
  }
}
