// Adds the builds for other platforms to package-lock.json that the registry at hand does not offer. npm leaves them
// out when it writes the file, and then `npm ci` refuses it, on every machine. Run it after `npm install`.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PROJECT } from './lib.mjs'

const PATH = join(PROJECT, 'package-lock.json')
const lock = JSON.parse(readFileSync(PATH, 'utf8'))

/** `@biomejs/cli-linux-x64-musl` → what npm needs to know to leave it alone elsewhere. */
function platformOf(name) {
  const [os, cpu, abi = ''] = name.replace(/^.*\/[a-z]+-/, '').split('-')
  const libc = abi.startsWith('musl') ? 'musl' : abi === 'gnu' ? 'glibc' : undefined
  return { cpu: [cpu], ...(libc && { libc: [libc] }), optional: true, os: [os] }
}

const missing = new Map()
for (const [path, { dev, optionalDependencies = {} }] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(optionalDependencies)) {
    const known = [`node_modules/${name}`, `${path}/node_modules/${name}`].some(place => place in lock.packages)
    if (known) continue
    if (!/^\d/.test(version)) throw new Error(`${path} wants ${name} at ${version}: no exact version to write down`)
    missing.set(`node_modules/${name}`, { version, ...(dev && { dev }), ...platformOf(name) })
  }
}

const entries = [...Object.entries(lock.packages), ...missing]
lock.packages = Object.fromEntries(entries.sort(([a], [b]) => a.localeCompare(b, 'en')))
writeFileSync(PATH, `${JSON.stringify(lock, null, 2)}\n`)
console.log(`${missing.size} builds added`)
