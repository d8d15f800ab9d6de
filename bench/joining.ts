import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as Automerge from '@automerge/automerge'
import { memoryStore, nodeStore, type ReplicaStore, type Space, type SpaceDocument } from 'sealog/node'
import {
  decodeRelayMessage,
  decodeReplicaMessage,
  defaultVerifier,
  generateSeed,
  platformEnvironment,
  type SignatureVerifier,
  type SigningKey,
  signingKeyFromSeed,
  type Transport,
} from 'sealog/protocol'
import { Replica, type ReplicaPlatform, type SyncLimits } from 'sealog/testing'
import { sqliteLogStore } from 'sealog-relay'
import { loopbackRelay } from 'sealog-relay/testing'
import type { Edit } from '../examples/demo/traces.ts'
import { type Text, typeAll } from './written-replica.ts'

const ADDRESS = 'ws://relay.test'
const NEVER = Number.MAX_SAFE_INTEGER
/** The writer is in a hurry: some thousand changes go into a bundle. */
const KEYS_AT_A_TIME = 512

/** A relay's store with one document in it, as a file that can be copied, and an invite to it. */
export interface WrittenSpace {
  readonly link: string
  readonly document: string
  readonly text: string
  /** The same document as plain Automerge saves it. */
  readonly saved: Uint8Array
  /** Entries of the log before anybody joins. */
  readonly entries: number
  join(how: Joining): Promise<Joined>
  remove(): void
}

/** By fast-forward from the checkpoint in the invite, or by all entries from the first. */
export type Joining = 'fast-forward' | 'replay'

export interface Joined {
  /** From opening an empty store until the text is there, in milliseconds; the relay's work is in it. */
  readonly time: number
  /** What the replica had received by then. */
  readonly bytes: number
  /** Of it, answers of a fast-forward: proofs, control entries, snapshots and what they do not cover. */
  readonly recordBytes: number
}

/** Replicas that neither skip nor write snapshots nor cosign, */
const PLAIN: SyncLimits = {
  skip: { join: NEVER, comeback: NEVER },
  snapshot: { entries: NEVER, bytes: NEVER, delay: 1 },
  cosign: { entries: NEVER },
}
/** that write a snapshot of the paper, and not yet of the directory, */
const SNAPSHOTS: SyncLimits = { ...PLAIN, snapshot: { entries: NEVER, bytes: 1024, delay: 1 } }
/** or that skip whatever there is to skip. */
const SKIPS: SyncLimits = { ...PLAIN, skip: { join: 1, comeback: NEVER } }
/** Longest wait for a snapshot, in milliseconds. */
const PATIENCE = 60_000

/**
 * Types edits into a document of a new space; then its author writes a snapshot of it and an invite, and leaves. Every
 * join starts from a copy of what the relay has by then: each is the first, with the same invite.
 */
export async function writeSpace(edits: readonly Edit[]): Promise<WrittenSpace> {
  const folder = mkdtempSync(join(tmpdir(), 'sealog-bench-'))
  const surroundings: Surroundings = {
    verifier: await defaultVerifier(),
    signingKey: signingKeyFromSeed(generateSeed(platformEnvironment().random)),
  }
  const places: Places = { relay: join(folder, 'relay.db'), replica: memoryStore() }
  const written = await withReplica(surroundings, places, PLAIN, async replica => {
    const space = await replica.createSpace({ name: 'bench' })
    const note = await space.createDocument<Text>({ text: '' }, { name: 'paper' })
    await typeAll({ space, note }, edits, KEYS_AT_A_TIME)
    const saved = Automerge.save(note.doc())
    return { space: space.id, document: note.id, text: note.doc().text, saved, size: sizeOf(space) }
  })
  await withReplica(surroundings, places, SNAPSHOTS, async replica => {
    const space = await replica.openSpace(written.space)
    const deadline = performance.now() + PATIENCE
    while (sizeOf(space) <= written.size) {
      if (performance.now() > deadline) throw new Error('no snapshot was written: too few edits')
      await sleep(20)
    }
  })
  const invited = await withReplica(surroundings, places, PLAIN, async replica => {
    const space = await replica.openSpace(written.space)
    const link = await space.invite()
    return { link, entries: sizeOf(space) }
  })
  let joins = 0
  return {
    ...written,
    ...invited,
    join: how => {
      const own = join(folder, `${joins++}`)
      mkdirSync(own)
      const copy: Places = { relay: join(own, 'relay.db'), replica: nodeStore(join(own, 'replica.db')) }
      copyFileSync(places.relay, copy.relay)
      return joinFrom(surroundings, copy, how, { ...written, ...invited }).finally(() => {
        rmSync(own, { recursive: true, force: true })
      })
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

function sizeOf({ status }: Space): number {
  return status.confirmed?.size ?? 0
}

interface Surroundings {
  readonly verifier: SignatureVerifier
  /** Of the relay: the same over all copies of its store. */
  readonly signingKey: SigningKey
}

interface Places {
  /** File of the relay's store. */
  readonly relay: string
  readonly replica: ReplicaStore
}

async function withReplica<T>(
  { verifier, signingKey }: Surroundings,
  places: Places,
  limits: SyncLimits,
  task: (replica: Replica) => Promise<T>,
  observe: (transport: Transport) => Transport = transport => transport,
): Promise<T> {
  const environment = platformEnvironment()
  const relay = loopbackRelay({ environment, verifier, signingKey, store: sqliteLogStore(places.relay) })
  const platform: ReplicaPlatform = { transport: observe(relay), environment, verifier, limits }
  const replica = await Replica.open({ store: places.replica, relay: ADDRESS }, platform)
  try {
    return await task(replica)
  } finally {
    await replica.close()
    await relay.close()
  }
}

async function joinFrom(
  surroundings: Surroundings,
  places: Places,
  how: Joining,
  { link, document, text }: Pick<WrittenSpace, 'link' | 'document' | 'text'>,
): Promise<Joined> {
  const traffic: Traffic = { received: [], skips: 0 }
  const limits = how === 'fast-forward' ? SKIPS : PLAIN
  const start = performance.now()
  const task = async (replica: Replica): Promise<Joined> => {
    const space = await replica.joinSpace(link)
    const note: SpaceDocument<Text> = await space.openDocument<Text>(document)
    const found = note.doc().text
    const time = performance.now() - start
    const received = [...traffic.received]
    const records = received.filter(frame => decodeRelayMessage(frame).type === 'records')
    const joined = { time, bytes: lengthOf(received), recordBytes: lengthOf(records) }
    if (found !== text) throw new Error('the document that arrived is not the one that was written')
    if (traffic.skips > 0 !== (how === 'fast-forward')) throw new Error(`${how}: it came otherwise`)
    if (space.problems.length > 0) throw new Error(`${how}: ${JSON.stringify(space.problems)}`)
    return joined
  }
  return withReplica(surroundings, places, limits, task, inner => observed(inner, traffic))
}

function lengthOf(frames: readonly Uint8Array[]): number {
  return frames.reduce((sum, frame) => sum + frame.length, 0)
}

interface Traffic {
  readonly received: Uint8Array[]
  /** Requests for a fast-forward. */
  skips: number
}

function observed(inner: Transport, traffic: Traffic): Transport {
  return {
    connect: (url, events) => {
      const connection = inner.connect(url, {
        onOpen: () => events.onOpen(),
        onClose: cause => events.onClose(cause),
        onFrame: frame => {
          traffic.received.push(frame)
          events.onFrame(frame)
        },
      })
      return {
        close: () => connection.close(),
        send: frame => {
          if (decodeReplicaMessage(frame).type === 'skip') traffic.skips++
          connection.send(frame)
        },
      }
    },
  }
}
