import { fileURLToPath } from 'node:url'
import type { ViteUserConfig } from 'vitest/config'

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

// Tests run from source: the packages' own names lead to src, so that nothing has to be built first.
const config: ViteUserConfig = {
  resolve: {
    alias: [
      { find: /^sealog$/, replacement: source('./src/index.ts') },
      { find: /^sealog\/([a-z]+)$/, replacement: source('./src/$1.ts') },
      { find: /^sealog-relay$/, replacement: source('./relay-server/src/index.ts') },
      { find: /^sealog-relay\/([a-z]+)$/, replacement: source('./relay-server/src/$1.ts') },
    ],
  },
  test: {
    include: ['test/**/*.test.ts', 'relay-server/test/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    // Generous: machines are small and busy, and no test measures time.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
}

export default config
