import { join } from 'node:path'
import { startRelay } from 'sealog-relay'
import { expect, onTestFinished, test, vi } from 'vitest'
import { writersAt } from '../crash/scene.ts'
import { testFolder } from '../helpers/folder.ts'

type Database = { readonly name: string; pragma(text: string, options?: { simple: boolean }): unknown }

/** Every database that the relay opened, so that its size can be limited from outside, as a disk does. */
const opened = vi.hoisted(() => new Set<Database>())

vi.mock('better-sqlite3', async importOriginal => {
  const { default: Original } = await importOriginal<{ readonly default: new (...args: never) => object }>()
  const Watched = new Proxy(Original, {
    construct(target, args) {
      const database = Reflect.construct(target, args) as Database
      opened.add(database)
      return database
    },
  })
  return { default: Watched }
})

/** @param pages that the logs may still grow by; undefined: as many as they like */
function leave(pages: number | undefined): void {
  for (const database of opened) {
    if (!database.name.endsWith('relay.db')) continue
    const count = database.pragma('page_count', { simple: true }) as number
    database.pragma(`max_page_count = ${pages === undefined ? 1_000_000 : count + pages}`)
  }
}

test('a relay whose disk is full says so with a retryable code, and goes on when there is room (R-PUSH-7)', {
  timeout: 60_000,
}, async () => {
  const data = testFolder()
  const relay = await startRelay({ data, port: 0, name: 'relay.test' })
  onTestFinished(() => relay.close())
  expect([...opened].map(({ name }) => name)).toContain(join(data, 'relay.db'))
  const scene = await writersAt([relay.url], { name: relay.name, key: relay.key })
  for (let time = 0; time < 2; time++) {
    await scene.acknowledges(10)
    const refused = scene.refuses('ERR_RELAY_STORAGE')
    leave(4)
    await refused
    leave(undefined)
    await scene.acknowledges(10)
  }
  expect(await scene.verdict()).toEqual({ lost: 0, conflictingHeads: 0, faults: [] })
  expect([...scene.ledger.refusals.keys()]).toEqual(['ERR_RELAY_STORAGE'])
})
