import { type DocumentId, emptyRange, type Header, rootOf, type SpaceId, toHex } from 'sealog/protocol'
import { appendOf } from '../../src/append.ts'
import { judge, type SpaceView } from '../../src/judge.ts'
import type { LogStore } from '../../src/log-store.ts'
import { memoryLogStore } from '../../src/log-store-memory.ts'
import { readPush } from '../../src/pushed-entry.ts'
import {
  type Authored,
  author,
  authorGenesis,
  authorInvite,
  authorJoin,
  makeDevice,
  pushEntryOf,
  spaceOf,
  type TestDevice,
} from './authoring.ts'
import { testEnvironment } from './environment.ts'

/** A valid log of any shape, in a store as the relay fills it, and the view after each number of entries. */
export interface RandomLog {
  readonly store: LogStore
  readonly space: SpaceId
  readonly views: readonly SpaceView[]
}

export interface Shape {
  readonly kind: Header['kind']
  readonly device: number
  readonly document: number
  /** By a new actor. */
  readonly fresh: boolean
}

const RELAY = { name: 'relay.test', key: new Uint8Array(32).fill(9) }

/**
 * @param shapes what is tried, one entry each, after three devices were admitted; what the reducer refuses is left out
 * @param groups entries of one append
 */
export async function randomLog(shapes: readonly Shape[], seed = 1, groups = 3): Promise<RandomLog> {
  const { random } = testEnvironment(seed)
  const store = memoryLogStore()
  await store.open()
  const owner = makeDevice(random)
  const genesis = authorGenesis(random, owner, RELAY)
  const space = spaceOf(genesis)
  const views: SpaceView[] = [{ space, range: emptyRange, state: undefined }]
  const latest = (): SpaceView => views.at(-1) as SpaceView
  let group: Authored[] = []
  let base = latest()

  const circumstances = { relay: RELAY, now: 0, verdictOf: () => true }
  const judged = (from: SpaceView, entries: readonly Authored[]): ReturnType<typeof judge> => {
    const push = readPush(entries.map(pushEntryOf), () => undefined)
    const seenRoots = new Map(views.map(view => [view.range.size, rootOf(view.range)]))
    return judge(from, [push], { ...circumstances, seenRoots })
  }

  async function flush(): Promise<void> {
    if (group.length > 0) await store.append(appendOf(base, judged(base, group)))
    base = latest()
    group = []
  }

  async function take(entry: Authored): Promise<boolean> {
    const { view, accepted } = judged(latest(), [entry])
    if (accepted.length === 0) return false
    views.push(view)
    group.push(entry)
    if (group.length >= groups) await flush()
    return true
  }

  await take(genesis)
  const devices: TestDevice[] = [owner]
  const tags = new Map<string, Uint8Array>()
  const seen = () => ({ size: latest().range.size, root: rootOf(latest().range) })
  const controlCount = () => latest().state?.control.count ?? 0
  for (let i = 0; i < 2; i++) {
    const guest = makeDevice(random, controlCount())
    await take(authorInvite(random, owner, genesis.hash, guest, { seen: seen() }))
    const own = makeDevice(random, controlCount())
    await take(authorJoin(random, guest, genesis.hash, own, seen()))
    devices.push(own)
  }

  for (const { kind, device: which, document: number, fresh } of shapes) {
    const device = devices[which % devices.length] as TestDevice
    const document = `d${number}`.repeat(16) as DocumentId
    const before = device.chains.get(document)
    if (fresh) device.chains.delete(document)
    const repeats = kind === 'retire' || kind === 'snapshot'
    const tag = repeats && before !== undefined && !fresh ? (tags.get(toHex(before.prev)) as Uint8Array) : random(32)
    const body = kind === 'retire' ? new Uint8Array(0) : random(1 + (number % 40))
    const entry = author(random, device, genesis.hash, { kind, document, body, seen: seen(), header: { tag } })
    const taken = await take(entry)
    if (taken) tags.set(toHex(entry.hash), tag)
    else if (before === undefined) device.chains.delete(document)
    else device.chains.set(document, before)
    if (taken && kind === 'retire') device.chains.delete(document)
  }
  await flush()
  return { store, space, views }
}
