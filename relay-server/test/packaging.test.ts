import { execFileSync, spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ModuleKind, ScriptTarget, transpileModule } from 'typescript'
import { describe, expect, onTestFinished, test } from 'vitest'
import { listeningCli } from './helpers/cli-process.ts'
import { get } from './helpers/served.ts'

const PROJECT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '')
const dockerfile = readFileSync(join(PROJECT, 'relay-server/Dockerfile'), 'utf8').replaceAll('\\\n', ' ')
const unit = readFileSync(join(PROJECT, 'relay-server/systemd/sealog-relay.service'), 'utf8')

interface Copy {
  readonly sources: readonly string[]
  readonly target: string
}

/** What the image takes from the checkout. */
function copies(): readonly Copy[] {
  return [...dockerfile.matchAll(/^COPY (?!--)(.*)$/gm)].map(([, line = '']) => {
    const words = line.split(/\s+/).filter(word => word !== '')
    return { sources: words.slice(0, -1), target: words.at(-1) ?? '' }
  })
}

function instruction(name: string): string {
  return new RegExp(`^\\s*(?:HEALTHCHECK .*)?${name} (.*)$`, 'm').exec(dockerfile)?.[1] ?? ''
}

/** The variables of the last stage. */
function environment(): Readonly<Record<string, string>> {
  const pairs = [...dockerfile.matchAll(/^ENV (.*)$/gm)].flatMap(([, line = '']) => line.split(/\s+/))
  return Object.fromEntries(pairs.map(pair => pair.split('=') as [string, string]))
}

/** A folder within the project, so that what a registry would be asked for is found. */
function scratchFolder(): string {
  const parent = join(PROJECT, 'build')
  mkdirSync(parent, { recursive: true })
  const folder = mkdtempSync(join(parent, 'test-image-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

function compile(folder: string): void {
  const compilerOptions = {
    target: ScriptTarget.ES2022,
    module: ModuleKind.ESNext,
    rewriteRelativeImportExtensions: true,
  }
  for (const name of readdirSync(join(folder, 'src'), { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.ts')) continue
    const { outputText } = transpileModule(readFileSync(join(folder, 'src', name), 'utf8'), { compilerOptions })
    const target = join(folder, 'dist', name.replace(/ts$/, 'js'))
    mkdirSync(dirname(target), { recursive: true })
    writeFileSync(target, outputText)
  }
}

/** The first stage, without what it checks: compiled from what is copied and nothing else, and packed. */
function packed(folder: string): readonly string[] {
  for (const { sources, target } of copies()) {
    for (const source of sources) {
      const from = join(PROJECT, source)
      // As Docker does: of a folder its content, a file into the target where that is a folder.
      const isFolder = statSync(from).isDirectory()
      const to = isFolder ? join(folder, target) : join(folder, target, target.endsWith('/') ? basename(source) : '')
      cpSync(from, to, { recursive: true, filter: path => !/\/(node_modules|dist|test)$/.test(path) })
    }
  }
  // Types are checked where everything is built; here, they would cost a minute.
  for (const project of ['tsconfig.json', 'tsconfig.core.json', 'tsconfig.node.json', 'relay-server/tsconfig.json']) {
    expect(existsSync(join(folder, project)), project).toBe(true)
  }
  for (const source of ['.', 'relay-server']) compile(join(folder, source))
  const { status, stderr } = spawnSync(
    'npm',
    ['pack', '--silent', '--pack-destination', folder, '.', './relay-server'],
    { cwd: folder, encoding: 'utf8' },
  )
  expect(status, stderr).toBe(0)
  return readdirSync(folder).filter(name => name.endsWith('.tgz'))
}

describe('the image', () => {
  test('takes from the checkout only what is there', () => {
    const all = copies().flatMap(({ sources }) => sources)
    expect(all.length).toBeGreaterThan(8)
    for (const source of all) expect(existsSync(join(PROJECT, source)), source).toBe(true)
    const ignored = readFileSync(join(PROJECT, '.dockerignore'), 'utf8').split('\n')
    expect(ignored).toContain('**/node_modules')
    for (const source of all) expect(ignored).not.toContain(source.replace(/\/$/, ''))
  })

  test('has all that the build is made with', () => {
    const taken = copies().flatMap(({ sources }) => sources)
    for (const script of taken.filter(source => source.endsWith('.mjs'))) {
      const text = readFileSync(join(PROJECT, script), 'utf8')
      for (const [, name = ''] of text.matchAll(/from '\.\/([\w.-]+)'/g)) expect(taken).toContain(`.ci/${name}`)
    }
    for (const [, project = ''] of readFileSync(join(PROJECT, '.ci/build.mjs'), 'utf8').matchAll(
      /'(tsconfig\.\w+\.json)'/g,
    )) {
      if (project !== 'tsconfig.tools.json') expect(taken).toContain(project)
    }
  })

  test('runs as nobody in particular, with its data in a volume', () => {
    const last = dockerfile.slice(dockerfile.lastIndexOf('\nFROM'))
    expect(last).toMatch(/^USER node$/m)
    expect(last).toMatch(/^VOLUME \/data$/m)
    expect(environment().SEALOG_RELAY_DATA).toBe('/data')
    expect(last).not.toMatch(/apt-get|npm /)
  })

  test('starts what is packed, and finds it healthy', { timeout: 300_000 }, async () => {
    const folder = scratchFolder()
    const tarballs = packed(folder)
    expect(tarballs).toHaveLength(2)
    const relay = join(folder, 'relay')
    for (const tarball of tarballs) {
      const name = tarball.startsWith('sealog-relay-') ? 'sealog-relay' : 'sealog'
      const target = join(relay, 'node_modules', name)
      mkdirSync(target, { recursive: true })
      execFileSync('tar', ['-xzf', join(folder, tarball), '-C', target, '--strip-components=1'])
    }
    const [node, command = ''] = JSON.parse(instruction('ENTRYPOINT')) as string[]
    expect(node).toBe('node')
    const env = {
      ...environment(),
      SEALOG_RELAY_DATA: join(folder, 'data'),
      SEALOG_RELAY_HOST: '127.0.0.1',
      SEALOG_RELAY_METRICS: '127.0.0.1:0',
    }
    const running = await listeningCli(command.replace('/relay', relay), [], env)
    const watched = running.metrics
    expect((await get(watched, '/readyz', { agent: false })).status).toBe(200)

    const [, ...check] = JSON.parse(instruction('CMD')) as string[]
    const port = /:(\d+)$/.exec(environment().SEALOG_RELAY_METRICS ?? '')?.[1]
    const checked = (url: string) =>
      spawnSync(
        process.execPath,
        check.map(each => each.replace(`http://127.0.0.1:${port}`, url)),
      )
    expect(check.join(' ')).toContain(`http://127.0.0.1:${port}/healthz`)
    expect(checked(watched).status).toBe(0)
    running.child.kill('SIGTERM')
    expect(await running.exited).toBe(0)
    expect(checked(watched).status).toBe(1)
  })
})

describe('the unit for systemd', () => {
  test('names flags that there are, and settings that a service needs', async () => {
    const command = /^ExecStart=\S*sealog-relay (.*)$/m.exec(unit)?.[1] ?? ''
    const flags = [...command.matchAll(/--([a-z-]+)/g)].map(([, flag]) => flag)
    expect(flags).toEqual(['config', 'data'])
    for (const line of [
      'Restart=on-failure',
      'DynamicUser=yes',
      'NoNewPrivileges=yes',
      'ProtectSystem=strict',
      'UMask=0077',
    ]) {
      expect(unit.split('\n')).toContain(line)
    }
    // What the relay says, and what the unit waits for, fit together.
    expect(Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1])).toBeGreaterThan(30)
    expect(Number(/^LimitNOFILE=(\d+)$/m.exec(unit)?.[1])).toBeGreaterThan(10_000 + 1024)
  })
})

test('documentation beside the package names only what is there', () => {
  const guide = readFileSync(join(PROJECT, 'docs/operating.md'), 'utf8')
  for (const [, path = ''] of guide.matchAll(/\]\(([^)#:]+)\)/g)) {
    expect(existsSync(join(PROJECT, 'docs', path)), path).toBe(true)
  }
})
