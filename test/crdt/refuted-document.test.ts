import * as Automerge from '@automerge/automerge/slim'
import { beforeAll, describe, expect, it } from 'vitest'
import { type Adoption, SnapshotContradicted } from '../../src/crdt/adopt.ts'
import type { SnapshotPayload } from '../../src/crdt/snapshot-payload.ts'
import type { ReplicaStore } from '../../src/crdt/store.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import { emptyDocument } from '../../src/verify/state.ts'
import { initializeAutomerge } from '../helpers/automerge.ts'
import { DOCUMENT } from '../helpers/log-builder.ts'
import { Author, KEYS, Reader } from './parking-support.ts'

beforeAll(initializeAutomerge)

/** Something else than what was here, as all entries from the first have it. */
function anotherDocument(): Adoption {
  const other = new Author('b')
  other.set('there', true)
  return {
    document: DOCUMENT,
    record: emptyDocument(DOCUMENT, 0),
    snapshot: undefined,
    entries: [other.entry(0, other.next() ?? {})],
    keysOf: (document, epoch) => KEYS.forDocument(document, epoch, epoch),
    unchecked: undefined,
    discard: () => {},
  }
}

/** The same as a snapshot. */
function anotherSnapshot(): Adoption {
  const other = new Author('b')
  other.set('there', true)
  other.next()
  const { latestSeq: seq, latestHash: hash } = other.end
  const payload = { covered: [], imported: undefined, saved: Automerge.save(other.doc) } as unknown as SnapshotPayload
  const snapshot = { doc: Automerge.clone(other.doc), payload, count: 1, tips: new Map([[other.actor, { seq, hash }]]) }
  return { ...anotherDocument(), snapshot, entries: [] }
}

interface Scene {
  readonly store: ReplicaStore
  readonly reader: Reader
}

/** Has taken what turns out to be false later, and written on top of it. */
async function deceived(): Promise<Scene> {
  const store = memoryStore()
  const reader = await Reader.on(store)
  const author = new Author('a')
  author.set('here', true)
  await reader.receive(author.entry(0, author.next() ?? {}))
  await reader.set.open(DOCUMENT)
  edit(reader, 1)
  await write(reader, 2)
  return { store, reader }
}

async function write(reader: Reader, own: number): Promise<void> {
  edit(reader, own)
  await reader.set.flush()
}

function edit(reader: Reader, own: number): void {
  const core = reader.set.core(DOCUMENT)
  if (core === undefined) throw new Error('the document is not open')
  reader.set.change(
    core,
    doc => {
      doc.own = own
    },
    0,
  )
}

/** Takes the document, in place of what was here and may be false. @returns number of own changes that went */
async function replaced(
  { store, reader }: Scene,
  { isDoubted = true, adoption = anotherDocument(), onStored = () => {} } = {},
): Promise<number> {
  return reader.set.exclusive(async () => {
    const plan = await reader.set.adopting(adoption, isDoubted)
    await store.commit({ puts: plan.puts, deletes: plan.deletes })
    onStored()
    return (await reader.set.adopted(adoption, plan)).length
  })
}

/** What the same replica has if it ends now, and starts again. */
async function afterCrash(store: ReplicaStore): Promise<Reader> {
  const left = memoryStore()
  await left.open()
  await left.commit({ puts: await store.scan(new Uint8Array(0)), deletes: [] })
  await left.close()
  return Reader.on(left)
}

describe('a document that was refuted', () => {
  it('goes with the own changes that build on it, and the next ones stand on what took its place (R-SNAPSHOT-11)', async () => {
    const scene = await deceived()
    const { reader } = scene
    expect(await replaced(scene)).toBe(2)
    expect(await reader.doc()).toEqual({ there: true })
    const core = await reader.set.open(DOCUMENT)
    expect(core.locals).toEqual([])
    await write(reader, 3)
    expect(core.pending().map(({ seq }) => seq)).toEqual([1])
    expect(await reader.doc()).toEqual({ there: true, own: 3 })
    const again = await afterCrash(scene.store)
    expect(await again.doc()).toEqual({ there: true, own: 3 })
    await reader.close()
  })

  it('alone does so: otherwise no own change is given up, and nothing is written', async () => {
    const scene = await deceived()
    await expect(replaced(scene, { isDoubted: false })).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
    expect((await scene.reader.set.open(DOCUMENT)).locals).toHaveLength(2)
    const again = await afterCrash(scene.store)
    expect(await again.doc()).toEqual({ here: true, own: 2 })
    await scene.reader.close()
  })

  it('a crash right after the commit leaves a document that opens, without what cannot stand on it', async () => {
    const scene = await deceived()
    let crashed: Promise<Reader> | undefined
    await replaced(scene, {
      onStored: () => {
        crashed = afterCrash(scene.store)
      },
    })
    const again = (await crashed) as Reader
    expect(await again.doc()).toEqual({ there: true })
    expect((await again.set.open(DOCUMENT)).locals).toEqual([])
    await scene.reader.close()
  })

  it('what is written while the rows are on their way goes with the rest, and leaves nothing in the store', async () => {
    const scene = await deceived()
    expect(await replaced(scene, { onStored: () => edit(scene.reader, 3) })).toBe(3)
    expect(await scene.reader.doc()).toEqual({ there: true })
    await scene.reader.set.flush()
    expect(await (await afterCrash(scene.store)).doc()).toEqual({ there: true })
    await scene.reader.close()
  })

  it('a snapshot takes no own change away, whatever was here: all entries settle it', async () => {
    const scene = await deceived()
    const adoption = anotherSnapshot()
    await expect(replaced(scene, { adoption })).rejects.toThrow(SnapshotContradicted)
    expect((await scene.reader.set.open(DOCUMENT)).locals).toHaveLength(2)
    expect(await (await afterCrash(scene.store)).doc()).toEqual({ here: true, own: 2 })
    await scene.reader.close()
  })
})
