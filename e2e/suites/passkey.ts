import type { CDPSession } from 'playwright-core'
import { RELAY_URL } from '../lib/profile.ts'
import type {} from '../pages/passkey.ts'
import { expect, expectEqual, type World } from './world.ts'

/** Plugs an authenticator into the browser that is like one built into the machine, with a user who always agrees. */
async function plugIn(devtools: CDPSession, hasPrf: boolean): Promise<() => Promise<void>> {
  const { authenticatorId } = await devtools.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2',
      ctap2Version: 'ctap2_1',
      transport: 'internal',
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
      hasPrf,
    },
  })
  return async () => {
    await devtools.send('WebAuthn.removeVirtualAuthenticator', { authenticatorId })
  }
}

/** The keys of a replica under a passkey, and under a passphrase, in a real browser. */
export async function passkeySuite({ report, site, profile }: World): Promise<void> {
  const { url } = await site('build')
  const place = await profile()
  const page = await place.open(`${url}/passkey.html`)
  await page.waitForFunction(() => 'passkeyPage' in globalThis)
  const devtools = await place.devtools(page)
  await devtools.send('WebAuthn.enable')
  const open = (unlock?: string | readonly number[]): Promise<string> =>
    page.evaluate(([relay, unlock]) => passkeyPage.open(relay, unlock), [RELAY_URL, unlock] as const)
  const create = (name: string) => page.evaluate(name => passkeyPage.create(name), name)
  const secret = (id?: readonly number[]) => page.evaluate(id => passkeyPage.secret(id), id)

  await report.check('passkey: an authenticator without PRF is told apart by code', async () => {
    const unplug = await plugIn(devtools, false)
    expectEqual(await create('Ann'), 'ERR_UNSUPPORTED', 'no passkey that could protect nothing')
    await unplug()
  })

  await plugIn(devtools, true)
  let first: readonly number[] = []
  let second: readonly number[] = []
  await report.check('passkey: each has one secret of 32 bytes, however it is asked for', async () => {
    expectEqual(await page.evaluate(() => passkeyPage.isAvailable()), true, 'the browser says that it has the PRF')
    const id = await create('Ann')
    expect(typeof id !== 'string', `a passkey is created; got ${id}`)
    const [named, again, chosen] = [await secret(id), await secret(id), await secret()]
    expect(typeof named !== 'string' && named.length === 32, `32 bytes; got ${JSON.stringify(named)}`)
    expectEqual([again, chosen], [named, named], 'always the same')
    first = named
    const other = await create('Ann, another one')
    expect(typeof other !== 'string', `a second passkey is created; got ${other}`)
    const bytes = await secret(other)
    expect(typeof bytes !== 'string', `the second one has a secret; got ${bytes}`)
    second = bytes
    expect(JSON.stringify(first) !== JSON.stringify(second), 'two passkeys have two secrets')
  })

  await report.check('passkey: one that is not there is told by code', async () => {
    expectEqual(await secret([1, 2, 3, 4]), 'ERR_ABORTED', 'nobody has this passkey')
  })

  await report.check('passkey: a replica protected by it opens by it, and by nothing else', async () => {
    expectEqual(await open(), 'nothing', 'not protected at first')
    await page.evaluate(() => passkeyPage.createSpace())
    await page.evaluate(bytes => passkeyPage.protect(bytes), first)
    await page.evaluate(() => passkeyPage.close())
    expectEqual(await open(), 'ERR_STORE_SEALED', 'without a secret')
    expectEqual(await open(second), 'ERR_PASSPHRASE', 'with the secret of another passkey')
    expectEqual(await open('a passphrase'), 'ERR_PASSPHRASE', 'with a passphrase')
    expectEqual(await open(first), 'prf', 'with its own')
    expectEqual(await page.evaluate(() => passkeyPage.spaces()), ['Field notes'], 'all is there')
  })

  await report.check('passphrase: takes its place, and the page stays alive while it is stretched', async () => {
    const moments = await page.evaluate(() => passkeyPage.protect('correct horse battery staple'))
    expect(moments > 5, `other work is done meanwhile: ${moments} times`)
    await page.evaluate(() => passkeyPage.close())
    expectEqual(await open(first), 'ERR_PASSPHRASE', 'with the passkey from before')
    expectEqual(await open('correct horse battery'), 'ERR_PASSPHRASE', 'with another passphrase')
    expectEqual(await open('correct horse battery staple'), 'passphrase', 'with the passphrase')
    expectEqual(await page.evaluate(() => passkeyPage.spaces()), ['Field notes'], 'all is there')
    await page.evaluate(() => passkeyPage.close())
  })
}
