import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as Automerge from '@automerge/automerge'
import { nodeStore, type SpaceDocument } from 'sealog/node'
import {
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
}

/** What decides when replicas skip, write snapshots and cosign: here one of them at a time. */
function limitsOf({ join = NEVER, snapshot = NEVER }: { readonly join?: number; readonly snapshot?: number }): SyncLimits {
  return {
    skip: { join, comeback: NEVER },
    snapshot: { entries: snapshot, bytes: NEVER, delay: 1 },
    cosign: { entries: NEVER },
  }
}

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
  const places = { relay: join(folder, 'relay.db'), replica: join(folder, 'replica.db') }
  const written = await withReplica(surroundings, places, limitsOf({}), async replica => {
    const space = await replica.createSpace({ name: 'bench' })
    const note = await space.createDocument<Text>({ text: '' }, { name: 'paper' })
    await typeAll({ space, note }, edits)
    const saved = Automerge.save(note.doc())
    return { space: space.id, document: note.id, text: note.doc().text, saved }
  })
  await withReplica(surroundings, places, limitsOf({ snapshot: 1 }), async replica => {
    const space = await replica.openSpace(written.space)
    await space.sync()
    const { size } = space.status.confirmed ?? { size: 0 }
    while ((space.status.confirmed?.size ?? 0) === size) await space.sync()
  })
  const invited = await withReplica(surroundings, places, limitsOf({}), async replica => {
    const space = await replica.openSpace(written.space)
    const link = await space.invite()
    return { link, entries: space.status.confirmed?.size ?? 0 }
  })
  let joins = 0
  return {
    ...written,
    ...invited,
    join: how => {
      const own = join(folder, `${joins++}`)
      mkdirSync(own)
      const copy = { relay: join(own, 'relay.db'), replica: join(own, 'replica.db') }
      copyFileSync(places.relay, copy.relay)
      return joinFrom(surroundings, copy, how, { ...written, ...invited }).finally(() => {
        rmSync(own, { recursive: true, force: true })
      })
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

interface Surroundings {
  readonly verifier: SignatureVerifier
  /** Of the relay: the same over all copies of its store. */
  readonly signingKey: SigningKey
}

interface Places {
  readonly relay: string
  readonly replica: string
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
  const replica = await Replica.open({ store: nodeStore(places.replica), relay: ADDRESS }, platform)
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
  const traffic = { received: 0, skips: 0 }
  const limits = limitsOf(how === 'fast-forward' ? { join: 1 } : {})
  const start = performance.now()
  const task = async (replica: Replica): Promise<Joined> => {
    const space = await replica.joinSpace(link)
    const note: SpaceDocument<Text> = await space.openDocument<Text>(document)
    const found = note.doc().text
    const joined = { time: performance.now() - start, bytes: traffic.received }
    if (found !== text) throw new Error('the document that arrived is not the one that was written')
    if (traffic.skips > 0 !== (how === 'fast-forward')) throw new Error(`${how}: it came otherwise`)
    if (space.problems.length > 0) throw new Error(`${how}: ${JSON.stringify(space.problems)}`)
    return joined
  }
  return withReplica(surroundings, places, limits, task, inner => observed(inner, traffic))
}

function observed(inner: Transport, traffic: { received: number; skips: number }): Transport {
  return {
    connect: (url, events) => {
      const connection = inner.connect(url, {
        onOpen: () => events.onOpen(),
        onClose: cause => events.onClose(cause),
        onFrame: frame => {
          traffic.received += frame.length
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
