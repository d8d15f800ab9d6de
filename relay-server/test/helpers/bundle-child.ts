import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'vite'

const PROJECT = fileURLToPath(new URL('../../..', import.meta.url))

/**
 * A file of this folder as one for plain Node, which has no loader for TypeScript. Packages stay imports, resolved as in
 * the project because the bundle lies within it.
 */
export async function bundleChild(entry: string): Promise<{ readonly path: string; remove(): void }> {
  const parent = join(PROJECT, 'build')
  mkdirSync(parent, { recursive: true })
  const outDir = mkdtempSync(join(parent, 'test-relay-'))
  await build({
    configFile: false,
    root: PROJECT,
    logLevel: 'error',
    resolve: { alias: { 'sealog/protocol': join(PROJECT, 'src/protocol.ts') } },
    build: { ssr: fileURLToPath(new URL(entry, import.meta.url)), outDir, target: 'node20', minify: false },
  })
  const remove = (): void => rmSync(outDir, { recursive: true, force: true })
  return { path: join(outDir, `${basename(entry, '.ts')}.js`), remove }
}
