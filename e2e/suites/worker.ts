import type { Page } from 'playwright-core'
import { RELAY_URL } from '../lib/profile.ts'
import type {} from '../pages/worker.ts'
import { expectConverged, expectOnce, NoteDevice, wordsOf } from './note-device.ts'
import type { World } from './world.ts'

/** A replica without a page: in a module service worker, with `sealog/slim` and the WASM as a file. */
export async function workerSuite({ report, site, profile }: World): Promise<void> {
  const { url } = await site('build')
  const home = await profile()
  const page = await home.open(`${url}/worker.html`)
  const bob = await NoteDevice.open(await profile(), 'Bob', url)

  await report.check('a module service worker with sealog/slim creates a space and writes with a page', async () => {
    await page.waitForFunction(() => 'workerPage' in globalThis)
    await page.evaluate(() => workerPage.start('/service-worker.js'))
    await page.evaluate(relay => workerPage.call(relay, 'create'), RELAY_URL)
    await bob.join(await page.evaluate(relay => workerPage.call(relay, 'invite'), RELAY_URL))
    const [own, others] = await Promise.all([write(page, 'w'), bob.write('b', 20, 0.5)])
    await expectEverything(page, bob, [...own, ...others])
  })

  await report.check('a service worker that the browser stopped goes on from its store', async () => {
    const written = await write(page, 'saved')
    await page.evaluate(relay => workerPage.call(relay, 'saved'), RELAY_URL)
    const devtools = await home.devtools(page)
    await devtools.send('ServiceWorker.enable')
    await devtools.send('ServiceWorker.stopAllWorkers')
    await expectEverything(page, bob, [...written, ...(await write(page, 'restarted'))])
  })
}

async function write(page: Page, series: string): Promise<readonly string[]> {
  const words = wordsOf(series, 20)
  await page.evaluate(([relay, words]) => workerPage.call(relay, 'write', words, 0.5, 5), [RELAY_URL, words] as const)
  return words
}

async function expectEverything(page: Page, bob: NoteDevice, words: readonly string[]): Promise<void> {
  await page.evaluate(relay => workerPage.call(relay, 'sync'), RELAY_URL)
  await bob.sync()
  await page.evaluate(relay => workerPage.call(relay, 'sync'), RELAY_URL)
  const looks = [await page.evaluate(relay => workerPage.call(relay, 'look'), RELAY_URL), await bob.look()]
  expectConverged(looks)
  expectOnce(looks[0]?.text ?? '', words)
}
