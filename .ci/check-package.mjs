// Packs both packages, installs the tarballs in a folder outside the project as a user would, and imports every entry
// point there: each must load, and loading must do nothing.
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { capture, fail, PROJECT, run } from './lib.mjs'

const PACKED = join(PROJECT, 'build/package')
/** The only folders of a package, besides its manifest and the files that npm always adds. */
const CONTENT = /^(dist|src|bin)\/|^(package\.json|README\.md|LICENSE|CHANGELOG\.md)$/
/** Packages that users bring along, at the versions that the tests ran with. */
const PEERS = ['@automerge/automerge', 'better-sqlite3', 'ws']
/** Entry points for those who verify without reading: they work where Automerge is not even installed. */
const WITHOUT_AUTOMERGE = ['sealog/verify', 'sealog/protocol', 'sealog-relay', 'sealog-relay/testing']

const manifests = ['.', 'relay-server'].map(folder => readJson(join(PROJECT, folder, 'package.json')))

function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'))
}

function pack() {
  rmSync(PACKED, { recursive: true, force: true })
  mkdirSync(PACKED, { recursive: true })
  const args = ['pack', '--json', '--silent', '--pack-destination', PACKED, '.', './relay-server']
  const { status, stdout, stderr } = capture('npm', args)
  if (status !== 0) fail(`npm pack: ${stderr}`)
  const tarballs = Object.values(JSON.parse(stdout))
  for (const tarball of tarballs) checkContent(tarball)
  return tarballs.map(({ filename }) => join(PACKED, filename))
}

function checkContent({ name, files, size }) {
  const paths = files.map(({ path }) => path)
  const stray = paths.filter(path => !CONTENT.test(path))
  if (stray.length > 0) fail(`${name} packs ${stray.join(', ')}`)
  if (!paths.includes('LICENSE')) fail(`${name} packs no LICENSE`)
  const { exports, bin = {} } = manifests.find(manifest => manifest.name === name)
  const targets = [...Object.values(exports), bin].flatMap(target => (target.at ? target : Object.values(target)))
  for (const path of targets.map(target => target.replace('./', ''))) {
    if (!paths.includes(path)) fail(`${name} names ${path}, which is not packed`)
  }
  console.log(`${name}: ${paths.length} files, ${Math.round(size / 1000)} kB packed`)
}

function checkManifest({ name, dependencies = {}, peerDependencies = {} }) {
  for (const [dependency, range] of Object.entries({ ...dependencies, ...peerDependencies })) {
    if (!/^[\^~]?\d/.test(range)) fail(`${name} depends on ${dependency} at ${range}, which a registry cannot serve`)
  }
}

function install(folder, tarballs) {
  const versionOf = name => readJson(join(PROJECT, 'node_modules', name, 'package.json')).version
  const dependencies = Object.fromEntries([
    ...manifests.map(({ name }, i) => [name, `file:${tarballs[i]}`]),
    ...PEERS.map(name => [name, versionOf(name)]),
  ])
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module', dependencies }))
  // Scripts would compile SQLite again: the one of this project, of the same version, is copied instead.
  const flags = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', '--no-package-lock', '--silent']
  run('npm', ['install', ...flags], { cwd: folder })
  const native = 'node_modules/better-sqlite3/build'
  cpSync(join(PROJECT, native), join(folder, native), { recursive: true })
  for (const command of ['sealog', 'sealog-relay']) {
    if (!existsSync(join(folder, 'node_modules/.bin', command))) fail(`the command ${command} is not installed`)
  }
}

function entryPoints() {
  return manifests.flatMap(({ name, exports }) =>
    Object.keys(exports)
      .filter(path => path !== './package.json')
      .map(path => name + path.slice(1)),
  )
}

function importQuietly(folder, entry) {
  const before = readdirSync(folder)
  const { status, stdout, stderr } = capture(process.execPath, ['probe.mjs', entry], { cwd: folder, timeout: 20_000 })
  if (status !== 0) fail(`import '${entry}': ${stderr || stdout || 'does not end'}`)
  const report = stdout + stderr
  if (report !== 'quiet\n') fail(`import '${entry}' is not without effect: ${report}`)
  if (readdirSync(folder).length !== before.length) fail(`import '${entry}' leaves files behind`)
}

/** Does the installed command judge, with its exit status as documented? */
function judge(folder) {
  const hash = (...parts) => createHash('sha256').update(Buffer.concat(parts)).digest()
  const [leaf, sibling] = ['a', 'b'].map(text => hash(Buffer.from([0]), Buffer.from(text)))
  const root = hash(Buffer.from([1]), leaf, sibling)
  const proof = { type: 'inclusion', index: 0, size: 2, leaf: leaf.toString('hex'), proof: [sibling.toString('hex')] }
  const cases = [
    [0, JSON.stringify({ ...proof, root: root.toString('hex') })],
    [1, JSON.stringify({ ...proof, root: leaf.toString('hex') })],
    [2, 'neither evidence, nor a checkpoint, nor a proof'],
  ]
  for (const [expected, text] of cases) {
    writeFileSync(join(folder, 'judged'), text)
    const command = join(folder, 'node_modules/.bin/sealog')
    const { status, stdout, stderr } = capture(command, ['verify', '--json', 'judged'], { cwd: folder })
    if (status !== expected || stderr !== '')
      fail(`sealog verify: ${status} in place of ${expected}: ${stdout}${stderr}`)
    if (JSON.parse(stdout).verdict !== ['holds', 'refuted', 'unusable'][expected]) fail(`sealog verify: ${stdout}`)
  }
  console.log('sealog verify judges as installed')
}

/** Do the declarations hold for a strict user without Node's types, DOM only? */
function typeCheck(folder, entries) {
  const browser = entries.filter(entry => entry !== 'sealog/node' && !entry.startsWith('sealog-relay'))
  const text = browser.map((entry, i) => `import * as i${i} from '${entry}'\nexport const o${i}: object = i${i}\n`)
  writeFileSync(join(folder, 'user.ts'), text.join(''))
  const options = ['--strict', '--noEmit', '--module', 'nodenext', '--target', 'es2022', '--skipLibCheck', 'false']
  const tsc = join(PROJECT, 'node_modules/typescript/bin/tsc')
  run(process.execPath, [tsc, ...options, '--lib', 'es2022,dom,dom.iterable,esnext.disposable', 'user.ts'], {
    cwd: folder,
  })
}

const tarballs = pack()
for (const manifest of manifests) checkManifest(manifest)
const folder = mkdtempSync(join(tmpdir(), 'sealog-package-'))
try {
  install(folder, tarballs)
  cpSync(join(PROJECT, '.ci/import-probe.mjs'), join(folder, 'probe.mjs'))
  const entries = entryPoints()
  for (const entry of entries) importQuietly(folder, entry)
  typeCheck(folder, entries)
  judge(folder)
  rmSync(join(folder, 'node_modules', dirname('@automerge/automerge')), { recursive: true })
  for (const entry of WITHOUT_AUTOMERGE) importQuietly(folder, entry)
  console.log(`${entries.length} entry points import under Node ${process.versions.node}, without any effect`)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
