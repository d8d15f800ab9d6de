import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import type { Log, LogRecord } from '../src/log-record.ts'
import { throttledLog } from '../src/log-throttle.ts'
import { jsonLog, type LogLevel } from '../src/logging.ts'
import { testEnvironment } from './helpers/environment.ts'

const PROJECT = fileURLToPath(new URL('../..', import.meta.url))
const HEX = '0123456789abcdef'.repeat(4)

function written(level: LogLevel = 'debug'): { readonly log: Log; lines(): Record<string, unknown>[] } {
  let text = ''
  const log = jsonLog(level, {
    write: line => {
      text += line
    },
  })
  return {
    log,
    lines: () =>
      text
        .split('\n')
        .filter(line => line !== '')
        .map(line => JSON.parse(line)),
  }
}

describe('a line of the log', () => {
  test('is JSON with level, time and event', () => {
    const { log, lines } = written()
    log({ level: 'warn', event: 'something', space: HEX, size: 7, isTrue: true, nothing: undefined })
    const [line = {}] = lines()
    expect(line).toEqual({ level: 'warn', time: line.time, event: 'something', space: HEX, size: 7, isTrue: true })
    expect(new Date(String(line.time)).getTime()).toBeGreaterThan(0)
  })

  test('below the level is not written', () => {
    const { log, lines } = written('warn')
    for (const level of ['debug', 'info', 'warn', 'error'] as const) log({ level, event: level })
    expect(lines().map(({ event }) => event)).toEqual(['warn', 'error'])
  })

  test.each([
    ['a key in hex', `the key ${HEX} failed`, 'the key … failed'],
    ['a key in base64', `key ${Buffer.alloc(32, 0xfb).toString('base64')}`, 'key …'],
    ['a key in base64url', Buffer.alloc(33, 7).toString('base64url'), '…'],
    ['a URL with a password', 'at postgres://me:secret@db.example/x', 'at postgres://…@db.example/x'],
    ['a line break', 'one\ntwo', 'one\ntwo'],
    ['more than a line should be', 'a b '.repeat(1000), `${'a b '.repeat(125)}…`],
    [
      'a path',
      '/var/lib/sealog-relay/data/of/this/relay/relay.db',
      '/var/lib/sealog-relay/data/of/this/relay/relay.db',
    ],
  ])('shows no secret: %s', (_what, reason, expected) => {
    const { log, lines } = written()
    log({ level: 'info', event: 'x', reason, space: reason })
    expect(lines()).toEqual([expect.objectContaining({ reason: expected })])
    expect(lines()[0]?.space === reason).toBe(reason === HEX || reason === expected)
  })

  test('has nothing but text, numbers and booleans', () => {
    const { log, lines } = written()
    log({ level: 'info', event: 'x', bytes: new Uint8Array(3), object: { key: 1 } } as unknown as LogRecord)
    expect(Object.keys(lines()[0] ?? {}).sort()).toEqual(['event', 'level', 'time'])
  })
})

describe('whoever makes the relay say the same thing over and over', () => {
  test('fills no disk: what is left out is counted and told', () => {
    const environment = testEnvironment()
    const records: LogRecord[] = []
    const log = throttledLog(record => records.push(record), environment)
    for (let i = 0; i < 1000; i++) log({ level: 'info', event: 'noisy', reason: `${i}` })
    log({ level: 'info', event: 'quiet' })
    log({ level: 'error', event: 'noisy' })
    expect(records.filter(({ event, level }) => event === 'noisy' && level === 'info')).toHaveLength(100)
    expect(records.slice(100).map(({ level, event }) => `${level} ${event}`)).toEqual(['info quiet', 'error noisy'])
    environment.advance(60_000)
    expect(records.at(-1)).toEqual({ level: 'warn', event: 'lines-omitted', of: 'noisy', lines: 900 })
    // An hour of a line every 10 ms.
    for (let i = 0; i < 360_000; i++) {
      environment.advance(10)
      log({ level: 'info', event: 'noisy' })
    }
    expect(records.length).toBeLessThan(100 + 3600 + 200)
    const told = records
      .filter(({ event }) => event === 'lines-omitted')
      .reduce((sum, { lines }) => sum + Number(lines), 0)
    const passed = records.filter(({ event, level }) => event === 'noisy' && level === 'info').length
    environment.advance(60_000)
    const last = records.at(-1)?.event === 'lines-omitted' ? Number(records.at(-1)?.lines) : 0
    expect(passed + told + last).toBeGreaterThanOrEqual(361_000 - 1000)
  })
})

describe("the operator's guide", () => {
  const guide = readFileSync(join(PROJECT, 'docs/operating.md'), 'utf8')
  const source = join(PROJECT, 'relay-server/src')
  const texts = readdirSync(source).map(name => readFileSync(join(source, name), 'utf8'))
  const events = new Set(texts.flatMap(text => [...text.matchAll(/\bevent: '([a-z-]+)'/g)].map(([, event]) => event)))

  test('lists every event that a relay logs, and no other', () => {
    expect(events.size).toBeGreaterThan(20)
    const listed = [...guide.matchAll(/^\| `([a-z-]+)` \| (debug|info|warn|error)/gm)].map(([, event]) => event)
    expect([...events].filter(event => !listed.includes(event))).toEqual([])
    expect(listed.filter(event => !events.has(event))).toEqual([])
  })
})
