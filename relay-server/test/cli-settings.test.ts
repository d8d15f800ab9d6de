import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { authorGenesis, makeDevice, pushEntryOf, spaceOf } from './helpers/authoring.ts'
import { type BundledCli, bundleCli } from './helpers/bundle-cli.ts'
import { connected, listeningCli } from './helpers/cli-process.ts'
import { testEnvironment } from './helpers/environment.ts'
import { until } from './helpers/replica.ts'
import { dataFolder } from './helpers/served.ts'

/** With what else separates tokens. */
const TOKEN = 'canary token, of many bytes'

let cli: BundledCli

beforeAll(async () => {
  cli = await bundleCli()
}, 60_000)

afterAll(() => cli?.remove())

test('settings of a file, of variables and of flags do what they say, all together', async () => {
  const data = dataFolder()
  const tokens = join(data, 'tokens')
  writeFileSync(tokens, `another-token-of-many-bytes\n${TOKEN}\n`)
  const file = join(data, 'relay.json')
  const content = { data, admission: 'token', 'tokens-file': tokens, 'log-level': 'debug', 'limit-spaces': 1, scrub: 0 }
  writeFileSync(file, JSON.stringify(content))
  const env = { SEALOG_RELAY_CONFIG: file, SEALOG_RELAY_TRUST_PROXY: '1', SEALOG_RELAY_SCRUB: '1000' }
  const relay = await listeningCli(cli.path, ['--host', '127.0.0.2'], env)
  expect(relay.url).toMatch(/^ws:\/\/127\.0\.0\.2:/)

  const { random } = testEnvironment()
  const made = [1, 2].map(() => authorGenesis(random, makeDevice(random), relay))
  const codes: (string | undefined)[] = []
  const replica = await connected(relay)
  for (const [genesis, admission] of [
    [made[0], undefined],
    [made[0], 'another-token-of-many-byte'],
    [made[0], TOKEN],
    [made[1], TOKEN],
  ] as const) {
    if (genesis === undefined) continue
    const ref = replica.ref()
    replica.send({ type: 'push', ref, space: spaceOf(genesis), entries: [pushEntryOf(genesis)], admission })
    const answer = () => replica.messages.find(message => 'ref' in message && message.ref === ref)
    await until(() => answer() !== undefined, 'an answer')
    const { type, ...rest } = answer() ?? { type: undefined }
    codes.push(type === 'reject' && 'code' in rest ? rest.code : type)
  }
  expect(codes).toEqual(['ERR_UNAUTHORIZED', 'ERR_UNAUTHORIZED', 'sync', 'ERR_QUOTA'])

  const socket = new WebSocket(relay.url, { headers: { 'x-forwarded-for': '198.51.100.1, 203.0.113.7' } })
  await new Promise((resolve, reject) => socket.on('message', resolve).on('error', reject))
  await until(() => relay.events().some(({ address }) => address === '203.0.113.7'), 'the address in the log')
  socket.terminate()
  relay.child.kill('SIGTERM')
  expect(await relay.exited).toBe(0)
  expect(relay.stderr()).not.toContain(TOKEN)

  // The next one scrubs what there is, and says that it would give up what is lost, of which there is nothing.
  const again = await listeningCli(cli.path, ['--accept-rollback'], env)
  await until(() => again.events().some(({ event }) => event === 'scrubbed'), 'the scrub')
  const events = again.events().map(({ event }) => event)
  expect(events).toContain('rollback-allowed')
  expect(events).not.toContain('rollback-accepted')
})
