import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { author, authorGenesis, makeDevice, spaceOf } from './helpers/authoring.ts'
import { type BundledCli, bundleCli } from './helpers/bundle-cli.ts'
import { type Certificate, selfSigned } from './helpers/certificate.ts'
import { connected, type Listening, listeningCli } from './helpers/cli-process.ts'
import { testEnvironment } from './helpers/environment.ts'
import { until } from './helpers/replica.ts'
import { dataFolder, get } from './helpers/served.ts'

/** Each test starts processes, which takes its time on a busy machine. */
const PATIENCE = { timeout: 60_000 }

let cli: BundledCli

beforeAll(async () => {
  cli = await bundleCli()
}, 60_000)

afterAll(() => cli?.remove())

/** Whether there is an event in the log, after a while. */
const logged = (relay: Listening, event: string) =>
  until(() => relay.events().some(each => each.event === event), `the event ${event}`)

test(
  'SIGTERM: others are told to stay away, everything is served on, then it ends in good order',
  PATIENCE,
  async () => {
    const args = ['--data', dataFolder(), '--drain', '3', '--metrics', '127.0.0.1:0']
    const relay = await listeningCli(cli.path, args)
    const { metrics } = relay
    expect((await get(relay.url, '/readyz')).status).toBe(200)
    const { random } = testEnvironment()
    const owner = makeDevice(random)
    const genesis = authorGenesis(random, owner, relay)
    const space = spaceOf(genesis)
    const before = await connected(relay)

    const begin = Date.now()
    relay.child.kill('SIGTERM')
    await logged(relay, 'draining')
    for (const url of [relay.url, metrics]) {
      expect(await get(url, '/readyz', { agent: false })).toMatchObject({
        status: 503,
        body: expect.stringContaining('draining'),
      })
      expect((await get(url, '/healthz', { agent: false })).status).toBe(200)
    }
    // Who is there works on, and who comes nevertheless is served.
    before.push(space, genesis)
    await until(() => before.syncs.length === 1, 'an acknowledgement while draining')
    const late = await connected(relay)
    late.open(space, owner)
    await until(() => late.syncs.length === 1, 'the space')
    await late.follow(space)

    expect(await relay.exited).toBe(0)
    expect(Date.now() - begin).toBeGreaterThanOrEqual(3000)
    await until(() => before.isClosed && late.isClosed)
    for (const replica of [before, late]) expect(replica.closed?.message).toContain('1001')
    expect(relay.events().map(({ event }) => event)).toEqual([
      'relay-created',
      'listening',
      'draining',
      'stopping',
      'stopped',
    ])
  },
)

test('what was taken before the end is answered', PATIENCE, async () => {
  const data = dataFolder()
  const relay = await listeningCli(cli.path, ['--data', data])
  const { random } = testEnvironment()
  const owner = makeDevice(random)
  const genesis = authorGenesis(random, owner, relay)
  const space = spaceOf(genesis)
  const replica = await connected(relay)
  replica.push(space, genesis)
  replica.open(space, owner)
  await until(() => replica.syncs.length > 0)
  await replica.follow(space)
  const pushes = Array.from({ length: 20 }, () => author(random, owner, genesis.hash, { seen: replica.seen }))
  for (const push of pushes) replica.push(space, push)
  // The first of them is acknowledged: the others are there, or on their way through the same socket.
  await until(() => replica.syncs.length > 1)
  relay.child.kill('SIGTERM')
  expect(await relay.exited).toBe(0)
  await until(() => replica.isClosed)
  const view = await replica.follow(space)
  expect(replica.rejects).toEqual([])
  // Each acknowledged entry is still there, and nothing that was not acknowledged is missed by anyone.
  const again = await listeningCli(cli.path, ['--data', data])
  const reader = await connected(again)
  reader.open(space, owner)
  await until(() => reader.syncs.length > 0)
  expect((await reader.follow(space)).range).toEqual(view.range)
})

test('a second signal ends it at once', PATIENCE, async () => {
  const relay = await listeningCli(cli.path, ['--data', dataFolder(), '--drain', '600'])
  relay.child.kill('SIGTERM')
  await logged(relay, 'draining')
  relay.child.kill('SIGTERM')
  expect(await relay.exited).toBe(1)
})

test.each([
  ['an exception that nobody caught', "process.on('SIGUSR2', () => { throw new Error('a fault') })"],
  ['a promise that nobody waited for', "process.on('SIGUSR2', () => void Promise.reject(new Error('a fault')))"],
])('%s ends the process with a line, so that it is started anew', PATIENCE, async (_what, code) => {
  const relay = await listeningCli(cli.path, ['--data', dataFolder(), '--quiet'], {
    NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(code)}`,
  })
  relay.child.kill('SIGUSR2')
  expect(await relay.exited).toBe(1)
  expect(relay.events()).toEqual([
    expect.objectContaining({ level: 'error', event: 'fatal', reason: expect.stringContaining('a fault') }),
  ])
})

test('SIGHUP with a certificate reads it again, and nothing else happens', PATIENCE, async () => {
  const folder = dataFolder()
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  const write = (certificate: Certificate): void => {
    writeFileSync(cert, certificate.cert)
    writeFileSync(key, certificate.key)
  }
  const [first, second] = [selfSigned('first.example'), selfSigned('second.example')]
  write(first)
  const relay = await listeningCli(cli.path, ['--data', folder, '--tls-cert', cert, '--tls-key', key])
  expect(relay.url).toMatch(/^wss:/)
  const opened = async (ca: string): Promise<WebSocket> => {
    const socket = new WebSocket(relay.url, { ca })
    await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject))
    return socket
  }
  const socket = await opened(first.cert)
  write(second)
  relay.child.kill('SIGHUP')
  await logged(relay, 'tls-reloaded')
  const later = await opened(second.cert)
  await expect(opened(first.cert)).rejects.toThrow()
  expect(socket.readyState).toBe(WebSocket.OPEN)
  for (const each of [socket, later]) each.terminate()
  relay.child.kill('SIGTERM')
  expect(await relay.exited).toBe(0)
})

test('SIGHUP without a certificate is a word to stop', PATIENCE, async () => {
  const relay = await listeningCli(cli.path, ['--data', dataFolder()])
  relay.child.kill('SIGHUP')
  expect(await relay.exited).toBe(0)
})
