import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { type BundledCli, bundleCli } from '../../relay-server/test/helpers/bundle-cli.ts'
import { freePort, identityOf, RelayProcess } from '../crash/relay-process.ts'
import { writersAt } from '../crash/scene.ts'
import { testFolder } from '../helpers/folder.ts'
import { describePostgres } from '../helpers/postgres.ts'

const RELAYS = 3
const KILLS = 5

describePostgres('three relay processes on one PostgreSQL', cluster => {
  let cli: BundledCli

  beforeAll(async () => {
    cli = await bundleCli()
  }, 60_000)

  afterAll(() => cli?.remove())

  async function relaysAt(database: string): Promise<readonly RelayProcess[]> {
    const folder = testFolder()
    const place = ['--data', join(folder, 'relay'), '--store', database]
    const relays: RelayProcess[] = []
    for (let i = 0; i < RELAYS; i++) {
      const relay = new RelayProcess({
        port: await freePort(),
        place,
        log: join(folder, `${i}.log`),
        command: cli.path,
      })
      onTestFinished(() => relay.kill())
      relay.launch()
      // The first one makes the key and the tables.
      await relay.listens()
      relays.push(relay)
    }
    return relays
  }

  test('one is killed again and again: clients go on with the others, and all show one log', {
    timeout: 90_000,
  }, async () => {
    const relays = await relaysAt(await cluster.createDatabase())
    const urls = relays.map(({ url }) => url)
    const scene = await writersAt(urls, await identityOf(urls[0] as string))
    for (let kill = 0; kill < KILLS; kill++) {
      const victim = relays[kill % RELAYS] as RelayProcess
      await victim.listens()
      await scene.acknowledges(10)
      await victim.kill()
      await scene.acknowledges(10)
      victim.launch()
    }
    for (const relay of relays) await relay.listens()
    expect(await scene.verdict()).toEqual({ lost: 0, conflictingHeads: 0, faults: [] })
    expect([...scene.ledger.refusals.keys()]).toEqual([])
  })
})
