import * as Automerge from '@automerge/automerge/slim'
import { type Listener, type LyingRelay, lyingRelay } from 'sealog-relay/testing'
import { equalBytes } from '../../src/bytes.ts'
import { spaceKey } from '../../src/crdt/rows.ts'
import { decodeSecrets } from '../../src/crdt/secrets.ts'
import type { ReplicaStore } from '../../src/crdt/store.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import type { SyncLimits } from '../../src/crdt/sync-limits.ts'
import { publicKeyOf } from '../../src/crypto/sign.ts'
import type { Replica } from '../../src/replica.ts'
import type { Space } from '../../src/space.ts'
import type { SpaceDocument } from '../../src/space-document.ts'
import { type Note, openWorld, settleKeys, type World } from './world.ts'

/** One replica, its copy of the space, and the notes in it. */
export interface Party {
  readonly name: string
  readonly store: ReplicaStore
  readonly replica: Replica
  readonly space: Space
  readonly notes: readonly SpaceDocument<Note>[]
}

/** Ann, an owner, and Bob, an admin, with a relay that can lie to either of them. */
export interface LyingWorld {
  readonly world: World
  readonly relay: LyingRelay
  readonly ann: Party
  readonly bob: Party
  close(): Promise<void>
}

/** Delays of the replicas, as a share of the real ones. */
const HURRY = 0.02
const NOTES = 3

/** @param patience real milliseconds */
export function within({ world }: { world: World }, patience = 15_000): { timeout: number } {
  return { timeout: world.patience(patience) }
}

/** What a replica keeps of the documents that it has never opened. */
export const REPLICATION = ['all', 'opened'] as const
export type Replication = (typeof REPLICATION)[number]

/** @param replicate what Bob keeps; Ann keeps everything */
export async function openLyingWorld(replicate: Replication = 'all', limits?: SyncLimits): Promise<LyingWorld> {
  let relay: LyingRelay | undefined
  const world = await openWorld({
    hurry: HURRY,
    ...(limits === undefined ? {} : { limits }),
    relay: options => {
      relay = lyingRelay(options)
      return relay
    },
  })
  const wait = within({ world })
  const stores = { ann: memoryStore(), bob: memoryStore() }
  const ann = await world.open('Ann', stores.ann)
  // What the relay can take from elsewhere.
  const elsewhere = await ann.createSpace({ name: 'Elsewhere', ...wait })
  await elsewhere.createDocument<Note>({ title: 'Elsewhere', body: '' })
  await elsewhere.sync(wait)
  elsewhere.pause()
  const annSpace = await ann.createSpace({ name: 'Field notes', ...wait })
  const annNotes: SpaceDocument<Note>[] = []
  for (let i = 0; i < NOTES; i++) {
    annNotes.push(await annSpace.createDocument<Note>({ title: `Day ${i}`, body: '' }, { name: `Day ${i}` }))
  }
  const bob = await world.open('Bob', stores.bob, { replicate })
  const bobSpace = await bob.joinSpace(await annSpace.invite({ role: 'admin', ...wait }), wait)
  await annSpace.sync(wait)
  await settleKeys(annSpace, wait)
  await bobSpace.sync(wait)
  const bobNotes: SpaceDocument<Note>[] = []
  for (const { id } of annNotes) bobNotes.push(await bobSpace.openDocument<Note>(id))
  const opened: LyingWorld = {
    world,
    relay: relay as LyingRelay,
    ann: { name: 'Ann', store: stores.ann, replica: ann, space: annSpace, notes: annNotes },
    bob: { name: 'Bob', store: stores.bob, replica: bob, space: bobSpace, notes: bobNotes },
    close: async () => {
      await Promise.all([ann.close(), bob.close()])
      await opened.relay.close()
    },
  }
  // Each has a chain of its own in every note, so that what is flipped in a header stands in the middle of one.
  write(opened.ann, 'a ')
  await settleAll(opened)
  write(opened.bob, 'b ')
  await settleAll(opened)
  return opened
}

/** Writes a word into each note: three entries in one push. */
export function write({ notes }: Party, word: string): void {
  for (const note of notes) note.change(doc => Automerge.splice(doc, ['body'], 0, 0, word))
}

export async function settleAll(opened: LyingWorld): Promise<void> {
  const limits = within(opened)
  for (const { space } of [opened.ann, opened.bob, opened.ann, opened.bob]) await space.sync(limits)
}

/** Whether somebody is this party. */
export async function partyOf({ store, space }: Party): Promise<(listener: Listener) => boolean> {
  const secrets = decodeSecrets((await store.get(spaceKey(space.id, 'secrets'))) as Uint8Array)
  const key = publicKeyOf(secrets.device.signing)
  return listener => listener.space === space.id && equalBytes(listener.device, key)
}

/** All that a replica holds and shows, but for evidence: the rows of its store, the size it has verified, its notes. */
export async function stateOf({ store, space, notes }: Party): Promise<object> {
  const rows = await store.scan(new Uint8Array(0))
  const isEvidence = (key: Uint8Array): boolean => new TextDecoder().decode(key).includes('evidence')
  const kept = rows.filter(([key]) => !isEvidence(key))
  return {
    rows: Object.fromEntries(kept.map(([key, value]) => [hex(key), hex(value)])),
    size: space.status.confirmed.size,
    notes: notes.map(note => ({ heads: note.heads(), doc: note.doc() })),
  }
}

/** Sync of a space was ended for good by what the relay signed. */
export function isFrozen(space: Space): boolean {
  return space.status.frozen
}

export function bodies({ notes }: Party): readonly string[] {
  return notes.map(note => note.doc().body)
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
