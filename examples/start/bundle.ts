import { join } from 'node:path'
import { build } from 'vite'

/** The page's files by path, as they are served. */
export type Bundle = ReadonlyMap<string, string | Uint8Array>

/** Bundles the page with the built library, in memory. */
export async function bundlePage(project: string): Promise<Bundle> {
  const output = await build({
    configFile: false,
    root: join(project, 'examples/start/page'),
    logLevel: 'warn',
    build: {
      write: false,
      target: 'es2022',
      modulePreload: { polyfill: false },
      // Automerge's WASM is in it.
      chunkSizeWarningLimit: 10_000,
      rolldownOptions: { checks: { pluginTimings: false } },
    },
  })
  if (!('output' in output)) throw new Error('expected one bundle')
  return new Map(output.output.map(file => [`/${file.fileName}`, file.type === 'chunk' ? file.code : file.source]))
}
