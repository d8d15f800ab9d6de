// The layers as an import rule: imports go down only, and whatever could read content stays out of the code that
// relays and auditors run. Each rule is proven able to fail by .ci/prove-layers.mjs.

const base = '^src/(bytes|cbor|codec|format|errors|ids|environment|environment-platform)\\.ts$'
const entries = '^src/(index|slim|node|react|verify|protocol|testing)\\.ts$'
const secrets = '^src/crypto/(aead|commitments|kdf|wrap|epoch|grant|keyring|mailbox|padding|phrase)\\.ts$'
/** The parts of crypto that work on public bytes only. */
const publicCrypto = '^src/crypto/(bounded-cache|hash|sign|kem-key)\\.ts$'
const node = '^src/(node|(crdt|relay|cli)/.*-node)\\.ts$'
const automerge = 'node_modules/@automerge/'
const automergeSlim = '/dist/mjs/entrypoints/slim\\.js$'
const automergeWasm = '(/dist/automerge\\.wasm|/automerge_wasm_bg_base64\\.js)$'
const nodeOnlyPackages = 'node_modules/(better-sqlite3|ws|@types/better-sqlite3|@types/ws)/'

const rule = (name, comment, from, to) => ({ name, comment, severity: 'error', from, to })

const layers = [
  rule(
    'base-imports-base',
    'bytes, cbor, codec, format, errors, ids and environment stand on nothing.',
    { path: base },
    { path: '^src/', pathNot: base },
  ),
  rule(
    'crypto-imports-base',
    'src/crypto stands on the base.',
    { path: '^src/crypto/' },
    { path: '^src/', pathNot: [base, '^src/crypto/'] },
  ),
  rule(
    'verify-imports-public-crypto',
    'src/verify stands on the base and on crypto over public bytes.',
    { path: '^src/verify/' },
    { path: '^src/', pathNot: [base, publicCrypto, '^src/verify/'] },
  ),
  rule(
    'relay-imports-verify',
    'src/relay stands on verify, the base and crypto over public bytes.',
    { path: '^src/relay/' },
    { path: '^src/', pathNot: [base, publicCrypto, '^src/verify/', '^src/relay/'] },
  ),
  rule(
    'crdt-imports-below',
    'src/crdt stands on all floors below it, never on the public face.',
    { path: '^src/crdt/' },
    { path: '^src/', pathNot: [base, '^src/(crypto|verify|relay|crdt)/'] },
  ),
  rule(
    'cli-imports-verify',
    'The command judges what anybody may have sent: it stands on verify, like an auditor.',
    { path: '^src/cli/' },
    { path: '^src/', pathNot: [base, publicCrypto, '^src/(verify|cli)/'] },
  ),
  rule(
    'nothing-imports-entry-points',
    'Entry points re-export; code inside imports the file that it means.',
    { path: '^src/', pathNot: entries },
    { path: entries },
  ),
  rule(
    'relay-server-imports-protocol',
    'The relay is built on `sealog/protocol`, as anybody else’s would be.',
    { path: '^relay-server/src/' },
    { path: '^src/', pathNot: '^src/protocol\\.ts$' },
  ),
  rule(
    'tools-import-packages',
    'Benchmarks, examples and end-to-end drivers use what users get: the packages, by name.',
    { path: '^(bench|examples|e2e)/' },
    { path: '^(src|relay-server/src)/', pathNot: [entries, '^relay-server/src/(index|testing)\\.ts$'] },
  ),
  rule('no-cycles', 'No file needs itself.', {}, { circular: true }),
]

const blindness = [
  rule(
    'verifiers-hold-no-secrets',
    'What relays and auditors run must not reach code that could open content, at any distance.',
    { path: ['^src/(verify|relay|cli)/', '^src/(verify|protocol)\\.ts$', '^relay-server/src/'] },
    { path: [secrets, '^src/crdt/'], reachable: true },
  ),
  rule(
    'verifiers-load-no-automerge',
    'What relays and auditors run must not reach Automerge, at any distance.',
    { path: ['^src/(verify|relay|cli)/', '^src/(verify|protocol)\\.ts$', '^relay-server/src/'] },
    { path: automerge, reachable: true },
  ),
]

const packages = [
  rule(
    'automerge-only-in-crdt',
    'Automerge is used under src/crdt; entry points may name the file of its WASM.',
    { path: '^(src|relay-server/src)/', pathNot: ['^src/crdt/', entries] },
    { path: automerge },
  ),
  rule(
    'automerge-only-slim',
    'src/crdt uses the build of Automerge that brings no WASM of its own.',
    { path: '^src/crdt/' },
    { path: automerge, pathNot: automergeSlim },
  ),
  rule(
    'entry-points-name-only-the-wasm',
    'An entry point takes nothing from Automerge but its WASM and what starts it.',
    { path: entries },
    { path: automerge, pathNot: [automergeSlim, automergeWasm] },
  ),
  rule(
    'noble-only-in-crypto',
    'Primitives are used under src/crypto and nowhere else.',
    { path: '^(src|relay-server/src)/', pathNot: '^src/crypto/' },
    { path: 'node_modules/@(noble|scure)/' },
  ),
  rule(
    'node-only-in-node-files',
    'Only files named for Node import its modules.',
    { path: '^src/', pathNot: node },
    { dependencyTypes: ['core'] },
  ),
  rule(
    'node-packages-only-in-node-files',
    'Only files named for Node import packages that need it.',
    { path: '^src/', pathNot: node },
    { path: nodeOnlyPackages },
  ),
  rule(
    'browsers-reach-no-node-files',
    'No entry point that browsers load reaches a file named for Node.',
    { path: '^src/(index|slim|react|verify|protocol|testing)\\.ts$' },
    { path: node, reachable: true },
  ),
  rule(
    'no-development-packages',
    'Published code imports published dependencies.',
    { path: '^(src|relay-server/src)/' },
    { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['npm', 'npm-peer', 'type-only'] },
  ),
  rule(
    'everything-resolves',
    'Each import leads to a file.',
    { path: '^(src|relay-server/src)/' },
    { couldNotResolve: true },
  ),
]

export default {
  forbidden: [...layers, ...blindness, ...packages],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^((relay-server/)?dist|build|e2e/\\.scratch)/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'default'],
      extensions: ['.ts', '.js', '.mjs', '.d.ts'],
    },
  },
}
