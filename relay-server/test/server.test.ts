import { chmodSync, existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { hasCode, MAX_FRAME_LENGTH, parseVerifierKey } from 'sealog/protocol'
import { describe, expect, onTestFinished, test } from 'vitest'
import { WebSocket } from 'ws'
import type { LogRecord } from '../src/log-record.ts'
import { type RelayServer, startRelay } from '../src/server.ts'
import { until } from './helpers/replica.ts'
import { connected, dataFolder, get, populated, raw, started } from './helpers/served.ts'

test('two replicas meet over a real socket, and a restart keeps all', async () => {
  const data = dataFolder()
  const relay = await started({ data })
  const { owner, space, replica, write } = await populated(relay)
  const other = await connected(relay)
  other.open(space, owner)
  await until(() => other.syncs.length > 0)
  for (let i = 0; i < 10; i++) {
    replica.push(space, write())
    await until(() => replica.syncs.length === i + 2)
    await replica.follow(space)
  }
  await until(() => other.syncs.length === 11)
  expect(await other.follow(space)).toEqual(replica.view)
  await relay.close()
  await until(() => replica.isClosed && other.isClosed)
  expect(replica.closed?.message).toContain('1001')

  const again = await started({ data })
  expect(again.key).toEqual(relay.key)
  const reader = await connected(again)
  reader.open(space, owner)
  await until(() => reader.syncs.length > 0)
  const view = await reader.follow(space)
  expect(view.range).toEqual(replica.view?.range)
})

describe('plain HTTP', () => {
  test('asks for health, and for nothing else', async () => {
    const relay = await started()
    const health = await get(relay.url, '/healthz?from=monitor')
    expect(health.status).toBe(200)
    expect(JSON.parse(health.body)).toEqual({ status: 'ok', name: 'relay.example' })
    expect(await get(relay.url, '/healthz', { method: 'HEAD' })).toEqual({ status: 200, body: '' })
    expect((await get(relay.url, '/healthz', { method: 'POST' })).status).toBe(405)
    expect((await get(relay.url, '/')).status).toBe(404)
    expect((await get(relay.url, '/healthz/')).status).toBe(404)
  })

  test('on the same port can be answered by the host', async () => {
    const relay = await started({
      http(request, response) {
        if (request.url !== '/page') return false
        response.end('a page')
        return true
      },
    })
    expect(await get(relay.url, '/page')).toEqual({ status: 200, body: 'a page' })
    expect((await get(relay.url, '/other')).status).toBe(404)
    expect((await get(relay.url, '/healthz')).status).toBe(200)
    expect((await connected(relay)).welcome.name).toBe('relay.example')
  })
})

describe('on the socket', () => {
  test('text ends it', async () => {
    const relay = await started()
    const { socket, closed } = await raw(relay)
    socket.send('hello')
    expect(await closed).toBe(1008)
  })

  test('bytes that are no message end it', async () => {
    const relay = await started()
    const { socket, closed } = await raw(relay)
    socket.send(Uint8Array.of(0xff, 0x00))
    expect(await closed).toBe(1007)
  })

  test('a frame beyond the limit ends it before it is read', async () => {
    const relay = await started()
    const { socket, closed } = await raw(relay)
    socket.send(new Uint8Array(MAX_FRAME_LENGTH + 1))
    expect(await closed).toBe(1009)
  })

  test('nothing is compressed, so that lengths say nothing about content', async () => {
    const relay = await started()
    const { socket } = await raw(relay)
    expect(socket.extensions).toBe('')
    socket.terminate()
  })

  test('whoever never answers a ping is cut off; whoever does stays', async () => {
    const relay = await started({ limits: { pingInterval: 150 } })
    const alive = await raw(relay)
    const dead = await handshakeOnly(relay)
    const gone = new Promise(resolve => dead.on('close', resolve))
    await gone
    expect(alive.socket.readyState).toBe(WebSocket.OPEN)
    alive.socket.terminate()
  })

  test('there are only so many', async () => {
    const relay = await started({ limits: { sockets: 2 } })
    const sockets = [await raw(relay), await raw(relay)]
    const third = new WebSocket(relay.url)
    const error = await new Promise<Error>(resolve => third.on('error', resolve))
    expect(error.message).toContain('503')
    sockets[0]?.socket.terminate()
    await until(() => sockets[0]?.socket.readyState === WebSocket.CLOSED)
    await new Promise(resolve => setTimeout(resolve, 20))
    const fourth = await raw(relay)
    for (const each of [sockets[1], fourth]) each?.socket.terminate()
  })

  test('whoever is refused is cut off, also where it keeps its end open', async () => {
    const relay = await started({ limits: { sockets: 1 } })
    const { socket: only } = await raw(relay)
    const refused = connect({ port: relay.port, host: '127.0.0.1', allowHalfOpen: true })
    const gone = new Promise<string>(resolve => refused.on('error', error => resolve(error.message)))
    refused.write(UPGRADE)
    const answer = await new Promise<string>(resolve => refused.once('data', data => resolve(String(data))))
    expect(answer).toContain('503')
    await new Promise(resolve => refused.on('end', resolve))
    // An end that the relay still held would take this in silence.
    const writing = setInterval(() => refused.write('x'), 5)
    expect(await gone).toMatch(/EPIPE|ECONNRESET/)
    clearInterval(writing)
    only.terminate()
  })

  test('noise instead of a handshake, and handshakes cut short, harm nobody', async () => {
    const relay = await started()
    const host = { port: relay.port, host: '127.0.0.1' }
    for (const noise of ['\0\0\0\0', 'GET / HTTP/1.1\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n', 'GET /']) {
      const socket = connect(host)
      socket.on('error', () => {})
      socket.write(noise)
      await new Promise(resolve => setTimeout(resolve, 20))
      socket.destroy()
    }
    expect((await get(relay.url, '/healthz')).status).toBe(200)
  })
})

const UPGRADE =
  'GET / HTTP/1.1\r\nhost: relay\r\nupgrade: websocket\r\nconnection: upgrade\r\n' +
  'sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n'

/** A client that completes the handshake and then says nothing, not even `pong`. */
async function handshakeOnly(relay: RelayServer): Promise<Socket> {
  const socket = connect({ port: relay.port, host: '127.0.0.1' })
  socket.write(UPGRADE)
  await new Promise(resolve => socket.once('data', resolve))
  socket.on('data', () => {})
  return socket
}

describe('the identity of a relay', () => {
  test('is settled by the first start; the key is readable by its owner only (R-OPS-5)', async () => {
    const data = dataFolder()
    const umask = process.umask(0)
    onTestFinished(() => void process.umask(umask))
    const events: string[] = []
    const log = ({ event }: LogRecord): void => void events.push(event)
    const relay = await started({ data, log })
    // On a relay that is not new, it means that the data are not where it looks.
    expect(events).toEqual(['relay-created', 'listening'])
    expect(parseVerifierKey(relay.verifierKey)).toEqual({ name: 'relay.example', publicKey: relay.key })
    for (const file of ['relay.key', 'relay.db']) expect(statSync(join(data, file)).mode & 0o777).toBe(0o600)
    expect(readFileSync(join(data, 'relay.key'), 'utf8')).toMatch(/^[0-9a-f]{64}\n$/)
    await relay.close()
    const refused = startRelay({ data, port: 0, name: 'relay.elsewhere' })
    await expect(refused).rejects.toMatchObject({
      code: 'ERR_RELAY_IDENTITY',
      message: /relay\.example.*cannot become/,
    })
    events.length = 0
    expect((await started({ data, log })).key).toEqual(relay.key)
    expect(events).toEqual(['listening'])
  })

  test('does not survive the loss of its key, nor the key that of its database', async () => {
    const data = dataFolder()
    const key = join(data, 'relay.key')
    await (await started({ data })).close()
    const secret = readFileSync(key)
    rmSync(key)
    await expect(startRelay({ data, port: 0, name: 'relay.example' })).rejects.toMatchObject({
      code: 'ERR_RELAY_IDENTITY',
      message: /key is missing/,
    })
    expect(existsSync(key)).toBe(false)
    writeFileSync(key, `${'ab'.repeat(32)}\n`)
    await expect(startRelay({ data, port: 0, name: 'relay.example' })).rejects.toMatchObject({
      code: 'ERR_RELAY_IDENTITY',
      message: /is not the key of/,
    })
    writeFileSync(key, 'not a key')
    await expect(startRelay({ data, port: 0, name: 'relay.example' })).rejects.toMatchObject({
      code: 'ERR_RELAY_IDENTITY',
      message: /does not hold a key/,
    })
    writeFileSync(key, secret)
    await (await started({ data })).close()
    const database = readFileSync(join(data, 'relay.db'))
    rmSync(join(data, 'relay.db'))
    for (let attempt = 0; attempt < 2; attempt++) {
      await expect(startRelay({ data, port: 0, name: 'relay.example' })).rejects.toMatchObject({
        code: 'ERR_RELAY_IDENTITY',
        message: /Restore the database/,
      })
    }
    expect(readFileSync(key)).toEqual(secret)
    writeFileSync(join(data, 'relay.db'), database)
    await started({ data })
  })

  test('that others could sign with is warned of', async () => {
    const data = dataFolder()
    await (await started({ data })).close()
    const events: LogRecord[] = []
    const log = (record: LogRecord) => void events.push(record)
    await (await started({ data, log })).close()
    expect(events.map(({ event }) => event)).not.toContain('key-file-shared')
    chmodSync(join(data, 'relay.key'), 0o644)
    await started({ data, log })
    expect(events).toContainEqual(expect.objectContaining({ level: 'warn', event: 'key-file-shared', mode: '644' }))
  })

  test('is not taken by a first start that was cut off', async () => {
    const whole = `${'ab'.repeat(32)}\n`
    // Killed after it created the database, while it wrote the key, and before the database knew whose it is.
    for (const draft of [undefined, 'half', whole]) {
      const data = dataFolder()
      writeFileSync(join(data, 'relay.db'), '')
      if (draft !== undefined) writeFileSync(join(data, 'relay.key.new'), draft)
      expect((await started({ data })).name).toBe('relay.example')
      expect(existsSync(join(data, 'relay.key.new'))).toBe(false)
      expect(readFileSync(join(data, 'relay.key'), 'utf8') === whole).toBe(draft === whole)
    }
    // Killed after the database knew it, and before the key had its name.
    const data = dataFolder()
    const first = await started({ data })
    await first.close()
    renameSync(join(data, 'relay.key'), join(data, 'relay.key.new'))
    expect((await started({ data })).key).toEqual(first.key)
  })

  test('belongs to one process at a time', async () => {
    const data = dataFolder()
    await started({ data })
    const second = await startRelay({ data, port: 0, name: 'relay.example' }).catch((error: unknown) => error)
    expect(hasCode(second, 'ERR_STORE_LOCKED')).toBe(true)
  })
})

test('arguments that make no sense are refused by name', async () => {
  const good = { data: dataFolder(), port: 0, name: 'relay.example' }
  for (const [argument, wrong] of [
    ['options.data', { data: '' }],
    ['options.port', { port: 65_536 }],
    ['options.port', { port: 1.5 }],
    ['options.name', { name: '' }],
    ['options.name', { name: 'a relay' }],
    ['options.name', { name: 'relay+example' }],
    ['options.name', { name: 'x'.repeat(256) }],
  ] as const) {
    const refused = await startRelay({ ...good, ...wrong }).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(TypeError)
    expect((refused as TypeError).message).toContain(argument)
  }
})

test('a port that is taken is an error, and the data stay free for another try', async () => {
  const data = dataFolder()
  const { port } = await started()
  await expect(startRelay({ data, port, name: 'relay.example' })).rejects.toMatchObject({ code: 'EADDRINUSE' })
  await started({ data })
})

test('what a log line holds is no secret', async () => {
  const lines: string[] = []
  const relay = await started({ log: record => lines.push(JSON.stringify(record)) })
  const { replica, space, genesis, write } = await populated(relay)
  replica.push(space, { ...write(), body: new Uint8Array(3) })
  await until(() => replica.rejects.length > 0)
  await relay.close()
  const text = lines.join('\n')
  expect(text).toContain('listening')
  expect(text).toContain('stopped')
  expect(text).not.toContain(Buffer.from(genesis.body.slice(0, 16)).toString('hex'))
})
