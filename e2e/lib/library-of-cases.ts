import { join } from 'node:path'
import type { Plugin } from 'vite'
import { PROJECT } from './project.ts'

const CASES = '../../test/vectors/'
const SOURCES = '../../src/'

/**
 * The Wycheproof cases live with the unit tests, and name modules of `src`. In a page they are taken from there, and
 * judge the installed library instead: `../../src/x.ts` becomes the packed `dist/x.js`.
 */
export function libraryOfCases(site: string): Plugin {
  const folder = join(PROJECT, 'test/vectors')
  return {
    name: 'library-of-cases',
    enforce: 'pre',
    resolveId(source, importer) {
      if (source.startsWith(CASES)) return join(folder, source.slice(CASES.length))
      if (importer?.startsWith(folder) !== true || !source.startsWith(SOURCES)) return undefined
      return join(site, 'node_modules/sealog/dist', source.slice(SOURCES.length).replace(/\.ts$/, '.js'))
    },
  }
}
