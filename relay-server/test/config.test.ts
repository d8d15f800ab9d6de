import { describe, expect, test } from 'vitest'
import { type ConfigInput, readConfig } from '../src/config.ts'
import { BY_FLAG, flagOf, LIMITS, limitFlagOf, SETTINGS } from '../src/config-settings.ts'
import { commandUsage, printedConfig, usageOf } from '../src/config-shown.ts'
import { DEFAULT_LIMITS } from '../src/limits.ts'

function read(input: Partial<ConfigInput> & { readonly file?: unknown } = {}) {
  const { file, ...rest } = input
  const content = typeof file === 'string' ? file : JSON.stringify(file ?? {})
  const env = file === undefined ? {} : { SEALOG_RELAY_CONFIG: 'relay.json' }
  return readConfig({ args: [], readFile: () => content, ...rest, env: { ...env, ...rest.env } })
}

function refusal(input: Parameters<typeof read>[0]): string {
  try {
    read(input)
  } catch (error) {
    if (error instanceof TypeError) return error.message
    throw error
  }
  return 'taken'
}

describe('where a setting is from', () => {
  const file = { port: 1, host: 'file.example', name: 'file', 'limit-sockets': 11 }
  const env = { SEALOG_RELAY_PORT: '2', SEALOG_RELAY_HOST: 'env.example', OTHER: 'x' }

  test('flags come before variables, variables before the file, the file before defaults', () => {
    const config = read({ args: ['--port', '3'], env, file })
    expect(config.settings).toMatchObject({ port: 3, host: 'env.example', name: 'file', drain: 0 })
    const sources = ['port', 'host', 'name', 'drain'].map(flag => config.values.get(flag)?.source)
    expect(sources).toEqual(['flag', 'environment', 'file', 'default'])
    expect(config.limits).toEqual({ ...DEFAULT_LIMITS, sockets: 11 })
  })

  test('every setting and every limit has a flag, a variable and a key in the file', () => {
    const flags = [...Object.keys(SETTINGS).map(flagOf), ...Object.keys(LIMITS).map(limitFlagOf)]
    expect(new Set(flags).size).toBe(flags.length)
    expect([...BY_FLAG.keys()]).toEqual(flags)
    for (const flag of flags) {
      const { placeholder } = BY_FLAG.get(flag) ?? {}
      const [text, value] = sampleOf(flag, placeholder)
      const given = [
        read({ args: placeholder === '' ? [`--${flag}`] : [`--${flag}`, text] }),
        read({ env: { [`SEALOG_RELAY_${flag.toUpperCase().replaceAll('-', '_')}`]: text } }),
        read({ file: { [flag]: placeholder === '' ? true : text } }),
      ]
      for (const { values } of given) expect(values.get(flag)?.value, flag).toEqual(value)
    }
  })

  test('every limit can be set, and has its default otherwise', () => {
    expect(Object.keys(LIMITS).sort()).toEqual(Object.keys(DEFAULT_LIMITS).sort())
    expect(read().limits).toEqual(DEFAULT_LIMITS)
    expect(read({ args: ['--limit-spaces-per-socket', '7'] }).limits.spacesPerSocket).toBe(7)
  })

  test('an empty variable is one that is not set', () => {
    const readFile = (path: string): string => {
      throw new Error(`no file ${path}`)
    }
    const env = { SEALOG_RELAY_PORT: '', SEALOG_RELAY_CONFIG: '' }
    expect(read({ env, readFile }).settings.port).toBeUndefined()
  })

  test('a file that cannot be read is named by what named it', () => {
    const readFile = (path: string): string => {
      throw new Error(`no file ${path}`)
    }
    expect(refusal({ env: { SEALOG_RELAY_CONFIG: 'x' }, readFile })).toBe('SEALOG_RELAY_CONFIG: no file x')
    expect(refusal({ args: ['--config', 'x'], readFile })).toBe('--config: no file x')
  })
})

/** A text that the setting takes, and what it stands for. */
function sampleOf(flag: string, placeholder = ''): readonly [text: string, value: unknown] {
  if (placeholder === '') return ['true', true]
  if (placeholder === 'N')
    return ['12', 12].map((each, i) => (flag.startsWith('limit-') ? [`${2 ** 30}`, 2 ** 30][i] : each)) as never
  if (flag === 'store') return ['sqlite:x.db', { kind: 'sqlite', file: 'x.db' }]
  if (flag === 'metrics') return ['[::1]:90', { host: '::1', port: 90 }]
  if (flag === 'tokens') return ['a,b', ['a', 'b']]
  if (flag === 'webhook-url') return ['https://ask.example/x', 'https://ask.example/x']
  if (placeholder.includes('|') && flag !== 'heads') {
    const last = placeholder.split('|').at(-1) ?? ''
    return [last, last]
  }
  return ['some text', 'some text']
}

describe('what makes no sense is refused by name and source, and not shown', () => {
  test.each<[string, Parameters<typeof read>[0], string]>([
    ['a port', { args: ['--port', '70000'] }, '--port: expected a number from 0 to 65535'],
    ['a variable', { env: { SEALOG_RELAY_DRAIN: 'long' } }, 'SEALOG_RELAY_DRAIN: expected a number'],
    ['a value in the file', { file: { drain: -1 } }, 'relay.json: "drain": expected a number'],
    ['a kind of value in the file', { file: { drain: { x: 1 } } }, 'relay.json: "drain": expected text, a number'],
    ['an unknown flag', { args: ['--prot', '1'] }, "Unknown option '--prot'"],
    ['an unknown variable', { env: { SEALOG_RELAY_PROT: '1' } }, 'SEALOG_RELAY_PROT: there is no such setting'],
    ['an unknown key', { file: { prot: 1 } }, 'relay.json: "prot": there is no such setting'],
    ['a file within the file', { file: { config: 'x' } }, 'relay.json: "config": there is no such setting'],
    ['something more', { args: ['more'] }, "Unexpected argument 'more'"],
    ['a store', { args: ['--store', 'mysql://x'] }, '--store: expected sqlite:PATH or postgres://'],
    ['heads', { args: ['--heads', 'Postgres://u:p@h/d'] }, '--heads: expected a file, or postgres://'],
    ['heads as a store', { args: ['--heads', 'sqlite:x.db'] }, '--heads: expected a file, or postgres://'],
    ['a limit that stops all', { args: ['--limit-sockets', '0'] }, '--limit-sockets: expected a number 1 or more'],
    ['an admission', { args: ['--admission', 'all'] }, '--admission: expected open or token or webhook'],
    ['an address', { args: ['--metrics', 'host:port'] }, '--metrics: expected HOST:PORT or PORT'],
    ['a switch', { env: { SEALOG_RELAY_QUIET: 'yes' } }, 'SEALOG_RELAY_QUIET: expected true or false'],
    ['a name of two lines', { args: ['--name', 'a\nb'] }, '--name: expected text in one line'],
  ])('%s', (_what, input, message) => {
    expect(refusal(input)).toContain(message)
  })

  test('secrets do not get into messages', () => {
    const canary = 'canary-5e1f'
    for (const input of [
      { env: { SEALOG_RELAY_STORE: `postgresql:/${canary}` } },
      { file: { 'webhook-secret': `${canary}\n` } },
      { file: `{"tokens": ["${canary}"` },
      { file: { tokens: [[canary]] } },
      { args: ['--webhook-url', `ftp://${canary}`] },
    ]) {
      const message = refusal(input)
      expect(message).toContain(': expected')
      expect(message).not.toContain(canary)
    }
  })
})

describe('--store', () => {
  test.each([
    ['sqlite:/var/lib/relay', { kind: 'sqlite', file: '/var/lib/relay/relay.db' }],
    ['sqlite:/var/lib/logs.db', { kind: 'sqlite', file: '/var/lib/logs.db' }],
    ['sqlite:.', { kind: 'sqlite', file: 'relay.db' }],
    ['postgres://u:p@h/d', { kind: 'postgres', url: 'postgres://u:p@h/d' }],
    ['postgresql://h/d', { kind: 'postgres', url: 'postgresql://h/d' }],
  ])('%s', (text, place) => {
    expect(read({ args: ['--store', text] }).settings.store).toEqual(place)
  })
})

test('--print-config shows every value and where it is from, and no secret', () => {
  const config = read({
    args: ['--print-config', '--port', '1', '--store', 'postgres://user:canary@host:5/db?password=canary'],
    env: { SEALOG_RELAY_TOKENS: 'canary1,canary2', SEALOG_RELAY_WEBHOOK_SECRET: 'canary' },
    file: { 'webhook-url': 'https://ask.example/canary?key=canary', heads: 'postgres://canary:canary@other/heads' },
  })
  expect(config.wants).toBe('print')
  const text = printedConfig(config)
  expect(text).not.toContain('canary')
  const shown = JSON.parse(text)
  expect(Object.keys(shown)).toEqual([...BY_FLAG.keys()])
  expect(shown).toMatchObject({
    port: { value: 1, source: 'flag' },
    store: { value: 'postgres://host:5/db', source: 'flag' },
    heads: { value: 'postgres://other/heads', source: 'file' },
    tokens: { value: '…', source: 'environment' },
    'webhook-secret': { value: '…', source: 'environment' },
    'webhook-url': { value: 'https://ask.example/…', source: 'file' },
    name: { value: null, source: 'default' },
    'limit-sockets': { value: DEFAULT_LIMITS.sockets, source: 'default' },
  })
})

test('the usage names every setting, and the flags of a command', () => {
  const usage = usageOf({ serve: 'the relay itself' })
  for (const flag of BY_FLAG.keys()) expect(usage).toContain(`--${flag}`)
  expect(usage).toContain('serve')
  expect(usage.split('\n').filter(line => line.length > 160)).toEqual([])
  const command = {
    name: 'fsck',
    flags: { json: 'switch', space: 'text' },
    help: ['Looks.'],
    run: async () => 0,
  } as const
  expect(commandUsage(command)).toContain('sealog-relay fsck [--json] [--space …] [settings]')
})

test('a command has flags of its own', () => {
  const config = read({ args: ['--json', '--to', 'file', '--data', 'd'], ownFlags: { json: 'switch', to: 'text' } })
  expect(config.own).toEqual({ json: true, to: 'file' })
  expect(config.settings.data).toBe('d')
  expect(refusal({ args: ['--json'] })).toContain("Unknown option '--json'")
})
