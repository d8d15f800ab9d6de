import { connect } from 'node:net'
import { expect, test } from 'vitest'
import type { LogRecord } from '../src/log-record.ts'
import { until } from './helpers/replica.ts'
import { connected, get, populated, started } from './helpers/served.ts'

/** How long this goes on, in milliseconds; longer where that did not bring about enough to tell, as on a busy machine. */
const TIME = 6000
const LONGEST = 60_000
const ENOUGH = { sent: 150, pushed: 6 }
const AT_ONCE = 8

/** Numbers from 0 to `limit` − 1, cheap enough for millions of them (xorshift32). */
function numbers(seed: number): (limit: number) => number {
  let state = seed
  return limit => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % limit
  }
}

type Pick = <T>(...from: readonly T[]) => T

/** One thing that somebody may send to an HTTP port: nearly right, wrong, or noise. */
function request(pick: Pick, noise: (length: number) => string): string {
  const method = pick(
    'GET',
    'GET',
    'GET',
    'HEAD',
    'POST',
    'PUT',
    'DELETE',
    'OPTIONS',
    'CONNECT',
    'PRI',
    'get',
    noise(5),
  )
  const path = pick(
    '/healthz',
    '/readyz',
    '/metrics',
    '/log/',
    `/log/${'ab'.repeat(32)}/checkpoint`,
    `/log/${'ab'.repeat(32)}/tile/0/x${noise(3)}`,
    '/log/..%2f..%2fetc/passwd',
    '//',
    '*',
    'http://elsewhere.example/healthz',
    `/${noise(40)}`,
    `/${'a'.repeat(pick(100, 9000, 20_000))}`,
    '/%00%ff?%zz',
    '',
  )
  const version = pick('HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0', 'HTTP/2.0', 'HTTP/9', noise(4))
  const headers = Array.from({ length: pick(0, 1, 3, 40, 400) }, () => header(pick, noise))
  const body = pick('', '', noise(50), '5\r\nhello\r\n0\r\n\r\n', 'ffffffffffffffff\r\n')
  const end = pick('\r\n', '\r\n', '\r\n', '\n', '')
  return `${method} ${path} ${version}${end}host: relay${end}${headers.join('')}${end}${body}`
}

function header(pick: Pick, noise: (length: number) => string): string {
  const line = pick(
    'connection: upgrade',
    'connection: close',
    'connection: keep-alive, upgrade',
    'upgrade: websocket',
    'upgrade: h2c',
    'sec-websocket-version: 13',
    `sec-websocket-version: ${noise(2)}`,
    'sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==',
    `sec-websocket-key: ${noise(24)}`,
    'sec-websocket-key: AAAA',
    'sec-websocket-extensions: permessage-deflate; client_max_window_bits=99',
    `sec-websocket-extensions: ${noise(20)}`,
    `sec-websocket-protocol: ${noise(9)}`,
    'content-length: 5',
    'content-length: -1',
    'content-length: 99999999999999999999',
    'transfer-encoding: chunked',
    'transfer-encoding: gzip, chunked, chunked',
    'expect: 100-continue',
    `expect: ${noise(6)}`,
    `authorization: Bearer ${noise(100)}`,
    `if-none-match: ${noise(30)}`,
    `x-forwarded-for: ${pick('1.2.3.4', '::1, 9.9.9.9', noise(20), ','.repeat(500))}`,
    `range: bytes=${noise(8)}`,
    `${noise(6)}: ${noise(20)}`,
    noise(30),
  )
  return `${line}\r\n`
}

/** Sends it in some pieces, perhaps with frames behind it. @returns the first line of what comes back, when it is over */
function send(port: number, bytes: string, pick: Pick, noise: (length: number) => string): Promise<string> {
  return new Promise(resolve => {
    const socket = connect({ port, host: '127.0.0.1' })
    let answer = ''
    const patience = setTimeout(() => socket.destroy(), pick(20, 400, 2000))
    socket.on('error', () => {})
    socket.on('data', chunk => {
      answer += chunk.toString('latin1').slice(0, 100)
      // Behind a handshake that was right: frames that are not.
      if (answer.startsWith('HTTP/1.1 101'))
        socket.write(pick(noise(30), '\x82\xff', '\x81\x05hello', '\x88\x00'), 'latin1')
    })
    socket.on('close', () => {
      clearTimeout(patience)
      resolve(answer.split('\r\n')[0] ?? '')
    })
    const cut = pick(bytes.length, bytes.length, Math.floor(bytes.length / 2), 1)
    socket.write(bytes.slice(0, cut), 'latin1')
    setImmediate(() => {
      if (!socket.destroyed) socket.write(bytes.slice(cut), 'latin1')
      if (pick(true, false, false)) socket.end()
    })
  })
}

test('whatever comes to its port, a relay serves all others as before', { timeout: 120_000 }, async () => {
  const seed = 20_260_101
  const below = numbers(seed)
  const pick: Pick = (...from) => from[below(from.length)] as (typeof from)[number]
  const noise = (length: number): string =>
    String.fromCharCode(...Array.from({ length }, () => pick(32, 9, 0, 255) ^ below(96)))
  const events: LogRecord[] = []
  const relay = await started({ trustProxy: 1, limits: { socketsPerAddress: 0 }, log: record => events.push(record) })
  const { replica, space, write } = await populated(relay)

  let sent = 0
  const answers = new Map<string, number>()
  let pushed = 0
  const begin = Date.now()
  const isOver = (): boolean => {
    const time = Date.now() - begin
    return time > LONGEST || (time > TIME && sent >= ENOUGH.sent && pushed >= ENOUGH.pushed)
  }
  const loop = async (): Promise<void> => {
    while (!isOver()) {
      sent++
      const first = await send(relay.port, request(pick, noise), pick, noise)
      const status = /^HTTP\/1\.1 (\d{3})/.exec(first)?.[1] ?? (first === '' ? 'closed' : first)
      answers.set(status, (answers.get(status) ?? 0) + 1)
    }
  }
  const loops = Array.from({ length: AT_ONCE }, loop)
  // Meanwhile, somebody works.
  while (!isOver()) {
    replica.push(space, write())
    pushed++
    await until(() => replica.syncs.length === pushed + 1, 'an acknowledgement')
    await replica.follow(space)
    expect((await get(relay.url, '/healthz', { agent: false })).status).toBe(200)
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  await Promise.all(loops)

  expect(sent, `seed ${seed}`).toBeGreaterThanOrEqual(ENOUGH.sent)
  expect(pushed).toBeGreaterThanOrEqual(ENOUGH.pushed)
  // What comes back is HTTP, or nothing; never a fault of the relay's own.
  for (const status of answers.keys())
    expect([
      'closed',
      '100',
      '101',
      '200',
      '304',
      '400',
      '401',
      '404',
      '405',
      '408',
      '413',
      '417',
      '426',
      '429',
      '431',
      '503',
    ]).toContain(status)
  expect(answers.size).toBeGreaterThanOrEqual(4)
  expect(events.filter(({ level }) => level === 'error')).toEqual([])
  await until(
    () =>
      events.filter(({ event }) => event === 'socket-opened').length -
        events.filter(({ event }) => event === 'socket-closed').length ===
      1,
    'all other sockets to be gone',
  )
  expect((await connected(relay)).welcome.name).toBe('relay.example')
})
