import { execFile } from 'node:child_process'
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { PROJECT } from './project.ts'

const run = promisify(execFile)

/** What the pages need beside the library, at the versions of this project. */
const PEERS = ['@automerge/automerge']

/**
 * A web project as a user's: `sealog` installed from its packed tarball, and the test pages as its sources.
 * @param folder outside this project, so that nothing resolves to the project by accident; created
 */
export async function makeSite(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  const tarball = await pack(folder)
  const peers = await Promise.all(PEERS.map(async name => [name, await versionOf(name)]))
  const dependencies = Object.fromEntries([['sealog', `file:${tarball}`], ...peers])
  await writeFile(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module', dependencies }))
  const flags = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', '--no-package-lock', '--silent']
  await run('npm', ['install', ...flags], { cwd: folder })
  await cp(join(PROJECT, 'e2e/pages'), folder, { recursive: true })
}

async function pack(folder: string): Promise<string> {
  const args = ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder]
  const { stdout } = await run('npm', args, { cwd: PROJECT })
  return join(folder, stdout.trim())
}

async function versionOf(name: string): Promise<string> {
  return JSON.parse(await readFile(join(PROJECT, 'node_modules', name, 'package.json'), 'utf8')).version
}
