import type {} from '../pages/store.ts'
import { expect, type World } from './world.ts'

/** Writing 8 MiB with a sync after every commit, on a slow disk, in milliseconds. */
const PATIENCE = 60_000

/** The acceptance suite of stores, on the browser's own IndexedDB and Web Locks. */
export async function storeSuite({ report, site, profile }: World): Promise<void> {
  const { url } = await site('build')
  const page = await (await profile()).open(`${url}/store.html`)
  await page.waitForFunction(() => 'storePage' in globalThis)
  const cases = await page.evaluate(() => storePage.cases)
  expect(cases.length > 10, 'the suite has cases')
  for (const name of cases) {
    await report.check(`IndexedDB: ${name}`, () => page.evaluate(name => storePage.run(name), name), PATIENCE)
  }
}
