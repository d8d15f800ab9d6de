import { readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join, normalize } from 'node:path'
import { build, createServer as createViteServer, type InlineConfig } from 'vite'
import { libraryOfCases } from './library-of-cases.ts'

/** How the pages are served: by Vite's development server, or bundled by Vite and served as files. */
export type Mode = 'dev' | 'build'

export interface Served {
  /** Where the pages are; on `localhost`, which browsers trust like https. */
  readonly url: string
  close(): Promise<void>
}

const HOST = '127.0.0.1'
const PAGES = ['notes', 'passkey', 'store', 'vectors', 'worker']
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.wasm': 'application/wasm',
}

/** @param site folder of the web project */
export function serve(site: string, mode: Mode): Promise<Served> {
  return mode === 'dev' ? serveSources(site) : serveBundle(site)
}

function configOf(site: string): InlineConfig {
  return { configFile: false, root: site, logLevel: 'warn', plugins: [libraryOfCases(site)] }
}

async function serveSources(site: string): Promise<Served> {
  // As a guest in a server of ours: on its own, Vite ends this process when it gets a SIGTERM.
  const vite = await createViteServer({
    ...configOf(site),
    appType: 'mpa',
    server: { middlewareMode: true, hmr: false, watch: null },
  })
  const served = await listen(createServer(vite.middlewares))
  return {
    url: served.url,
    close: async () => {
      await served.close()
      await vite.close()
    },
  }
}

async function serveBundle(site: string): Promise<Served> {
  const pages = PAGES.map(name => [name, join(site, `${name}.html`)])
  const input = Object.fromEntries([...pages, ['service-worker', join(site, 'service-worker.ts')]])
  await build({
    ...configOf(site),
    build: {
      target: 'es2022',
      chunkSizeWarningLimit: 10_000,
      rolldownOptions: {
        input,
        checks: { pluginTimings: false },
        // A service worker is found, and updated, under one fixed address at the top.
        output: { entryFileNames: ({ name }) => (name === 'service-worker' ? '[name].js' : 'assets/[name]-[hash].js') },
      },
    },
  })
  return serveFiles(join(site, 'dist'))
}

function serveFiles(folder: string): Promise<Served> {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost')
    try {
      const content = await readFile(join(folder, normalize(pathname)))
      response.writeHead(200, { 'content-type': TYPES[extname(pathname)] ?? 'application/octet-stream' }).end(content)
    } catch {
      response.writeHead(404).end()
    }
  })
  return listen(server)
}

async function listen(server: Server): Promise<Served> {
  await new Promise<void>(resolve => server.listen(0, HOST, resolve))
  const { port } = server.address() as AddressInfo
  const close = async (): Promise<void> => {
    server.close()
    server.closeAllConnections()
  }
  return { url: `http://localhost:${port}`, close }
}
