// Compiles both packages, then the tools that use them by name. The output is removed first: a file whose source is
// gone would otherwise be packed.
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { PROJECT, run } from './lib.mjs'

const TSC = join(PROJECT, 'node_modules/typescript/bin/tsc')
const TOOLS = ['bench', 'examples', 'e2e', 'test/crash']

function hasTypeScript(folder) {
  const path = join(PROJECT, folder)
  return existsSync(path) && readdirSync(path, { recursive: true }).some(name => name.endsWith('.ts'))
}

for (const folder of ['dist', 'relay-server/dist', ...TOOLS.map(tool => `build/${tool}`)]) {
  rmSync(join(PROJECT, folder), { recursive: true, force: true })
}
const projects = ['tsconfig.core.json', 'tsconfig.node.json', 'relay-server']
// The compiler takes a project without files for a mistake.
if (TOOLS.some(hasTypeScript)) projects.push('tsconfig.tools.json')
for (const project of projects) run(process.execPath, [TSC, '-p', project])
