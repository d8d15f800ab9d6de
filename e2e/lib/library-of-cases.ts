import { join } from 'node:path'
import type { Plugin } from 'vite'
import { PROJECT } from './project.ts'

const CASES: string = join(PROJECT, 'test/vectors')

/**
 * The Wycheproof cases live with the unit tests, and name modules of `src`. In a page they are served from there, and
 * judge the installed library instead: `../../src/x.ts` becomes the packed `dist/x.js`.
 */
export function libraryOfCases(site: string): Plugin {
  return {
    name: 'library-of-cases',
    enforce: 'pre',
    resolveId(source, importer) {
      if (source.startsWith('wycheproof/')) return join(CASES, `${source.slice('wycheproof/'.length)}.ts`)
      if (importer?.startsWith(CASES) !== true || !source.startsWith('../../src/')) return undefined
      return join(site, 'node_modules/sealog/dist', source.slice('../../src/'.length).replace(/\.ts$/, '.js'))
    },
  }
}
