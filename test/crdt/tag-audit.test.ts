import { beforeAll, describe, expect, it } from 'vitest'
import type { Adoption } from '../../src/crdt/adopt.ts'
import { emptyDoc } from '../../src/crdt/content.ts'
import { emptyMeta } from '../../src/crdt/document-meta.ts'
import type { DocumentSet } from '../../src/crdt/document-set.ts'
import { KeptTags } from '../../src/crdt/kept-tags.ts'
import { Problems } from '../../src/crdt/problems.ts'
import type { SpaceChannel } from '../../src/crdt/space-channel.ts'
import type { ReplicaStore } from '../../src/crdt/store.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import { TagAudit } from '../../src/crdt/tag-audit.ts'
import { loadUnchecked, type UncheckedChain, type UncheckedDocument, uncheckedRow } from '../../src/crdt/unchecked.ts'
import { UncheckedDocuments } from '../../src/crdt/unchecked-documents.ts'
import { SealogError } from '../../src/errors.ts'
import { type ActorId, type DocumentId, type MemberId, spaceIdOf } from '../../src/ids.ts'
import { emptyView, type VerifiedEntry } from '../../src/verify/log.ts'
import { initializeAutomerge } from '../helpers/automerge.ts'
import { bytesOf, DOCUMENT } from '../helpers/log-builder.ts'
import { actorOf, KEYS } from './parking-support.ts'

beforeAll(initializeAutomerge)

const SPACE = spaceIdOf(bytesOf('space'))
const TAG = bytesOf('a tag that is repeated')

/** So many entries that add no change, and all repeat one tag, are left of a chain. */
function chain(name: string, entries: number): UncheckedChain {
  return {
    actor: actorOf(name),
    covered: entries,
    next: { seq: entries - 1, hash: bytesOf(name) },
    place: { change: { seq: 0, hash: new Uint8Array(32) }, isPassed: true },
    repeated: TAG,
    floor: { entry: 0, change: 0 },
  }
}

function unchecked(document: DocumentId, chains: readonly UncheckedChain[], isRefuted = false): UncheckedDocument {
  const snapshot = { index: 9, actor: actorOf('e'), member: '0'.repeat(32) as MemberId }
  return { document, snapshot, isRefuted, chains }
}

/** A check in simulated time, of documents that are empty, by a relay that serves no chain. */
class Scene {
  readonly store: ReplicaStore
  readonly audit: TagAudit
  readonly refuted: DocumentId[] = []
  readonly checked: DocumentId[] = []
  /** Chains that were asked for. */
  readonly asked: ActorId[] = []
  /** What waits for its time. */
  readonly timers: { readonly at: number; readonly task: () => void }[] = []
  /** Runs before each write. */
  onCommit: () => void = () => {}
  clonedAt: number | undefined
  #now = 0

  private constructor(store: ReplicaStore, due: readonly UncheckedDocument[]) {
    this.store = store
    let turn: Promise<unknown> = Promise.resolve()
    const exclusive = <T>(task: () => Promise<T>): Promise<T> => {
      const result = turn.then(task)
      turn = result.catch(() => {})
      return result
    }
    const documents = {
      exclusive,
      read: <T>(_: DocumentId, look: (doc: ReturnType<typeof emptyDoc>) => T) => exclusive(async () => look(empty)),
      meta: (document: DocumentId) => ({ ...emptyMeta(document), clonedAt: this.clonedAt }),
      release: async () => {},
    } as unknown as DocumentSet
    const empty = emptyDoc(actorOf('0'))
    const channel = {
      isLive: true,
      records: async ({ actor }: { actor: ActorId }) => {
        this.asked.push(actor)
        throw new SealogError('ERR_PROOF', 'not served')
      },
    } as unknown as SpaceChannel
    this.audit = new TagAudit({
      space: SPACE,
      channel,
      store,
      documents,
      environment: {
        random: length => new Uint8Array(length),
        now: () => this.#now,
        schedule: (ms, task) => {
          const timer = { at: this.#now + ms, task }
          this.timers.push(timer)
          return () => void this.#drop(timer)
        },
      },
      problems: new Problems(() => {}),
      unchecked: due,
      log: {
        view: emptyView(SPACE, { name: 'relay.test', key: bytesOf('relay') }, []),
        commit: async change => {
          this.onCommit()
          await store.commit({ ...change })
        },
      },
      keys: () => KEYS,
      isAudited: () => true,
      onRefuted: document => this.refuted.push(document),
      onChecked: () => this.checked.push(DOCUMENT),
    })
  }

  static async of(due: readonly UncheckedDocument[]): Promise<Scene> {
    const store = memoryStore()
    await store.open()
    return new Scene(store, due)
  }

  #drop(timer: Scene['timers'][number]): boolean {
    const at = this.timers.indexOf(timer)
    if (at >= 0) this.timers.splice(at, 1)
    return at >= 0
  }

  /** Everything that can happen now does. */
  async settle(): Promise<void> {
    for (let i = 0; i < 200; i++) await Promise.resolve()
    await new Promise(resolve => setTimeout(resolve, 0))
  }

  /** Lets so many milliseconds pass. */
  async pass(ms: number): Promise<void> {
    const until = this.#now + ms
    for (;;) {
      await this.settle()
      const next = this.timers.reduce<Scene['timers'][number] | undefined>(
        (first, timer) => (first === undefined || timer.at < first.at ? timer : first),
        undefined,
      )
      if (next === undefined || next.at > until) break
      this.#now = next.at
      this.#drop(next)
      next.task()
    }
    this.#now = until
  }

  /** The audit of the log came by the tags of this chain. */
  async keepTags({ actor }: UncheckedChain, entries: number): Promise<void> {
    const kept = new KeptTags(SPACE, this.store)
    for (let seq = 0; seq < entries; seq++) {
      const header = { document: DOCUMENT, seq, prev: bytesOf('prev'), kind: 'snapshot', epoch: 0, tag: TAG }
      kept.gather({ header, actor, index: seq } as unknown as VerifiedEntry)
    }
    await this.store.commit({ puts: await kept.rows(), deletes: [] })
  }
}

const actorsIn = (chains: readonly UncheckedChain[] = []): readonly ActorId[] => chains.map(({ actor }) => actor)

describe('the check of a document against all tags (R-SNAPSHOT-10)', () => {
  it('keeps every chain that is not checked, however often it keeps its progress', async () => {
    const long = chain('b', 20_000)
    const done = { ...chain('a', 1), floor: { entry: 1, change: 0 } }
    const due = unchecked(DOCUMENT, [done, long, chain('c', 5), chain('d', 5)])
    const scene = await Scene.of([due])
    await scene.keepTags(long, 20_000)
    let kept = 0
    scene.onCommit = () => {
      kept++
    }
    scene.audit.resume()
    await scene.pass(5_000)
    expect(kept).toBe(2)
    expect(scene.asked).toEqual([actorOf('c')])
    const left = [actorOf('b'), actorOf('c'), actorOf('d')]
    expect(actorsIn(scene.audit.due.get(DOCUMENT)?.chains)).toEqual(left)
    expect(actorsIn((await loadUnchecked(scene.store, SPACE))[0]?.chains)).toEqual(left)
    expect(scene.checked).toEqual([])
    scene.audit.close()
  }, 20_000)

  it('asks for what is not served once in a while, whatever else happens, with one timer for each document', async () => {
    const documents = ['1', '2', '3'].map(name => name.repeat(32) as DocumentId)
    const scene = await Scene.of(documents.map((document, i) => unchecked(document, [chain(`${i}`, 5)])))
    scene.audit.resume()
    for (let second = 0; second < 300; second++) {
      await scene.pass(1_000)
      // As after every batch.
      scene.audit.resume()
      await scene.settle()
      expect(scene.timers.length).toBeLessThanOrEqual(documents.length)
    }
    // Each at least every 30 s, and at most every 15 s.
    expect(scene.asked.length).toBeGreaterThanOrEqual(3 * 10)
    expect(scene.asked.length).toBeLessThanOrEqual(3 * 21)
    const before = scene.asked.length
    scene.audit.reset()
    expect(scene.timers).toEqual([])
    scene.audit.resume()
    await scene.settle()
    expect(scene.asked.length).toBe(before + 3)
    scene.audit.close()
    expect(scene.timers).toEqual([])
  }, 20_000)

  it('does not fetch a refuted document again and again while the own chain in it has to be closed', async () => {
    const scene = await Scene.of([unchecked(DOCUMENT, [chain('a', 5)], true)])
    scene.clonedAt = 0
    for (let i = 0; i < 3; i++) {
      scene.audit.resume()
      await scene.settle()
    }
    expect(scene.refuted).toEqual([])
    scene.clonedAt = undefined
    scene.audit.resume()
    await scene.settle()
    expect(scene.refuted).toEqual([DOCUMENT])
    scene.audit.close()
  })
})

describe('a document that is taken anew while its check goes on', () => {
  it('has to be checked anew: what was found out before says nothing of it', async () => {
    const old = unchecked(DOCUMENT, [chain('a', 5)])
    const fresh = unchecked(DOCUMENT, [chain('f', 7)])
    const store = memoryStore()
    await store.open()
    let turn: Promise<unknown> = Promise.resolve()
    const exclusive = <T>(task: () => Promise<T>): Promise<T> => {
      const result = turn.then(task)
      turn = result.catch(() => {})
      return result
    }
    const register = new UncheckedDocuments({
      space: SPACE,
      store,
      log: { commit: async change => store.commit({ ...change }) },
      documents: { exclusive } as unknown as DocumentSet,
      kept: new KeptTags(SPACE, store),
      unchecked: [old],
    })
    // While the transaction that takes it is on its way, the check of what was here before comes to its end.
    const taking = exclusive(async () => {
      await store.commit({ puts: [uncheckedRow(SPACE, fresh)], deletes: [] })
      const check = { puts: [], deletes: [], unchecked: fresh, contradicted: undefined }
      register.taken({ document: DOCUMENT } as Adoption, check)
    })
    const late = [register.checked(old), register.keep(old, { chains: [] }), register.keep(old, { isRefuted: true })]
    await taking
    expect(await Promise.all(late)).toEqual([false, undefined, undefined])
    expect(register.due.get(DOCUMENT)).toBe(fresh)
    expect(actorsIn((await loadUnchecked(store, SPACE))[0]?.chains)).toEqual([actorOf('f')])
    expect(await register.checked(fresh)).toBe(true)
    expect(await loadUnchecked(store, SPACE)).toEqual([])
  })
})
