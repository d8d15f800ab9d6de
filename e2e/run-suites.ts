import { join } from 'node:path'
import { NodeProcess } from './lib/child-process.ts'
import type { Cleanup } from './lib/cleanup.ts'
import { Profile } from './lib/profile.ts'
import { startRelayProcess } from './lib/relay-process.ts'
import type { Report } from './lib/report.ts'
import { type Mode, type Served, serve } from './lib/serve.ts'
import { makeSite } from './lib/site.ts'
import { notesSuite } from './suites/notes.ts'
import { passkeySuite } from './suites/passkey.ts'
import { startSuite } from './suites/start.ts'
import { storeSuite } from './suites/store.ts'
import { tabsSuite } from './suites/tabs.ts'
import { vectorsSuite } from './suites/vectors.ts'
import { workerSuite } from './suites/worker.ts'
import type { World } from './suites/world.ts'

const SUITES: Readonly<Record<string, (world: World) => Promise<void>>> = {
  'notes-build': world => notesSuite(world, 'build'),
  'notes-dev': world => notesSuite(world, 'dev'),
  worker: workerSuite,
  tabs: tabsSuite,
  store: storeSuite,
  passkey: passkeySuite,
  vectors: vectorsSuite,
  start: startSuite,
}

/**
 * Runs these suites, one after the other, over one relay and one installation.
 * @param wanted names of suites; all where there is none
 * @param folder for everything that they leave behind
 */
export async function runSuites(
  { executable, folder, wanted }: { executable: string; folder: string; wanted: readonly string[] },
  report: Report,
  cleanup: Cleanup,
): Promise<void> {
  const names = wanted.length > 0 ? wanted : Object.keys(SUITES)
  for (const name of names)
    if (!(name in SUITES)) throw new Error(`no suite ${name}: ${Object.keys(SUITES).join(', ')}`)
  const relay = await startRelayProcess(join(folder, 'relay'))
  cleanup.defer(async () => {
    const code = await relay.stop()
    if (code !== 0) report.fail(`SIGTERM ends the relay with code ${code}`)
  })
  const site = join(folder, 'site')
  await report.check('the packed library installs in a project of its own', () => makeSite(site))
  const served = new Map<Mode, Promise<Served>>()
  cleanup.defer(async () => {
    for (const server of served.values()) await (await server).close()
  })
  let profiles = 0
  for (const name of names) {
    const opened: Profile[] = []
    const world: World = {
      report,
      folder: join(folder, name),
      site(mode) {
        const known = served.get(mode) ?? serve(site, mode)
        served.set(mode, known)
        return known
      },
      async profile() {
        const place = { executable, folder, relayPort: relay.port }
        const profile = await Profile.launch(`profile-${profiles++}`, place)
        cleanup.defer(() => profile.close())
        opened.push(profile)
        return profile
      },
      async start(...command) {
        const started = await NodeProcess.start(...command)
        cleanup.defer(async () => void (await started.stop()))
        return started
      },
    }
    await runSuite(name, world)
    if (cleanup.hasBegun) return
    for (const profile of opened) {
      for (const complaint of profile.complaints) report.fail(`an error that nobody caught: ${complaint}`)
      await profile.close()
    }
  }
}

async function runSuite(name: string, world: World): Promise<void> {
  const { report } = world
  const failed = report.failed
  try {
    await SUITES[name]?.(world)
  } catch (error) {
    console.error(error)
    if (report.failed === failed) report.fail(`${name} could not run`)
  }
}
