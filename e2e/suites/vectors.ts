import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { isRequired, PROJECT } from '../lib/project.ts'
import type {} from '../pages/vectors.ts'
import { expectEqual, type World } from './world.ts'

const FOLDER: string = resolve(PROJECT, process.env.SEALOG_SHARED ?? '../shared', 'vectors/wycheproof')

/** Wycheproof's verdicts, from the library as the browser runs it. */
export async function vectorsSuite({ report, site, profile }: World): Promise<void> {
  if (!existsSync(FOLDER)) {
    report.missing('Wycheproof vectors: set SEALOG_SHARED to the folder of shared data', isRequired('shared'))
    return
  }
  const { url } = await site('build')
  const page = await (await profile()).open(`${url}/vectors.html`)
  await page.waitForFunction(() => 'vectorsPage' in globalThis)

  await report.check('Wycheproof Ed25519: the wanted verdicts, from WebCrypto and from JavaScript', async () => {
    const json = readFileSync(resolve(FOLDER, 'ed25519_test.json'), 'utf8')
    const { backend, chosen, noble } = await page.evaluate(json => vectorsPage.judgeEd25519(json), json)
    expectEqual(noble.wrong, [], 'JavaScript judges as wanted')
    expectEqual(chosen.wrong, [], `${backend} judges as wanted`)
    expectEqual(chosen.verdicts, noble.verdicts, 'equal verdicts')
    expectEqual([backend, noble.total], ['webcrypto', 151], 'the browser has Ed25519, and all vectors were judged')
  })

  await report.check('Wycheproof XChaCha20-Poly1305: every valid vector opens, no invalid one does', async () => {
    const json = readFileSync(resolve(FOLDER, 'xchacha20_poly1305_test.json'), 'utf8')
    expectEqual(
      await page.evaluate(json => vectorsPage.judgeXChaCha(json), json),
      { total: 315, wrong: [] },
      'all as wanted',
    )
  })
}
