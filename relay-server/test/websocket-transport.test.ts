import { createServer } from 'node:net'
import type { SealogError } from 'sealog/protocol'
import { describe, expect, test } from 'vitest'
import { connectWebSocket, type WebSocketLike } from '../../src/relay/websocket.ts'
import { nodeWebSocketTransport } from '../../src/relay/websocket-node.ts'
import { until } from './helpers/replica.ts'

type Listener = (event: unknown) => void

/** A WebSocket whose events the test makes. */
class FakeSocket implements WebSocketLike {
  binaryType = 'blob'
  readonly sent: Uint8Array[] = []
  readonly closes: (number | undefined)[] = []
  readonly #listeners = new Map<string, Listener[]>()

  send(data: Uint8Array<ArrayBuffer>): void {
    this.sent.push(data)
  }

  close(code?: number): void {
    this.closes.push(code)
  }

  addEventListener(type: string, listener: (event: never) => void): void {
    this.#listeners.set(type, [...(this.#listeners.get(type) ?? []), listener as Listener])
  }

  emit(type: string, event: unknown = {}): void {
    for (const listener of this.#listeners.get(type) ?? []) listener(event)
  }
}

/** A connection over whatever `create` gives, and a list of what happened on it. */
function watched(create: () => WebSocketLike | Promise<WebSocketLike>) {
  const log: string[] = []
  let cause: SealogError | undefined
  const connection = connectWebSocket(create, {
    onOpen: () => log.push('open'),
    onFrame: frame => log.push(`frame ${frame.join(' ')}`),
    onClose: error => {
      cause = error
      log.push(`close ${error?.code ?? ''}`)
    },
  })
  return { connection, log, cause: () => cause }
}

/** Several turns of the microtask queue. */
async function settled(): Promise<void> {
  await new Promise(resolve => setImmediate(resolve))
}

const frame = (...bytes: number[]) => ({ data: Uint8Array.from(bytes).buffer })

describe('a connection over a WebSocket', () => {
  test('passes on frames, after everything that was sent before it was open', async () => {
    const socket = new FakeSocket()
    const { connection, log } = watched(() => socket)
    connection.send(Uint8Array.of(1))
    await settled()
    connection.send(Uint8Array.of(2))
    expect(log).toEqual([])
    expect(socket.binaryType).toBe('arraybuffer')
    socket.emit('open')
    connection.send(Uint8Array.of(3))
    socket.emit('message', frame(4, 5))
    expect(socket.sent.map(each => each[0])).toEqual([1, 2, 3])
    expect(log).toEqual(['open', 'frame 4 5'])
  })

  test('ends once, whoever ends it, and nothing comes after', async () => {
    const socket = new FakeSocket()
    const { connection, log } = watched(() => socket)
    await settled()
    socket.emit('open')
    connection.close()
    expect(log).toEqual(['open'])
    socket.emit('message', frame(1))
    socket.emit('close', { code: 1000, reason: '' })
    await settled()
    connection.close()
    connection.send(Uint8Array.of(1))
    await settled()
    expect(log).toEqual(['open', 'close '])
    expect(socket.closes).toEqual([1000])
    expect(socket.sent).toEqual([])
  })

  test('says with what code the relay ended it', async () => {
    const socket = new FakeSocket()
    const { log, cause } = watched(() => socket)
    await settled()
    socket.emit('open')
    socket.emit('error')
    socket.emit('close', { code: 1013, reason: 'reading too slowly' })
    await settled()
    expect(log).toEqual(['open', 'close ERR_OFFLINE'])
    expect(cause()?.message).toContain('1013: reading too slowly')
  })

  test('does not take text', async () => {
    const socket = new FakeSocket()
    const { log } = watched(() => socket)
    await settled()
    socket.emit('open')
    socket.emit('message', { data: 'hello' })
    socket.emit('message', frame(1))
    await settled()
    expect(log).toEqual(['open', 'close ERR_MALFORMED'])
    expect(socket.closes).toEqual([1000])
  })

  test.each([
    [
      'throws',
      () => {
        throw new SyntaxError('not a URL')
      },
    ],
    ['rejects', () => Promise.reject(new Error('no such package'))],
  ])('is offline where making the socket %s, and never before connect returned', async (_how, create) => {
    const { log, connection, cause } = watched(create)
    connection.send(Uint8Array.of(1))
    expect(log).toEqual([])
    await settled()
    expect(log).toEqual(['close ERR_OFFLINE'])
    expect(cause()?.cause).toBeInstanceOf(Error)
  })

  test('that is given up before there is a socket closes it when it comes', async () => {
    const socket = new FakeSocket()
    let give: (socket: WebSocketLike) => void = () => {}
    const { connection, log } = watched(
      () =>
        new Promise<WebSocketLike>(resolve => {
          give = resolve
        }),
    )
    await settled()
    connection.close()
    await settled()
    give(socket)
    await settled()
    socket.emit('open')
    socket.emit('error')
    expect(log).toEqual(['close '])
    expect(socket.closes).toEqual([1000])
  })
})

describe('from Node', () => {
  test.each([
    ['nobody listens', () => 'ws://127.0.0.1:1'],
    ['the address is none', () => 'not an address'],
    ['the address is of the web', () => 'ftp://127.0.0.1'],
  ])('it is offline where %s', async (_what, address) => {
    const log: (string | undefined)[] = []
    nodeWebSocketTransport().connect(address(), {
      onOpen: () => log.push('open'),
      onFrame: () => log.push('frame'),
      onClose: cause => log.push(cause?.code),
    })
    expect(log).toEqual([])
    await until(() => log.length > 0)
    expect(log).toEqual(['ERR_OFFLINE'])
  })

  test('a connection closed while it is being made harms nobody', async () => {
    const server = createServer()
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    const log: string[] = []
    const connection = nodeWebSocketTransport().connect(`ws://127.0.0.1:${port}`, {
      onOpen: () => log.push('open'),
      onFrame: () => log.push('frame'),
      onClose: cause => log.push(cause?.code ?? 'closed'),
    })
    await new Promise(resolve => server.once('connection', resolve))
    connection.close()
    await until(() => log.length > 0)
    await settled()
    expect(log).toEqual(['closed'])
    server.close()
  })
})
