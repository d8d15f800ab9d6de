import { fileURLToPath } from 'node:url'

/** The project's folder; the drivers run compiled, from build/e2e/lib. */
export const PROJECT: string = fileURLToPath(new URL('../../..', import.meta.url))

const REQUIRED: readonly string[] = (process.env.SEALOG_REQUIRE ?? '').split(',')

/** Must what is missing on this machine fail the run, rather than be skipped? */
export function isRequired(what: 'chromium' | 'shared'): boolean {
  return REQUIRED.includes(what)
}
