import { beforeAll, describe, expect, it } from 'vitest'
import { changeDevice } from '../../src/crdt/device-change.ts'
import { type DocumentMeta, emptyMeta } from '../../src/crdt/document-meta.ts'
import { DocumentRows } from '../../src/crdt/document-rows.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import { actorIdOf, type DocumentId, documentIdOf, type SpaceId, spaceIdOf } from '../../src/ids.ts'
import { initializeAutomerge } from '../helpers/automerge.ts'

beforeAll(() => initializeAutomerge())

const SPACE: SpaceId = spaceIdOf(new Uint8Array(32).fill(7))
const DOCUMENT: DocumentId = documentIdOf(new Uint8Array(16).fill(9))
const WRITTEN: DocumentMeta = { ...emptyMeta(DOCUMENT), incarnation: new Uint8Array(8).fill(1) }

/** A store with one document, and one change of its own that the log does not have, if wanted. */
async function changed(
  meta: DocumentMeta,
  options: { readonly unsent: boolean; readonly held?: boolean; readonly hasWritten?: boolean },
) {
  const store = memoryStore()
  await store.open()
  const rows = new DocumentRows(SPACE, store)
  const local = { seq: 1, hash: new Uint8Array(32), bytes: new Uint8Array([1, 2, 3]) }
  const puts = [rows.metaRow(meta), ...(options.unsent ? [rows.localRow(DOCUMENT, local)] : [])]
  await store.commit({ puts, deletes: [] })
  const { puts: written, deletes } = await changeDevice({
    space: SPACE,
    store,
    random: length => new Uint8Array(length).fill(2),
    from: { signing: new Uint8Array(32).fill(3), kem: new Uint8Array(32).fill(4) },
    to: { signing: new Uint8Array(32).fill(5), kem: new Uint8Array(32).fill(6) },
    hasWritten: options.hasWritten !== false,
    held: options.held === false ? new Set() : undefined,
  })
  await store.commit({ puts: written, deletes })
  return rows.metas()
}

describe('another device in the place of one that can write no more', () => {
  it('writes under incarnations of its own', async () => {
    expect(await changed(WRITTEN, { unsent: false })).toEqual([emptyMeta(DOCUMENT)])
    const importing = { ...WRITTEN, importing: new Uint8Array(32) }
    expect(await changed(importing, { unsent: false })).toEqual([
      { ...importing, incarnation: new Uint8Array(8).fill(2) },
    ])
  })

  it.each([
    ['a copy of the device wrote as well (R-CLONE-1)', { ...WRITTEN, clonedAt: 5 }, true],
    ['the document was skipped over, and may hold some of them', WRITTEN, false],
    ['what was sent waits behind an import', { ...WRITTEN, importer: actorIdOf(new Uint8Array(16).fill(7)) }, true],
  ])('takes no changes along that the log may have already: %s', async (_, meta, held) => {
    await expect(changed(meta, { unsent: true, held })).rejects.toMatchObject({ code: 'ERR_CONTENT' })
  })

  it('takes them along from a device that the log never admitted, whatever is here of the document', async () => {
    const importing = { ...WRITTEN, importing: new Uint8Array(32) }
    await expect(changed(importing, { unsent: false, held: false })).rejects.toMatchObject({ code: 'ERR_CONTENT' })
    const [meta] = await changed(importing, { unsent: false, held: false, hasWritten: false })
    expect(meta?.incarnation).toEqual(new Uint8Array(8).fill(2))
  })

  it('takes over no document whose content is held back until the former device retires (R-CLONE-1)', async () => {
    const cloned = { ...WRITTEN, clonedAt: 5 }
    await expect(changed(cloned, { unsent: false })).rejects.toMatchObject({ code: 'ERR_CONTENT' })
    // Of an actor that is none of the former device's there is nothing to retire.
    const other = { ...cloned, incarnation: undefined }
    expect(await changed(other, { unsent: false })).toEqual([other])
  })
})
