import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, it } from 'vitest'

const PROJECT = fileURLToPath(new URL('../..', import.meta.url))
const SHARED = resolve(PROJECT, process.env.SEALOG_SHARED ?? '../shared')
const REQUIRED = (process.env.SEALOG_REQUIRE ?? '').split(',').includes('shared')

/** Where a file of the shared data is, or undefined where this machine does not have it. It is read in place. */
function sharedPath(...parts: readonly string[]): string | undefined {
  const path = resolve(SHARED, ...parts)
  return existsSync(path) ? path : undefined
}

/**
 * A suite over one file of the shared data. Without the file it is one skipped test that says what is missing,
 * or a failing one where `SEALOG_REQUIRE` lists `shared`.
 */
export function describeShared(name: string, parts: readonly string[], suite: (path: string) => void): void {
  const path = sharedPath(...parts)
  if (path !== undefined) {
    describe(name, () => suite(path))
    return
  }
  const missing = `${parts.join('/')} is not in ${SHARED}: set SEALOG_SHARED to the folder of shared data`
  describe(name, () => {
    it(`needs shared data: ${missing}`, context => {
      if (REQUIRED) throw new Error(missing)
      context.skip(missing)
    })
  })
}
