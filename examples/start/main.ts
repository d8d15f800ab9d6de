// A relay and a page of two devices on one port: what `npm start` shows.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startRelay } from 'sealog-relay'
import { bundlePage } from './bundle.ts'
import { freePort } from './free-port.ts'
import { readOptions, type StartOptions, USAGE } from './options.ts'
import { openOwner } from './owner.ts'
import { webPages } from './web.ts'

/** This runs compiled, from build/examples/start. */
const PROJECT: string = fileURLToPath(new URL('../../..', import.meta.url))

async function start({ host, port: wanted, data }: StartOptions): Promise<void> {
  const bundle = await bundlePage(PROJECT)
  const port = await freePort(host, wanted)
  // Both devices' addresses and the browser's databases name the port: another port is another demonstration.
  const folder = data ?? join(PROJECT, `.demo/start-${port}`)
  await mkdir(folder, { recursive: true })
  let pages: ReturnType<typeof webPages> = () => false
  const relay = await startRelay({
    data: join(folder, 'relay'),
    host,
    port,
    name: 'relay.example',
    http: (request, response) => pages(request, response),
  })
  const { replica, space } = await openOwner(folder, relay.url)
  const address = relay.url.replace(/^ws:/, 'http:')
  const newInvite = (): Promise<string> => space.invite({ base: `${address}/join` })
  pages = webPages({ port, bundle, demo: { space: space.id, relay: relay.url }, newInvite })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, async () => {
      await replica.close()
      await relay.close()
      process.exit(0)
    })
  }
  console.log(`
Sealog is running, with its data in ${folder}.

  Two devices side by side:  ${address}/
  In another browser, once:  ${await newInvite()}

Ctrl+C stops it.`)
}

let options: StartOptions
try {
  options = readOptions(process.argv.slice(2), process.env.PORT)
} catch (error) {
  console.error(`${error instanceof Error ? error.message : error}\n\n${USAGE}`)
  process.exit(2)
}
try {
  await start(options)
} catch (error) {
  console.error(`npm start: ${error instanceof Error ? error.message : error}`)
  process.exit(1)
}
