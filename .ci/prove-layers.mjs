// Proves each import rule able to fail: a rule whose pattern no longer matches anything would pass for ever. The
// planted tree breaks every rule once, at the place where it should be caught.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import config from '../.dependency-cruiser.mjs'
import { capture, fail, PROJECT } from './lib.mjs'

const CRUISER = join(PROJECT, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs')
const CONFIG = join(PROJECT, '.dependency-cruiser.mjs')

/** rule → the file that breaks it and what that file imports */
const VIOLATIONS = {
  'base-imports-base': ['src/codec.ts', './crypto/hash.ts'],
  'crypto-imports-base': ['src/crypto/kdf.ts', '../verify/entry.ts'],
  'verify-imports-public-crypto': ['src/verify/state.ts', '../crypto/padding.ts'],
  'relay-imports-verify': ['src/relay/client.ts', '../crdt/document.ts'],
  'crdt-imports-below': ['src/crdt/document.ts', '../replica.ts'],
  'cli-imports-verify': ['src/cli/verify-command.ts', '../relay/messages.ts'],
  'nothing-imports-entry-points': ['src/space.ts', './slim.ts'],
  'relay-server-imports-protocol': ['relay-server/src/server.ts', 'sealog/node'],
  'tools-import-packages': ['bench/main.ts', '../src/replica.ts'],
  'no-cycles': ['src/verify/log-too.ts', './log.ts'],
  'verifiers-hold-no-secrets': ['src/verify.ts', './verify/far.ts'],
  'verifiers-load-no-automerge': ['src/protocol.ts', './relay/far.ts'],
  'automerge-only-in-crdt': ['src/replica.ts', '@automerge/automerge/slim'],
  'automerge-only-slim': ['src/crdt/change.ts', '@automerge/automerge'],
  'entry-points-name-only-the-wasm': ['src/index.ts', '@automerge/automerge'],
  'noble-only-in-crypto': ['src/verify/merkle.ts', '@noble/hashes/sha2.js'],
  'node-only-in-node-files': ['src/crdt/store.ts', 'node:fs'],
  'node-packages-only-in-node-files': ['src/crdt/outbox.ts', 'better-sqlite3'],
  'browsers-reach-no-node-files': ['src/slim.ts', './through.ts'],
  'no-development-packages': ['src/ids.ts', 'fast-check'],
  'everything-resolves': ['src/bytes.ts', './no-such-file.ts'],
}

/** What the files above lead to, and one file of each kind that may do what others may not. */
const SURROUNDINGS = {
  'src/crypto/hash.ts': ['@noble/hashes/sha2.js', '../bytes.ts'],
  'src/crypto/padding.ts': [],
  'src/crypto/sign.ts': ['./hash.ts'],
  'src/verify/entry.ts': ['../codec.ts', '../crypto/sign.ts'],
  'src/verify/log.ts': ['./log-too.ts'],
  'src/verify/far.ts': ['../verify/farther.ts'],
  'src/verify/farther.ts': ['../crypto/padding.ts'],
  'src/relay/messages.ts': ['../verify/entry.ts'],
  'src/relay/far.ts': ['../crdt/change.ts'],
  'src/crdt/content.ts': ['@automerge/automerge/slim', '../crypto/padding.ts', '../relay/messages.ts'],
  'src/crdt/store-node.ts': ['node:fs', 'better-sqlite3'],
  'src/cli/main-node.ts': ['node:process', '../verify/entry.ts'],
  'src/through.ts': ['./crdt/store-node.ts'],
  'src/node.ts': ['./crdt/store-node.ts', '@automerge/automerge/automerge.wasm', 'ws'],
  'src/testing.ts': ['./crdt/content.ts', '@automerge/automerge/automerge.wasm.base64'],
  'relay-server/src/index.ts': ['sealog/protocol', 'node:http', 'better-sqlite3', 'ws'],
  'examples/demo/main.ts': ['sealog/node', 'sealog-relay', 'node:fs'],
}

/** The only other breaches that the planted tree may contain: consequences of the ones above. */
const CONSEQUENCES = {
  'verify-imports-public-crypto': ['src/verify/farther.ts'],
  'relay-imports-verify': ['src/relay/far.ts'],
  'no-cycles': ['src/verify/log.ts'],
}

const PACKAGES = {
  '@automerge/automerge': {
    '.': './dist/mjs/entrypoints/fullfat_base64.js',
    './slim': './dist/mjs/entrypoints/slim.js',
    './automerge.wasm': './dist/automerge.wasm',
    './automerge.wasm.base64': './dist/mjs/wasm_bindgen_output/web/automerge_wasm_bg_base64.js',
  },
  '@noble/hashes': { './sha2.js': './sha2.js' },
  'better-sqlite3': { '.': './lib/index.js' },
  'fast-check': { '.': './lib/index.js' },
  ws: { '.': './wrapper.js' },
}

const ALIASES = { 'sealog/*': ['./src/*.ts'], 'sealog-relay': ['./relay-server/src/index.ts'] }

function plant(root) {
  const write = (path, text) => {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  write('tsconfig.json', JSON.stringify({ compilerOptions: { module: 'nodenext', paths: ALIASES } }))
  write('package.json', JSON.stringify(manifest()))
  for (const [path, imports] of Object.entries(SURROUNDINGS)) write(path, source(imports))
  for (const [path, imported] of Object.values(VIOLATIONS)) write(path, source([imported]))
  for (const [name, exports] of Object.entries(PACKAGES)) {
    write(`node_modules/${name}/package.json`, JSON.stringify({ name, version: '1.0.0', exports }))
    for (const file of Object.values(exports)) write(join('node_modules', name, file), 'export {}\n')
  }
}

function manifest() {
  const version = '1.0.0'
  return {
    name: 'planted',
    dependencies: { '@noble/hashes': version },
    peerDependencies: { '@automerge/automerge': version, 'better-sqlite3': version, ws: version },
    devDependencies: { 'fast-check': version },
  }
}

function source(imports) {
  return [...imports.map((from, i) => `import * as i${i} from '${from}'`), 'export {}', ''].join('\n')
}

function breaches(root) {
  const { stdout } = capture(
    process.execPath,
    [CRUISER, '--config', CONFIG, '--output-type', 'json', 'src', 'relay-server/src', 'bench', 'examples'],
    { cwd: root },
  )
  return JSON.parse(stdout).summary.violations.map(({ rule, from }) => ({ rule: rule.name, from }))
}

function proveRules() {
  const root = join(PROJECT, 'build/layers')
  rmSync(root, { recursive: true, force: true })
  plant(root)
  const found = breaches(root)
  for (const { name } of config.forbidden) {
    const [path] = VIOLATIONS[name] ?? fail(`the rule ${name} is not proven: add a violation of it`)
    if (!found.some(({ rule, from }) => rule === name && from === path)) fail(`the rule ${name} misses ${path}`)
  }
  for (const { rule, from } of found) {
    const expected = [VIOLATIONS[rule][0], ...(CONSEQUENCES[rule] ?? [])]
    const far = rule.startsWith('verifiers-') || rule === 'browsers-reach-no-node-files'
    if (!far && !expected.includes(from)) fail(`the rule ${rule} objects to ${from}, which is allowed`)
  }
  console.log(`each of the ${config.forbidden.length} rules catches a planted breach`)
}

proveRules()
