import { join } from 'node:path'
import type { Locator, Page } from 'playwright-core'
import { PROJECT } from '../lib/project.ts'
import { eventually } from '../lib/within.ts'
import { expect, expectEqual, type World } from './world.ts'

/** What `npm start` shows: a page with two devices, and an invite for a third in another browser. */
export async function startSuite({ report, folder, profile, start }: World): Promise<void> {
  const script = join(PROJECT, 'build/examples/start/main.js')
  const server = await start(script, ['--port', '0', '--data', folder], /Ctrl\+C/)
  try {
    const [address = '', invite = ''] = server.output.match(/http:\/\/\S+/g) ?? []
    const home = await profile()
    const page = await home.open(address)
    const [ann, bob] = [paneOf(page, 'Ann'), paneOf(page, 'Bob')]

    await report.check(
      'the start page: what is typed in one pane appears in the other, and no caret jumps',
      async () => {
        await Promise.all([ready(ann), ready(bob)])
        await bob.text.press('Control+Home')
        await ann.text.press('Control+End')
        await ann.text.pressSequentially('Ann types at the end. ')
        await bob.text.pressSequentially('Bob types at the start. ')
        await ann.text.pressSequentially('On and on 😀.')
        await equalTexts([ann, bob])
        const text = await ann.text.inputValue()
        expect(text.startsWith('Bob types at the start. '), `Bob’s line is whole: ${text}`)
        expect(text.endsWith('Ann types at the end. On and on 😀.'), `Ann’s line is whole: ${text}`)
      },
    )

    await report.check(
      'the start page: a pane switched offline keeps its text over a reload, and returns',
      async () => {
        await bob.online.click()
        await bob.text.press('Control+Home')
        await bob.text.pressSequentially('Offline. ')
        await bob.own.filter({ hasText: 'saved here, not sent' }).waitFor()
        await page.reload()
        await Promise.all([ready(ann), ready(bob)])
        expectEqual(await bob.online.getAttribute('aria-checked'), 'false', 'still offline')
        expect((await bob.text.inputValue()).startsWith('Offline. '), 'the text is there')
        expect(!(await ann.text.inputValue()).startsWith('Offline. '), 'and nowhere else')
        await bob.online.click()
        await equalTexts([ann, bob])
        await bob.own.filter({ hasText: 'proven' }).waitFor()
      },
    )

    await report.check('the start page: the invite opens in another browser, once', async () => {
      const guestPage = await (await profile()).open(invite)
      await guestPage.getByLabel('Your name').fill('Grace')
      await guestPage.getByRole('button', { name: 'Join' }).click()
      const grace = paneOf(guestPage, 'Grace')
      await ready(grace)
      expect(!guestPage.url().includes('#'), 'the key is gone from the address bar')
      await equalTexts([ann, grace])
      const late = await (await profile()).open(invite)
      await late.getByLabel('Your name').fill('Mallory')
      await late.getByRole('button', { name: 'Join' }).click()
      await late.getByText('This invite was used already').waitFor({ timeout: 15_000 })
    })

    await report.check('the start page: invites go to its own page only', async () => {
      for (const origin of ['https://elsewhere.example', 'null', undefined]) {
        const headers = origin === undefined ? {} : { origin }
        const { status } = await fetch(new URL('/invite', address), { method: 'POST', headers })
        expectEqual(status, 403, `an invite for ${origin}`)
      }
    })
  } finally {
    const code = await server.stop()
    if (code !== 0) report.fail(`the start page: SIGTERM ends it with code ${code}`)
  }
}

interface Pane {
  readonly text: Locator
  readonly online: Locator
  readonly own: Locator
}

function paneOf(page: Page, name: string): Pane {
  const pane = page.locator('.pane', { has: page.getByRole('heading', { name, exact: true }) })
  return {
    text: pane.getByRole('textbox', { name: 'Welcome' }),
    online: pane.getByRole('switch'),
    own: pane.locator('[data-part=own]'),
  }
}

/** Its note is open and has arrived. */
async function ready(pane: Pane): Promise<void> {
  await eventually(async () => expect((await pane.text.inputValue({ timeout: 1000 })) !== '', 'the note is there'))
}

async function equalTexts(panes: readonly Pane[]): Promise<void> {
  await eventually(async () => {
    const texts = await Promise.all(panes.map(pane => pane.text.inputValue()))
    expect(new Set(texts).size === 1, `equal texts: ${JSON.stringify(texts)}`)
  })
}
