// Ties docs/protocol.md to the tests: every rule is cited by a test, nothing cites a rule that does not exist, and the
// table at the end of the page says which test file cites which rule. `--write` brings that table up to date.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fail, PROJECT } from './lib.mjs'

const PAGE = 'docs/protocol.md'
const CITING = ['src', 'relay-server/src', 'test', 'relay-server/test', 'examples', 'bench', 'e2e']
const ID = /\bR-[A-Z]+-[0-9]+\b/g
const DEFINITION = /^- \*\*(R-[A-Z]+-[0-9]+)\*\* (.*)$/
const TABLE = /(<!-- rules -->\n)[\s\S]*(<!-- \/rules -->)/

function filesIn(folder) {
  let names
  try {
    names = readdirSync(join(PROJECT, folder), { recursive: true })
  } catch (error) {
    if (error.code === 'ENOENT') return []
    throw error
  }
  return names
    .filter(name => /\.(ts|mjs)$/.test(name) && !/(^|\/)(node_modules|dist|build|\.scratch)\//.test(name))
    .map(name => `${folder}/${name}`)
    .sort()
}

function pagesIn(folder) {
  const names = readdirSync(join(PROJECT, folder), { recursive: true })
  return names.filter(name => name.endsWith('.md')).map(name => `${folder}/${name}`)
}

const isTest = file => /(^|\/)test\/.*\.test\.ts$/.test(file)
const read = file => readFileSync(join(PROJECT, file), 'utf8')

const page = read(PAGE)
if (!TABLE.test(page)) fail(`${PAGE}: no table between <!-- rules --> and <!-- /rules -->`)
const text = page.replace(TABLE, '$1$2')

const problems = []
/** Rule → the test files that cite it. */
const rules = new Map()
const lines = text.split('\n')
for (const [at, line] of lines.entries()) {
  const [, id] = DEFINITION.exec(line) ?? []
  if (id === undefined) continue
  // A rule goes on in the lines that are indented under it.
  let rule = line
  for (let next = at + 1; /^ {2}\S/.test(lines[next] ?? ''); next++) rule += ` ${lines[next].trim()}`
  if (rules.has(id)) problems.push(`${PAGE}: ${id} is defined twice`)
  if (!/\bMUST\b/.test(rule)) problems.push(`${PAGE}: ${id} does not say what MUST be`)
  rules.set(id, [])
}
if (rules.size === 0) fail(`${PAGE}: no rules`)

for (const id of new Set(text.match(ID) ?? [])) if (!rules.has(id)) problems.push(`${PAGE}: ${id} is not defined`)
const others = [...pagesIn('docs').filter(name => name !== PAGE), 'README.md']
for (const file of [...CITING.flatMap(filesIn), ...others]) {
  for (const id of new Set(read(file).match(ID) ?? [])) {
    if (!rules.has(id)) problems.push(`${file}: cites ${id}, which does not exist`)
    else if (isTest(file)) rules.get(id).push(file)
  }
}
for (const [id, files] of rules) if (files.length === 0) problems.push(`${id} is cited by no test`)

const rows = [...rules].map(([id, files]) => `| ${id} | ${files.map(file => `\`${file}\``).join(', ')} |`)
const table = ['| rule | tests |', '|---|---|', ...rows, ''].join('\n')
const current = page.replace(TABLE, (_, begin, end) => `${begin}${table}${end}`)
if (process.argv.includes('--write')) writeFileSync(join(PROJECT, PAGE), current)
else if (current !== page) problems.push(`${PAGE}: the table of tests is out of date; node .ci/check-rules.mjs --write`)

for (const problem of problems) console.error(`✗ ${problem}`)
if (problems.length > 0) fail(`${problems.length} of the rules and citations do not hold`)
console.log(`${rules.size} rules, each cited by a test`)
