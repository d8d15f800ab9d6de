import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'vite'

const PROJECT = fileURLToPath(new URL('../../..', import.meta.url))

export interface BundledCli {
  readonly path: string
  remove(): void
}

/**
 * The command as one file for plain Node, which has no loader for TypeScript. Packages stay imports, resolved as in the
 * project because the file lies within it.
 */
export async function bundleCli(): Promise<BundledCli> {
  const parent = join(PROJECT, 'build')
  mkdirSync(parent, { recursive: true })
  const outDir = mkdtempSync(join(parent, 'test-relay-'))
  await build({
    configFile: false,
    root: PROJECT,
    logLevel: 'error',
    resolve: { alias: { 'sealog/protocol': join(PROJECT, 'src/protocol.ts') } },
    build: { ssr: join(PROJECT, 'relay-server/src/cli.ts'), outDir, target: 'node20', minify: false },
  })
  return { path: join(outDir, 'cli.js'), remove: () => rmSync(outDir, { recursive: true, force: true }) }
}
