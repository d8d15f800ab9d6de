import { writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import {
  type ConnectionOptions,
  connect as connectTls,
  createServer,
  type PeerCertificate,
  type SecureContextOptions,
  type TLSSocket,
} from 'node:tls'
import { expect, onTestFinished, test } from 'vitest'
import { WebSocket } from 'ws'
import type { LogRecord } from '../src/log-record.ts'
import type { RelayServer } from '../src/server.ts'
import { type Certificate, selfSigned } from './helpers/certificate.ts'
import { dataFolder, started } from './helpers/served.ts'

/** @returns the files, and what writes another certificate into them */
function tlsFiles(first: Certificate) {
  const folder = dataFolder()
  const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') }
  const write = ({ cert, key }: Pick<Certificate, 'cert' | 'key'>): void => {
    writeFileSync(files.cert, cert)
    writeFileSync(files.key, key)
  }
  write(first)
  return { files, write }
}

function handshake(relay: { readonly port: number }, options: ConnectionOptions = {}): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ port: relay.port, host: '127.0.0.1', rejectUnauthorized: false, ...options })
    socket.on('secureConnect', () => resolve(socket)).on('error', reject)
  })
}

async function shownTo(relay: RelayServer): Promise<string> {
  const socket = await handshake(relay)
  const { fingerprint256 }: PeerCertificate = socket.getPeerCertificate()
  socket.destroy()
  return fingerprint256.replaceAll(':', '').toLowerCase()
}

test('a relay speaks TLS itself, and takes another certificate while it runs', async () => {
  const [first, second] = [selfSigned('first.example'), selfSigned('second.example')]
  const { files, write } = tlsFiles(first)
  const events: LogRecord[] = []
  const relay = await started({ tls: files, log: record => events.push(record) })
  expect(relay.url).toMatch(/^wss:\/\/127\.0\.0\.1:\d+$/)
  expect(await shownTo(relay)).toBe(first.fingerprint)

  const socket = new WebSocket(relay.url, { ca: first.cert })
  await new Promise((resolve, reject) => socket.on('message', resolve).on('error', reject))

  write(second)
  expect(await shownTo(relay)).toBe(first.fingerprint)
  relay.reload()
  expect(await shownTo(relay)).toBe(second.fingerprint)
  // Who was connected stays.
  expect(socket.readyState).toBe(WebSocket.OPEN)
  socket.terminate()

  // A renewal that went wrong changes nothing, and is told.
  for (const broken of [
    { ...second, key: first.key },
    { ...second, cert: 'not a certificate' },
  ]) {
    write(broken)
    relay.reload()
    expect(await shownTo(relay)).toBe(second.fingerprint)
  }
  expect(events.map(({ event }) => event).filter(event => event.startsWith('tls'))).toEqual([
    'tls-reloaded',
    'tls-reload-failed',
    'tls-reload-failed',
  ])
  expect(JSON.stringify(events)).not.toContain('PRIVATE KEY')
})

test('nothing older than TLS 1.2 is spoken, and nothing without TLS', async () => {
  const { files } = tlsFiles(selfSigned('relay.example'))
  const relay = await started({ tls: files })
  const old: SecureContextOptions = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }
  const lenient = createServer({ ...selfSigned('old.example'), ...old })
  onTestFinished(() => void lenient.close())
  await new Promise<void>(resolve => lenient.listen(0, '127.0.0.1', resolve))
  // This client can, where it is let.
  const { port } = lenient.address() as AddressInfo
  const spoken = await handshake({ port }, old)
  expect(spoken.getProtocol()).toBe('TLSv1.1')
  spoken.destroy()
  await expect(handshake(relay, old)).rejects.toThrow(/protocol|version|alert|handshake/i)
  const newer = await handshake(relay, { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' })
  expect(newer.getProtocol()).toBe('TLSv1.2')
  newer.destroy()
  const plain = new WebSocket(relay.url.replace('wss:', 'ws:'))
  await expect(new Promise((resolve, reject) => plain.on('open', resolve).on('error', reject))).rejects.toThrow()
})

test('a certificate that cannot be used keeps the relay from starting', async () => {
  const [first, second] = [selfSigned('first.example'), selfSigned('second.example')]
  const { files } = tlsFiles({ ...first, key: second.key })
  await expect(started({ tls: files })).rejects.toMatchObject({ code: 'ERR_RELAY_IDENTITY' })
  await expect(started({ tls: { ...files, cert: join(files.cert, 'none') } })).rejects.toMatchObject({
    code: 'ERR_RELAY_IDENTITY',
  })
})
