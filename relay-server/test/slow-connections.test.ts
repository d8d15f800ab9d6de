import { writeFileSync } from 'node:fs'
import { connect, createServer, Socket, type SocketConnectOpts } from 'node:net'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { describe, expect, onTestFinished, test } from 'vitest'
import { WebSocket } from 'ws'
import { countConnections } from '../src/connection-gate.ts'
import type { LogRecord } from '../src/log-record.ts'
import type { RelayServer } from '../src/server.ts'
import { selfSigned } from './helpers/certificate.ts'
import { until } from './helpers/replica.ts'
import { dataFolder, get, raw, started } from './helpers/served.ts'

const HANDSHAKE = 400
const REQUEST = 'GET /healthz HTTP/1.1\r\nhost: relay\r\n\r\n'
const HELLO = Uint8Array.of(0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03)

interface Slow {
  readonly socket: Socket
  /** Resolves when the relay has ended it. */
  readonly ended: Promise<void>
  readonly isEnded: () => boolean
}

/** A connection of which nothing is known but its bytes. */
async function plain({ port }: { readonly port: number }, options: Partial<SocketConnectOpts> = {}): Promise<Slow> {
  const socket = connect({ port, host: '127.0.0.1', ...options })
  onTestFinished(() => void socket.destroy())
  let isEnded = false
  const ended = new Promise<void>(resolve =>
    socket.on('close', () => {
      isEnded = true
      resolve()
    }),
  )
  socket.on('error', () => {})
  socket.resume()
  await new Promise(resolve => socket.once('connect', resolve).once('close', resolve))
  return { socket, ended, isEnded: () => isEnded }
}

/** Sends one byte after the other, over and over, for as long as somebody takes them. */
function trickle({ socket, ended }: Slow, bytes: Uint8Array | string): void {
  const all = typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes
  let next = 0
  const timer = setInterval(() => socket.write(all.subarray(next % all.length, (next++ % all.length) + 1)), 20)
  onTestFinished(() => clearInterval(timer))
  void ended.then(() => clearInterval(timer))
}

/** A relay with the certificate of its own that `ca` trusts. */
async function secure(limits: { readonly handshakeTime: number }) {
  const { cert, key } = selfSigned('relay.example')
  const folder = dataFolder()
  const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') }
  writeFileSync(files.cert, cert)
  writeFileSync(files.key, key)
  return { relay: await started({ tls: files, limits }), cert }
}

describe('a connection that does not get to the point is ended in time (R-GATE-4)', () => {
  const WAYS: Readonly<Record<string, (slow: Slow) => void>> = {
    'says nothing': () => {},
    'never ends its first line': slow => {
      slow.socket.write('GET /')
      trickle(slow, 'a')
    },
    'sends one header after the other, byte by byte': slow => {
      slow.socket.write('GET /healthz HTTP/1.1\r\n')
      trickle(slow, 'x-header: more\r\n')
    },
    'announces a body and sends it byte by byte': slow => {
      slow.socket.write('POST /healthz HTTP/1.1\r\nhost: relay\r\ncontent-length: 100000\r\n\r\n')
      trickle(slow, 'body')
    },
    'keeps the connection after an answer, and then begins to trickle': slow => {
      slow.socket.write(REQUEST)
      slow.socket.once('data', () => {
        slow.socket.write('GET /')
        trickle(slow, 'a')
      })
    },
    'keeps the connection after an answer, and says nothing more': slow => void slow.socket.write(REQUEST),
  }

  test.each(Object.entries(WAYS))('where it %s', async (_name, way) => {
    const relay = await started({ limits: { handshakeTime: HANDSHAKE } })
    const slow = await plain(relay)
    way(slow)
    await slow.ended
    expect((await get(relay.url, '/healthz')).status).toBe(200)
  })

  test('before a TLS handshake, within it, and behind it', async () => {
    const { relay, cert } = await secure({ handshakeTime: HANDSHAKE })
    const silent = await plain(relay)
    const trickling = await plain(relay)
    trickle(trickling, HELLO)
    const shaken = connectTls({ port: relay.port, host: '127.0.0.1', ca: cert, checkServerIdentity: () => undefined })
    shaken.on('error', () => {})
    const ended = new Promise(resolve => shaken.on('close', resolve))
    shaken.resume()
    await Promise.all([silent.ended, trickling.ended, ended])
  })

  test('and a WebSocket that has nothing to say is not one of these', async () => {
    const relay = await started({ limits: { handshakeTime: HANDSHAKE } })
    const { socket } = await raw(relay)
    await (await plain(relay)).ended
    await (await plain(relay)).ended
    expect(socket.readyState).toBe(WebSocket.OPEN)
    socket.terminate()
  })
})

describe('connections of one address (R-GATE-4)', () => {
  const addresses = Object.values(networkInterfaces()).flatMap(each => each ?? [])
  const own = addresses.find(({ internal, family }) => !internal && family === 'IPv4')?.address

  /** As many as are let in; those that are not are ended at once. */
  async function opened(relay: RelayServer, count: number, address: string): Promise<readonly Slow[]> {
    const all: Slow[] = []
    for (let i = 0; i < count; i++) all.push(await plain(relay, { host: address }))
    return all
  }

  // This machine's own address is the only one beside loopback that a test can come from.
  test.skipIf(own === undefined)('are bounded, whatever is said on them; others still get in', async () => {
    const records: LogRecord[] = []
    const relay = await started({
      host: '0.0.0.0',
      limits: { socketsPerAddress: 1 },
      log: record => records.push(record),
    })
    const all = await opened(relay, 70, own as string)
    await until(() => all.filter(({ isEnded }) => isEnded()).length === 5)
    expect(records.filter(({ event }) => event === 'socket-refused')).toHaveLength(5)
    expect(records.at(-1)).toMatchObject({ level: 'warn', reason: 'address', address: own })
    expect((await get(`http://127.0.0.1:${relay.port}`, '/healthz')).status).toBe(200)
    all.find(({ isEnded }) => !isEnded())?.socket.destroy()
    await expect
      .poll(
        () =>
          get(`http://${own}:${relay.port}`, '/healthz').then(
            ({ status }) => status,
            () => 0,
          ),
        { timeout: 5000 },
      )
      .toBe(200)
  })

  test.skipIf(own === undefined)('are not those of the clients of a proxy', async () => {
    const relay = await started({ host: '0.0.0.0', trustProxy: 1, limits: { socketsPerAddress: 1 } })
    const all = await opened(relay, 70, own as string)
    expect((await get(`http://${own}:${relay.port}`, '/healthz')).status).toBe(200)
    expect(all.filter(({ isEnded }) => isEnded())).toEqual([])
  })

  test('count by network where it is IPv6, and no more once they are gone', () => {
    const refused: [string, string | undefined][] = []
    const server = createServer()
    countConnections(server, { perAddress: 2, total: 10, onRefused: (...why) => void refused.push(why) })
    const from = (remoteAddress: string): Socket => {
      const socket = Object.defineProperty(new Socket(), 'remoteAddress', { value: remoteAddress })
      server.emit('connection', socket)
      return socket
    }
    const first = from('2001:db8::1')
    from('2001:db8::2')
    expect(from('2001:db8::3').destroyed).toBe(true)
    expect(from('2001:db8:0:1::1').destroyed).toBe(false)
    for (let i = 0; i < 5; i++) expect(from('127.0.0.1').destroyed).toBe(false)
    expect(refused).toEqual([['address', '2001:db8::3']])
    first.emit('close')
    expect(from('2001:db8::4').destroyed).toBe(false)
    expect(from('2001:db8::5').destroyed).toBe(true)
  })
})
