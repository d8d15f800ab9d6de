import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'vite'
import { onTestFinished } from 'vitest'

const PROJECT = fileURLToPath(new URL('../..', import.meta.url))

/**
 * Bundles a TypeScript file of this folder for a process of plain Node, which has no loader for TypeScript. Packages
 * stay imports, resolved as in the project because the bundle lies within it. Gone when the test is over.
 * @returns the path of the bundle
 */
export async function bundleForNode(entry: string): Promise<string> {
  const parent = join(PROJECT, 'build')
  mkdirSync(parent, { recursive: true })
  const outDir = mkdtempSync(join(parent, 'test-'))
  onTestFinished(() => rmSync(outDir, { recursive: true, force: true }))
  await build({
    configFile: false,
    root: PROJECT,
    logLevel: 'error',
    build: { ssr: fileURLToPath(new URL(entry, import.meta.url)), outDir, target: 'node20', minify: false },
  })
  return join(outDir, `${basename(entry, '.ts')}.js`)
}
