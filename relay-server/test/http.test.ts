import { connect } from 'node:net'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { forwardedAddress } from '../src/forwarded-address.ts'
import type { LogRecord } from '../src/log-record.ts'
import { memoryLogStore } from '../src/log-store-memory.ts'
import { storeReadiness } from '../src/readiness.ts'
import { type RelayServer, startRelay } from '../src/server.ts'
import { testEnvironment } from './helpers/environment.ts'
import { until } from './helpers/replica.ts'
import { connected, dataFolder, get, raw, started } from './helpers/served.ts'

/** What comes back on a connection of its own for these bytes, until it is closed. */
function exchange(relay: RelayServer, bytes: string): Promise<string> {
  return new Promise(resolve => {
    const socket = connect({ port: relay.port, host: '127.0.0.1' })
    onTestFinished(() => void socket.destroy())
    let text = ''
    socket.on('data', chunk => {
      text += chunk
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(text))
    socket.write(bytes)
  })
}

describe('/readyz', () => {
  test('says yes while the store answers, and no while it does not', async () => {
    const inner = memoryLogStore()
    const environment = testEnvironment()
    let answer: () => ReturnType<typeof inner.readIdentity> = () => inner.readIdentity()
    await inner.open()
    const ready = storeReadiness({ ...inner, readIdentity: () => answer() }, environment)
    expect(await ready.check()).toBeUndefined()
    answer = () => Promise.reject(new Error('gone'))
    expect(await ready.check()).toBeUndefined()
    environment.advance(1001)
    expect(await ready.check()).toBe('store')
    answer = () => new Promise(() => {})
    environment.advance(1001)
    const slow = ready.check()
    environment.advance(2000)
    expect(await slow).toBe('store-slow')
    answer = () => inner.readIdentity()
    environment.advance(1001)
    expect(await ready.check()).toBeUndefined()
    ready.drain()
    expect(await ready.check()).toBe('draining')
  })

  test('asks the store once for all who ask within a second', async () => {
    const inner = memoryLogStore()
    await inner.open()
    let asked = 0
    const store = {
      ...inner,
      readIdentity: () => {
        asked++
        return inner.readIdentity()
      },
    }
    const ready = storeReadiness(store, testEnvironment())
    await Promise.all(Array.from({ length: 100 }, () => ready.check()))
    expect(asked).toBe(1)
  })

  test('turns to no when the relay is to stop, which serves on', async () => {
    const relay = await started()
    expect(await get(relay.url, '/readyz')).toEqual({ status: 200, body: '{"status":"ready"}' })
    relay.drain()
    expect(await get(relay.url, '/readyz')).toEqual({ status: 503, body: '{"status":"unready","reason":"draining"}' })
    expect((await get(relay.url, '/healthz')).status).toBe(200)
    expect((await connected(relay)).welcome.name).toBe('relay.example')
  })
})

describe('a host that answers on the same port', () => {
  test('may fail: the one request gets 500, and the relay goes on', async () => {
    const events: LogRecord[] = []
    const relay = await started({
      log: record => events.push(record),
      http(request, response) {
        if (request.url === '/half') response.write('half')
        throw new Error('a fault of the host')
      },
    })
    expect((await get(relay.url, '/whole')).status).toBe(500)
    await expect(get(relay.url, '/half')).rejects.toThrow()
    expect(events.filter(({ event }) => event === 'http-hook-failed')).toHaveLength(2)
    expect((await get(relay.url, '/healthz')).status).toBe(200)
  })

  test('learns the address of the client', async () => {
    const addresses: (string | undefined)[] = []
    const relay = await started({
      trustProxy: 1,
      http(_request, response, address) {
        addresses.push(address)
        response.end()
        return true
      },
    })
    await get(relay.url, '/')
    await get(relay.url, '/', { headers: { 'x-forwarded-for': '198.51.100.1, 203.0.113.7' } })
    await get(relay.url, '/', { headers: { 'x-forwarded-for': ['198.51.100.1', '203.0.113.8'] } })
    expect(addresses).toEqual(['127.0.0.1', '203.0.113.7', '203.0.113.8'])
  })
})

test.each<[string, string | undefined, number, string | undefined]>([
  ['no proxy', '203.0.113.9', 0, '192.0.2.1'],
  ['one', '203.0.113.9', 1, '203.0.113.9'],
  ['one, and a client that says who it is', '198.51.100.1, 203.0.113.9', 1, '203.0.113.9'],
  ['two', '198.51.100.1, 203.0.113.9', 2, '198.51.100.1'],
  ['two, of which one was passed by', '203.0.113.9', 2, '203.0.113.9'],
  ['one that says nothing', undefined, 1, '192.0.2.1'],
  ['one that says nonsense', '203.0.113.9, unknown', 1, '192.0.2.1'],
  ['IPv6', '2001:db8::7', 1, '2001:db8::7'],
  ['IPv6 with a port', '[2001:db8::7]:1234', 1, '2001:db8::7'],
  ['IPv4 with a port', '203.0.113.9:1234', 1, '203.0.113.9'],
])('the address of a client behind proxies: %s', (_what, header, hops, expected) => {
  expect(forwardedAddress('192.0.2.1', header, hops)).toBe(expected)
})

test('sockets of one client address are counted as the proxy says', async () => {
  const events: LogRecord[] = []
  const limits = { socketsPerAddress: 1 }
  const relay = await started({ trustProxy: 1, limits, log: record => events.push(record) })
  const handshake = (address: string) =>
    exchange(
      relay,
      'GET / HTTP/1.1\r\nhost: relay\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n' +
        `sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nx-forwarded-for: ${address}\r\n\r\n`,
    )
  void handshake('203.0.113.1')
  await until(() => events.some(({ event }) => event === 'socket-opened'))
  expect(await handshake('203.0.113.1')).toMatch(/^HTTP\/1\.1 503 /)
  expect(events).toContainEqual(
    expect.objectContaining({ level: 'warn', event: 'socket-refused', reason: 'address', address: '203.0.113.1' }),
  )
  void handshake('203.0.113.2')
  await until(() => events.filter(({ event }) => event === 'socket-opened').length === 2)
})

describe('whoever is slow, or has too much to say, holds nothing', () => {
  test('headers beyond a bound', async () => {
    const relay = await started()
    const answer = await exchange(relay, `GET /healthz HTTP/1.1\r\nhost: x\r\nfiller: ${'x'.repeat(20_000)}\r\n\r\n`)
    expect(answer).toMatch(/^HTTP\/1\.1 431 /)
  })

  test('a body that nobody asked for is not waited for', async () => {
    const relay = await started()
    const answer = await exchange(relay, 'POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\nfirst')
    expect(answer).toMatch(/^HTTP\/1\.1 405 /)
    expect(answer.toLowerCase()).toContain('connection: close')
  })

  test('headers that do not end', async () => {
    const relay = await started()
    const begin = Date.now()
    const trickle = connect({ port: relay.port, host: '127.0.0.1' })
    trickle.on('error', () => {})
    trickle.write('GET /healthz HTTP/1.1\r\n')
    const timer = setInterval(() => trickle.write('x: y\r\n'), 500)
    await new Promise(resolve => trickle.on('close', resolve))
    clearInterval(timer)
    expect(Date.now() - begin).toBeLessThan(15_000)
    const { socket } = await raw(relay)
    socket.terminate()
  })
})

test('a relay of another store and key needs no data folder', async () => {
  const key = join(dataFolder(), 'own/place.key')
  const store = memoryLogStore()
  const options = { store, key, port: 0, name: 'relay.example' }
  const relay = await startRelay(options)
  await relay.close()
  // What the store knows and the key go together, as always.
  const again = await startRelay(options)
  expect(again.key).toEqual(relay.key)
  await again.close()
  await expect(startRelay({ store, port: 0, name: 'relay.example' })).rejects.toThrow('options.data')
})
