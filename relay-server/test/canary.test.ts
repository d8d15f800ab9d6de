import { copyFileSync, existsSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import {
  decodeHeader,
  encodeMessage,
  fromHex,
  getMailboxInput,
  publicKeyOf,
  putMailboxInput,
  readControlRows,
  type SpaceId,
  signSync,
  toUtf8,
} from 'sealog/protocol'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import { openReplica, type Replica } from '../../src/node.ts'
import { nodeWebSocketTransport } from '../../src/relay/websocket-node.ts'
import { sqliteLogStore } from '../src/log-store-sqlite.ts'
import { type Authored, author, authorGenesis, makeDevice, spaceOf } from './helpers/authoring.ts'
import { type BundledCli, bundleCli } from './helpers/bundle-cli.ts'
import { type Canaries, canaries } from './helpers/canaries.ts'
import { type Listening, listeningCli, runCli } from './helpers/cli-process.ts'
import { testEnvironment } from './helpers/environment.ts'
import { TestReplica, until } from './helpers/replica.ts'
import { dataFolder, get } from './helpers/served.ts'

// What a relay says about itself, wherever it says it, holds nothing that anybody entrusted to it: no content, no names,
// no keys of devices, no tokens, passphrases or secrets of links, and none of the sealed bytes either.

const TOKEN = 'canary-token-4b8f19c2d7'
const PASSPHRASE = 'canary passphrase 77 horses'
const PATIENCE = { timeout: 60_000 }

let cli: BundledCli

beforeAll(async () => {
  cli = await bundleCli()
}, 60_000)

afterAll(() => cli?.remove())

interface Note {
  title: string
  body: string
}

/** Every output of all relays of this test. */
interface Outputs {
  readonly relays: Listening[]
  readonly fetched: string[]
}

async function start(data: string, outputs: Outputs, ...args: readonly string[]): Promise<Listening> {
  const all = ['--data', data, '--log-level', 'debug', '--metrics', '127.0.0.1:0', '--admission', 'token', ...args]
  const relay = await listeningCli(cli.path, all, { SEALOG_RELAY_TOKENS: TOKEN })
  outputs.relays.push(relay)
  return relay
}

/** What a relay says to whoever asks it about itself. */
async function ask(relay: Listening, outputs: Outputs): Promise<void> {
  const watched = relay.metrics
  for (const [url, path] of [
    [watched, '/metrics'],
    [watched, '/readyz'],
    [relay.url, '/readyz'],
    [relay.url, '/healthz'],
    [relay.url, '/other'],
  ] as const) {
    outputs.fetched.push((await get(url, path, { agent: false })).body)
  }
}

async function people(relay: Listening, found: Canaries) {
  const open = async (name: string): Promise<Replica> => {
    found.text('a name of a person', `canary-person-${name}`)
    found.text('a name of a device', `canary-device-${name}`)
    const profile = { name: `canary-person-${name}`, device: `canary-device-${name}` }
    const replica = await openReplica({ store: memoryStore(), relay: { url: relay.url, token: TOKEN }, profile })
    onTestFinished(() => replica.close())
    return replica
  }
  const linked = (what: string, link: string): string => {
    const secret = link.slice(link.indexOf('#') + 1)
    found.text(what, secret.slice(-40))
    found.text(what, secret.slice(0, 40))
    return link
  }

  const ada = await open('ada')
  await ada.protect({ passphrase: PASSPHRASE })
  found.text('a name of a space', 'canary-space-name')
  const space = await ada.createSpace({ name: 'canary-space-name', ...PATIENCE })
  found.text('a name of a document', 'canary-document-name')
  found.text('content', 'canary-title')
  found.text('content', 'canary-body-of-a-document')
  const fields = { title: 'canary-title', body: 'canary-body-of-a-document' }
  const note = await space.createDocument<Note>(fields, { name: 'canary-document-name' })
  await space.sync(PATIENCE)

  const bob = await open('bob')
  const bobs = await bob.joinSpace(linked('an invite', await space.invite({ role: 'writer', ...PATIENCE })), PATIENCE)
  await bobs.sync(PATIENCE)
  const request = await space.invite({ kind: 'approved', role: 'reader', ...PATIENCE })
  const carl = await open('carl')
  const joining = carl.joinSpace(linked('an approved invite', request), PATIENCE)
  await expect.poll(() => space.requests().length, PATIENCE).toBe(1)
  await space.approve(space.requests()[0]?.id ?? -1, PATIENCE)
  await joining

  const { phrase } = await ada.createRecovery(PATIENCE)
  const words = phrase.split(' ')
  for (let i = 0; i < 24; i += 3) found.text('a recovery phrase', words.slice(i, i + 3).join(' '))
  const blank = await open('blank')
  expect((await blank.recover(phrase, PATIENCE)).failed).toEqual([])
  const twin = await open('twin')
  const link = linked('a link for a device', await ada.linkDevice())
  expect((await twin.acceptLink(link, PATIENCE)).failed).toEqual([])

  const { authorization, url } = await space.auditAccess()
  found.text('a credential', authorization.slice(-60))
  const path = `${new URL(url).pathname}/checkpoint`.replace('//', '/')
  expect((await get(relay.url, path, { headers: { authorization } })).status).toBe(200)
  expect((await get(relay.url, path, { headers: { authorization: `${authorization}x` } })).status).toBe(401)

  const member = space.members().find(({ name }) => name === 'canary-person-bob')
  await space.removeMember(member?.id ?? '', PATIENCE)
  note.change(doc => {
    doc.body = 'canary-body-of-a-document, again'
  })
  await space.sync(PATIENCE)
  return { ada, space, note, removed: bobs }
}

/** Refusals, each with something in it that could be repeated in the log. @returns their codes */
async function provoke(relay: Listening, found: Canaries, space: SpaceId): Promise<ReadonlySet<string>> {
  const { random } = testEnvironment(99)
  const all: TestReplica[] = []
  const connected = async (): Promise<TestReplica> => {
    const replica = new TestReplica(nodeWebSocketTransport(), relay.url)
    all.push(replica)
    await until(() => replica.messages.length > 0 || replica.isClosed, 'welcome')
    return replica
  }
  const owner = makeDevice(random)
  const stranger = makeDevice(random)
  for (const device of [owner, stranger]) {
    found.bytes('the key of a device', device.signing)
    found.bytes('the secret of a device', device.seed)
    found.bytes('the KEM key of a device', device.kem)
  }
  const replica = await connected()
  const answered = async (count: number): Promise<void> =>
    until(() => replica.rejects.length >= count, `${count} refusals`)
  const genesis = authorGenesis(random, owner, relay)
  const own = spaceOf(genesis)
  const push = (entry: Authored, of = own, admission?: string): void => {
    found.bytes('a body', entry.body)
    const { header, signature, body } = entry
    const message = { type: 'push', ref: replica.ref(), space: of, entries: [{ header, signature, body }] } as const
    replica.send(admission === undefined ? message : { ...message, admission })
  }
  found.text('a wrong token', 'canary-wrong-token-1234')
  push(genesis)
  await answered(1)
  push(genesis, own, 'canary-wrong-token-1234')
  await answered(2)
  push(genesis, own, TOKEN)
  replica.open(own, owner)
  await until(() => replica.syncs.length > 0, 'a space')
  await replica.follow(own)
  push(genesis, own, TOKEN)
  replica.open(space, stranger)
  replica.open('ab'.repeat(32) as SpaceId, stranger)
  replica.open(own, { ...owner, seed: stranger.seed })
  await answered(6)
  const entry = (options = {}): Authored => author(random, owner, genesis.hash, { seen: replica.seen, ...options })
  const good = entry({ body: toUtf8('canary-of-a-body-that-is-refused') })
  push({ ...good, signature: random(64) })
  push({ ...good, body: toUtf8('canary-of-another-body-that-is-refused') })
  push(entry({ header: { epoch: 7 } }))
  push(entry({ header: { seq: 9 } }))
  await answered(10)

  const seed = random(32)
  const address = publicKeyOf(seed)
  found.bytes('the address of a mailbox', address)
  const bytes = toUtf8('canary-content-of-a-mailbox')
  found.bytes('content of a mailbox', bytes)
  const { name, key, challenge } = replica.welcome
  const put = (counter: number): void => {
    const signature = signSync(seed, putMailboxInput({ name, key }, address, counter, bytes))
    replica.send({ type: 'put-mailbox', ref: replica.ref(), address, counter, bytes, signature })
  }
  const fetch = (signature: Uint8Array): void =>
    replica.send({ type: 'get-mailbox', ref: replica.ref(), address, signature })
  fetch(signSync(seed, getMailboxInput({ name, key }, challenge, address)))
  fetch(random(64))
  put(2)
  put(1)
  await answered(13)

  // Bytes that are no request: the connection ends.
  for (const frame of [
    toUtf8('canary-of-a-frame-that-is-no-message'),
    encodeMessage({ type: 'pull', ref: 1, space: own }).slice(0, -3),
  ]) {
    const other = await connected()
    other.sendFrame(frame)
    await until(() => other.isClosed || other.rejects.length > 0, 'the end')
  }
  found.text('what is no message', 'canary-of-a-frame-that-is-no-message')
  for (const each of all) each.close()
  return new Set(replica.rejects.map(({ code }) => code))
}

/** Plain HTTP with secrets where they do not belong. */
async function stray(relay: Listening, found: Canaries): Promise<void> {
  found.text('a path', 'canary-in-a-path')
  found.text('a header', 'canary-in-a-header')
  const headers = {
    authorization: 'Bearer canary-in-a-header',
    cookie: 'canary-in-a-header',
    'x-forwarded-for': 'canary-in-a-header',
  }
  for (const method of ['GET', 'POST', 'DELETE']) {
    await get(relay.url, '/canary-in-a-path?token=canary-in-a-path', { method, headers, agent: false })
    await get(relay.url, '/log/canary-in-a-path', { method, headers, agent: false })
  }
  await new Promise<void>(resolve => {
    const socket = connect({ port: Number(new URL(relay.url).port), host: '127.0.0.1' })
    socket.on('close', () => resolve()).on('error', () => {})
    socket.on('data', () => {})
    socket.end(
      'GET /canary-in-a-path HTTP/1.1\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: canary-in-a-header\r\n\r\n',
    )
  })
}

/** Whatever the relay kept is nobody's business: keys of devices, mailboxes, sealed bytes, and its own secret. */
async function stored(data: string, found: Canaries): Promise<void> {
  const store = sqliteLogStore(join(data, 'relay.db'), { readOnly: true })
  await store.open()
  let entries = 0
  for (const space of await store.readSpaces(undefined, 100)) {
    const rows = (await store.readSpace(space))?.state.control ?? []
    for (const { signing, kem } of readControlRows(rows).devices.values()) {
      found.bytes('the key of a device', signing)
      found.bytes('the KEM key of a device', kem)
    }
    const range = { from: 0, to: 1e6, inlineLength: 1e6, maxBytes: 1e9 }
    for (const { header, signature, body } of await store.readEntries(space, range)) {
      entries++
      found.bytes('a tag', decodeHeader(header).tag)
      found.bytes('a signature', signature)
      if (body !== undefined) found.bytes('a body', body)
    }
  }
  for (const { address, bytes } of await store.readMailboxes(undefined, 100)) {
    found.bytes('the address of a mailbox', address)
    found.bytes('content of a mailbox', bytes)
  }
  await store.close()
  expect(entries).toBeGreaterThan(10)
}

test('canaries are found where they are', () => {
  const found = canaries()
  const key = Uint8Array.from({ length: 32 }, (_, i) => 7 * i + 3)
  found.bytes('a key', key)
  found.text('a word', 'canary-word and more')
  for (const output of [
    `{"key":"${Buffer.from(key).toString('hex')}"}`,
    Buffer.from([1, ...key]).toString('base64'),
    Buffer.from([1, 2, ...key]).toString('base64url'),
    JSON.stringify(key),
    JSON.stringify([...key]),
    `the last of it: ${Buffer.from(key.subarray(16)).toString('hex')}`,
    'some canary-word and more',
    Buffer.from('canary-word and more').toString('hex'),
  ]) {
    expect(found.findIn(output), output).not.toEqual([])
  }
  expect(found.findIn('nothing of the kind')).toEqual([])
})

test('no log, metric, answer or command of a relay says anything that was entrusted to it (R-OPS-2)', {
  timeout: 180_000,
}, async () => {
  const data = dataFolder()
  const outputs: Outputs = { relays: [], fetched: [] }
  const found = canaries()
  found.text('the token', TOKEN)
  found.text('the passphrase', PASSPHRASE)

  const first = await start(data, outputs)
  const { ada, space, note } = await people(first, found)
  const codes = await provoke(first, found, space.id)
  for (const code of [
    'ERR_UNAUTHORIZED',
    'ERR_UNKNOWN_SPACE',
    'ERR_SPACE_EXISTS',
    'ERR_SIGNATURE',
    'ERR_UNKNOWN_MAILBOX',
    'ERR_STALE_MAILBOX',
    'ERR_STALE_EPOCH',
    'ERR_STALE_CHAIN',
    'ERR_BODY',
  ]) {
    expect([...codes]).toContain(code)
  }
  await stray(first, found)
  await ask(first, outputs)
  first.child.kill('SIGTERM')
  expect(await first.exited).toBe(0)

  // An old copy of the logs comes back, and a member gives back what is missing.
  const copy = join(dataFolder(), 'relay.db')
  copyFileSync(join(data, 'relay.db'), copy)
  const port = new URL(first.url).port
  const second = await start(data, outputs, '--port', port)
  note.change(doc => {
    doc.title = 'canary-title, after the copy'
  })
  await space.sync(PATIENCE)
  second.child.kill('SIGKILL')
  await second.exited
  for (const left of ['relay.db-wal', 'relay.db-shm']) if (existsSync(join(data, left))) rmSync(join(data, left))
  copyFileSync(copy, join(data, 'relay.db'))
  const third = await start(data, outputs, '--port', port)
  await until(() => third.events().some(({ event }) => event === 'restored'), 'the lost entries')
  await space.sync(PATIENCE)
  await ask(third, outputs)
  await ada.close()
  third.child.kill('SIGTERM')
  await third.exited

  const commands = ['--print-config', 'stats', 'stats --json', 'fsck', 'fsck --json'].map(line => {
    const all = [...line.split(' '), '--data', data]
    return runCli(cli.path, all, { SEALOG_RELAY_TOKENS: TOKEN, SEALOG_RELAY_STORE: `sqlite:${join(data, 'relay.db')}` })
  })
  for (const command of commands) expect([0, 1]).toContain(await command.exited)
  await stored(data, found)
  const secret = readFileSync(join(data, 'relay.key'), 'utf8').trim()
  found.bytes("the relay's secret", fromHex(secret))

  const running = [...outputs.relays, ...commands]
  const output = [...running.flatMap(each => [each.stdout(), each.stderr()]), ...outputs.fetched].join('\n')
  const events = new Set(outputs.relays.flatMap(each => each.events().map(({ event }) => event)))
  // There is something to search in, and something to search for.
  for (const event of [
    'listening',
    'socket-opened',
    'socket-closed',
    'relay-behind',
    'restore-begun',
    'restored',
    'stopped',
  ]) {
    expect([...events]).toContain(event)
  }
  expect(output).toContain(space.id)
  expect(found.size).toBeGreaterThan(1000)
  expect(found.findIn(output)).toEqual([])
})
