import { expect, it } from 'vitest'
import type { DocumentCore } from '../../src/crdt/document-core.ts'
import type { DocumentLedger } from '../../src/crdt/document-ledger.ts'
import { DocumentRows } from '../../src/crdt/document-rows.ts'
import { LocalFlush } from '../../src/crdt/local-flush.ts'
import type { LocalChange } from '../../src/crdt/local-row.ts'
import type { OpenCores } from '../../src/crdt/open-cores.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import { type DocumentId, documentIdOf, spaceIdOf } from '../../src/ids.ts'

const [FIRST, SECOND] = [1, 2].map(seed => documentIdOf(new Uint8Array(16).fill(seed))) as [DocumentId, DocumentId]

/** As much of an open document as a flush looks at. */
function openDocument(document: DocumentId) {
  let changes: LocalChange[] = []
  return {
    document,
    edit: () => changes.push({ seq: 1, hash: new Uint8Array(32), bytes: new Uint8Array(8) }),
    unsaved: () => changes,
    markSaved: (seq: number) => {
      changes = changes.filter(change => change.seq > seq)
    },
  }
}

it('an edit that is made while a flush of another document begins is stored by the next (R-STORE-2)', async () => {
  const store = memoryStore()
  await store.open()
  const rows = new DocumentRows(spaceIdOf(new Uint8Array(32).fill(3)), store)
  const [first, second] = [openDocument(FIRST), openDocument(SECOND)]
  const open = new Map([first, second].map(each => [each.document, each]))
  let meanwhile = (): void => {}
  let turn: Promise<unknown> = Promise.resolve()
  const flush: LocalFlush = new LocalFlush({
    cores: {
      get: (document: DocumentId) => open.get(document) as unknown as DocumentCore,
      isUnstored: () => false,
      stored: () => {},
    } as unknown as OpenCores,
    ledger: { pay: async () => meanwhile() } as unknown as DocumentLedger,
    rows,
    store,
    exclusive: task => {
      const done = turn.then(task)
      turn = done.catch(() => {})
      return done
    },
    onFlush: () => {},
  })
  first.edit()
  flush.soon(FIRST)
  meanwhile = () => {
    second.edit()
    flush.soon(SECOND)
    meanwhile = () => {}
  }
  await flush.flush()
  await flush.flush()
  expect(await rows.locals(FIRST)).toHaveLength(1)
  expect(await rows.locals(SECOND)).toHaveLength(1)
  expect(flush.isDirty).toBe(false)
})
