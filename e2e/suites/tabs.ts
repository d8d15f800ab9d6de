import type { Page } from 'playwright-core'
import { eventually } from '../lib/within.ts'
import { expectOnce, NoteDevice, wordsOf } from './note-device.ts'
import { expect, type World } from './world.ts'

/** Words written before the tab crashes. */
const WORDS = 30

/** Several tabs over one store: one writer at a time, and what the writer was promised outlives it. */
export async function tabsSuite({ report, site, profile }: World): Promise<void> {
  const { url } = await site('build')
  const home = await profile()
  const first = await NoteDevice.open(home, 'Ann', url)
  await first.create()

  await report.check('a second tab on the same store gets ERR_STORE_LOCKED until the first is closed', async () => {
    const second = await NoteDevice.open(home, 'Ann', url)
    const refused = await second.look().catch(String)
    expect(String(refused).includes('ERR_STORE_LOCKED'), `ERR_STORE_LOCKED, and not ${refused}`)
    await first.write('first', 1, 0)
    await first.saved()
    await first.close()
    await eventually(async () => {
      await second.reload()
      expectOnce((await second.look()).text, ['<first0>'])
    })
    await second.close()
  })

  await report.check('a tab that crashes keeps everything that saved() acknowledged', async () => {
    const doomed = await NoteDevice.open(home, 'Ann', url)
    const words = wordsOf('w', WORDS)
    const crash = new Promise<void>(resolve => void doomed.page.once('crash', () => resolve()))
    // Before it hangs: afterwards nobody gets through to it.
    const devtools = await home.devtools(doomed.page)
    await acknowledgement(doomed.page, words)
    devtools.send('Page.crash').catch(() => {})
    await crash
    const successor = await eventually(async () => {
      const device = await NoteDevice.open(home, 'Ann', url)
      await device.look().catch(async error => {
        await device.close()
        throw error
      })
      return device
    })
    expectOnce((await successor.look()).text, words)
    await successor.close()
  })
}

/** Has the page write, and resolves at its last sign of life. */
async function acknowledgement(page: Page, words: readonly string[]): Promise<void> {
  let acknowledge = (): void => {}
  const acknowledged = new Promise<void>(resolve => {
    acknowledge = resolve
  })
  await page.exposeFunction('acknowledge', acknowledge)
  const hung = page.evaluate(writeAndHang, words)
  // Rejects in any case: now, where something is wrong, or with the crash.
  await Promise.race([acknowledged, hung])
  hung.catch(() => {})
}

/** Runs in the page: not even a microtask passes between the promise and the end. */
async function writeAndHang(words: readonly string[]): Promise<void> {
  const { acknowledge } = globalThis as unknown as { acknowledge(): Promise<void> }
  for (const word of words) {
    await notesPage.session.write([word], 1)
    if (Math.random() < 0.5) await notesPage.session.saved()
  }
  await notesPage.session.saved()
  void acknowledge()
  for (;;);
}
