import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { chromium } from 'playwright-core'

const NAMES = ['chromium', 'chromium-browser', 'google-chrome']

/** What to do where there is no browser. */
export const INSTALL_HINT =
  'no Chromium: set CHROMIUM_PATH, or `apt-get install chromium`, or `npx playwright-core install --with-deps chromium`'

/** Nothing that a test browser has to say to its maker. */
const QUIET = [
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-quic',
  '--disable-gpu',
  '--no-proxy-server',
]

/** The browser to test with: the named one, else the system's, else Playwright's own. */
export function findChromium(): string | undefined {
  const named = process.env.CHROMIUM_PATH
  if (named !== undefined && named !== '') return named
  const folders = (process.env.PATH ?? '').split(delimiter)
  const installed = folders.flatMap(folder => NAMES.map(name => join(folder, name)))
  return [...installed, chromium.executablePath()].find(isExecutable)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** @param arguments_ further ones of this launch */
export function chromiumArguments(arguments_: readonly string[]): string[] {
  // Chromium refuses to run its sandbox as root.
  const sandbox = process.getuid?.() === 0 ? ['--no-sandbox'] : []
  return [...QUIET, ...sandbox, ...arguments_]
}
