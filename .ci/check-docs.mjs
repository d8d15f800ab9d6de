// Compiles every ```ts block of the documentation against the built packages, and runs it, one process each, with a
// relay of its own behind wss://relay.example. A block marked ```ts no-run is compiled only. Blocks share nothing.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { attempt, fail, PROJECT, run, writeResult } from './lib.mjs'
import { startRelay } from './start-relay.mjs'

const FOLDER = join(PROJECT, 'build/docs')
const RELAY = 'wss://relay.example'
/** Far more than any example needs, in milliseconds. */
const TIMEOUT = 60_000

const COMPILER_OPTIONS = {
  paths: {},
  noEmit: false,
  noUnusedLocals: false,
  declaration: false,
  isolatedDeclarations: false,
  moduleDetection: 'force',
  sourceMap: true,
  rootDir: '.',
  outDir: './js',
}

function pages() {
  const docs = readdirSync(join(PROJECT, 'docs'), { recursive: true })
  return ['README.md', ...docs.filter(name => name.endsWith('.md')).map(name => `docs/${name}`)]
}

function blocksOf(page) {
  const blocks = []
  let open
  for (const [index, line] of readFileSync(join(PROJECT, page), 'utf8').split('\n').entries()) {
    const fence = /^\s*```(.*)$/.exec(line)?.[1].trim()
    if (fence === undefined) open?.lines.push(line)
    else if (open !== undefined) {
      if (open.language === 'ts') blocks.push(open)
      open = undefined
    } else {
      const [language, ...marks] = fence.split(/\s+/)
      open = { page, line: index + 1, language, runs: !marks.includes('no-run'), lines: [] }
      const strange = marks.filter(mark => mark !== 'no-run')
      if (language === 'ts' && strange.length > 0) fail(`${page}:${index + 1}: unknown mark ${strange.join(' ')}`)
    }
  }
  if (open !== undefined) fail(`${page}:${open.line}: a block that does not end`)
  return blocks
}

function nameOf({ page, line }) {
  return `${page.replaceAll('/', '-').replace(/\.md$/, '')}-${line}`
}

/** Blocks are moved down to their line in the page, so that whatever is wrong with them is found there. */
function compile(blocks, relayUrl) {
  for (const block of blocks) {
    const text = block.lines.join('\n').replaceAll(RELAY, relayUrl)
    writeFileSync(join(FOLDER, `${nameOf(block)}.ts`), `${'\n'.repeat(block.line)}${text}\n`)
  }
  const config = { extends: '../../tsconfig.json', compilerOptions: COMPILER_OPTIONS, include: ['*.ts'] }
  writeFileSync(join(FOLDER, 'tsconfig.json'), JSON.stringify(config))
  run(process.execPath, [join(PROJECT, 'node_modules/typescript/bin/tsc'), '-p', FOLDER])
}

function execute(block) {
  const folder = mkdtempSync(join(tmpdir(), 'sealog-docs-'))
  try {
    const args = [
      '--enable-source-maps',
      join(PROJECT, '.ci/run-example.mjs'),
      join(FOLDER, 'js', `${nameOf(block)}.js`),
    ]
    const succeeded = attempt(process.execPath, args, { cwd: folder, timeout: TIMEOUT }) === 0
    console.log(`${succeeded ? '✓' : '✗'} ${block.page}:${block.line}`)
    return succeeded
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

rmSync(FOLDER, { recursive: true, force: true })
mkdirSync(FOLDER, { recursive: true })
const blocks = pages().flatMap(blocksOf)
if (!blocks.some(({ page, runs }) => page === 'README.md' && runs)) fail('README.md has no example that runs')
const relay = await startRelay(join(FOLDER, 'relay'))
try {
  compile(blocks, relay.url)
  const runnable = blocks.filter(({ runs }) => runs)
  const passed = runnable.filter(execute).length
  const failed = runnable.length - passed
  writeResult('docs', { passed, failed, skipped: 0 })
  console.log(`${blocks.length} examples compiled, ${passed} ran, ${failed} failed`)
  if (failed > 0) process.exitCode = 1
} finally {
  await relay.stop()
}
