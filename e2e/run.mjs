// `npm run test:e2e`: the drivers are TypeScript, compiled by `npm run build` like everything else.
import { existsSync } from 'node:fs'

const compiled = new URL('../build/e2e/main.js', import.meta.url)
if (existsSync(compiled)) await import(compiled.href)
else {
  console.error('✗ e2e: nothing is built; run `npm run build` first')
  process.exitCode = 1
}
