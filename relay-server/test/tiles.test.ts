import { createServer, type IncomingHttpHeaders, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  appendLeaves,
  concat,
  emptyRange,
  entryHash,
  equalBytes,
  generateSeed,
  makeAuditCredential,
  nobleSigningKey,
  nobleVerifier,
  parseNote,
  rootOf,
  SealogError,
  type SignatureVerifier,
  type SpaceId,
  toHex,
} from 'sealog/protocol'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Gate } from '../src/gate.ts'
import { DEFAULT_LIMITS, type Limits } from '../src/limits.ts'
import type { LogRecord } from '../src/log-record.ts'
import type { LogStore } from '../src/log-store.ts'
import { memoryContent, memoryLogStore } from '../src/log-store-memory.ts'
import { NO_METER } from '../src/meter.ts'
import { SpaceRegistry } from '../src/space-registry.ts'
import { tileRequests } from '../src/tiles.ts'
import { authorControl, authorInvite, makeDevice, pushEntryOf, type TestDevice } from './helpers/authoring.ts'
import type { TestReplica } from './helpers/replica.ts'
import { admit, openWorld, type World } from './helpers/world.ts'

const NAME = 'relay.test'
const DAY = 24 * 60 * 60 * 1000

interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Uint8Array
}

interface Asking {
  readonly method?: string
  readonly authorization?: string | undefined
  readonly headers?: Readonly<Record<string, string>>
}

/** A relay, and another process of it that serves the logs over HTTP. */
async function served(change: Partial<Limits> = {}) {
  const limits = { ...DEFAULT_LIMITS, ...change }
  const content = memoryContent()
  const signingKey = nobleSigningKey(new Uint8Array(32).fill(7))
  const world = await openWorld({ name: NAME, store: memoryLogStore(content), signingKey })
  const records: LogRecord[] = []
  const { environment } = world
  const inner = memoryLogStore(content)
  const broken = { isBroken: false }
  const store: LogStore = {
    ...inner,
    readNodes: (...args) =>
      broken.isBroken ? Promise.reject(new SealogError('ERR_STORE', 'an error of the disk')) : inner.readNodes(...args),
  }
  await store.open()
  const log = (record: LogRecord): void => void records.push(record)
  /** Of signatures by others than the relay. */
  const checks = { count: 0 }
  const verifier: SignatureVerifier = {
    ...nobleVerifier,
    verify: check => {
      if (!equalBytes(check.publicKey, signingKey.publicKey)) checks.count++
      return nobleVerifier.verify(check)
    },
  }
  const context = {
    name: NAME,
    signingKey,
    verifier,
    environment,
    store,
    limits,
    log,
    meter: NO_METER,
    gate: new Gate({ name: NAME, limits, environment, log, store }),
    turn: () => Promise.resolve(),
    acceptRollback: false,
  }
  const tiles = tileRequests(context, new SpaceRegistry(context))
  const hook = { address: '203.0.113.1' }
  const server = createServer((asked, response) => {
    if (!tiles(asked, response, hook.address)) response.writeHead(418).end()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const ask = (path: string, { method = 'GET', authorization, headers = {} }: Asking = {}): Promise<Reply> =>
    new Promise((resolve, reject) => {
      const all = { ...headers, ...(authorization === undefined ? {} : { authorization }) }
      const sent = request({ host: '127.0.0.1', port, path, method, headers: all }, response => {
        const chunks: Uint8Array[] = []
        response.on('data', chunk => chunks.push(chunk))
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: concat(...chunks) }),
        )
      })
      sent.on('error', reject)
      sent.end()
    })
  const relay = { name: NAME, key: signingKey.publicKey }
  const bearer = async (device: TestDevice, change: Partial<Right> = {}): Promise<string> => {
    const { space = world.space, expires = environment.now() + DAY, to = relay } = change
    return `Bearer ${await makeAuditCredential(to, space, expires, nobleSigningKey(device.seed))}`
  }
  return { world, content, broken, hook, records, ask, bearer, relay, checks }
}

interface Right {
  readonly space: SpaceId
  readonly expires: number
  readonly to: { readonly name: string; readonly key: Uint8Array }
}

/** So many more entries by the owner, 100 to a push. */
async function grow(world: World, replica: TestReplica, count: number): Promise<void> {
  for (let left = count; left > 0; left -= 100) {
    const entries = Array.from({ length: Math.min(100, left) }, () => pushEntryOf(world.entry(replica)))
    replica.send({ type: 'push', ref: replica.ref(), space: world.space, entries })
    await world.relay.deliverAll()
    await replica.follow(world.space)
  }
  expect(replica.rejects).toEqual([])
}

function leavesIn(bundle: Uint8Array): readonly Uint8Array[] {
  const leaves: Uint8Array[] = []
  for (let at = 0; at < bundle.length; ) {
    const length = (bundle[at] as number) * 256 + (bundle[at + 1] as number)
    leaves.push(bundle.subarray(at + 2, at + 2 + length))
    at += 2 + length
  }
  return leaves
}

function hashesIn(tile: Uint8Array): readonly Uint8Array[] {
  return Array.from({ length: tile.length / 32 }, (_, i) => tile.subarray(32 * i, 32 * i + 32))
}

/** What one and the same answer has in common, whenever it is given. */
function lasting({ status, headers: { date: _, ...headers }, body }: Reply): object {
  return { status, headers, body: toHex(body) }
}

describe('a log as static files', () => {
  test('leads from its leaves to the signed root, through tiles of hashes (R-TILES-1, R-TILES-2, R-TILES-3)', async () => {
    const { world, ask, bearer } = await served()
    const { space, owner } = world
    const replica = await world.reader()
    const authorization = await bearer(owner)
    for (const size of [2, 255, 256, 257, 300]) {
      await grow(world, replica, size - (replica.view?.range.size ?? 0))
      const signed = await ask(`/log/${space}/checkpoint`, { authorization })
      expect(signed.status).toBe(200)
      expect(signed.headers).toMatchObject({ 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' })
      const { checkpoint } = parseNote(signed.body)
      expect(checkpoint).toMatchObject({ origin: `${NAME}/${space}`, size })
      const leaves: Uint8Array[] = []
      for (let first = 0; first < size; first += 256) {
        const width = Math.min(256, size - first)
        const name = `00${first / 256}${width === 256 ? '' : `.p/${width}`}`
        const bundle = await ask(`/log/${space}/tile/entries/${name}`, { authorization })
        const tile = await ask(`/log/${space}/tile/0/${name}`, { authorization })
        for (const { headers } of [bundle, tile]) {
          expect(headers).toMatchObject({
            'content-type': 'application/octet-stream',
            'cache-control': 'private, max-age=31536000, immutable',
            vary: 'authorization',
          })
        }
        const entries = leavesIn(bundle.body)
        expect(entries).toHaveLength(width)
        expect(hashesIn(tile.body)).toEqual(entries.map(entryHash))
        leaves.push(...entries)
        const above = await ask(`/log/${space}/tile/1/000.p/${first / 256 + 1}`, { authorization })
        expect(above.status).toBe(width === 256 ? 200 : 404)
        if (width === 256) {
          const subtree = rootOf(appendLeaves(emptyRange, entries.map(entryHash)))
          expect(hashesIn(above.body).at(-1)).toEqual(subtree)
        }
      }
      expect(rootOf(appendLeaves(emptyRange, leaves.map(entryHash)))).toEqual(checkpoint.root)
    }
  })

  test('has what was signed and nothing beyond it; what a partial tile once was can be had for good (R-TILES-2)', async () => {
    const { world, ask, bearer } = await served()
    const { space, owner } = world
    const replica = await world.reader()
    await grow(world, replica, 299)
    const authorization = await bearer(owner)
    const status = async (path: string) => (await ask(`/log/${space}/${path}`, { authorization })).status
    for (const path of ['tile/0/000', 'tile/0/001.p/44', 'tile/entries/001.p/44', 'tile/1/000.p/1']) {
      expect(await status(path)).toBe(200)
    }
    for (const path of [
      ...['tile/0/001', 'tile/0/001.p/45', 'tile/entries/001', 'tile/entries/001.p/45', 'tile/entries/002.p/1'],
      ...['tile/1/000', 'tile/1/000.p/2', 'tile/2/000.p/1', 'tile/7/000.p/1', 'tile/63/000', 'tile/data/000', ''],
    ]) {
      expect(await status(path), path).toBe(404)
    }
    const full = await ask(`/log/${space}/tile/0/000`, { authorization })
    const part = await ask(`/log/${space}/tile/0/000.p/17`, { authorization })
    expect(part.body).toEqual(full.body.subarray(0, 17 * 32))
    expect(leavesIn((await ask(`/log/${space}/tile/entries/000.p/3`, { authorization })).body)).toHaveLength(3)
  })

  test('grows under its readers: whoever asks for more than this process knows gets it (R-TILES-2)', async () => {
    const { world, ask, bearer } = await served()
    const { space, owner } = world
    const replica = await world.reader()
    const authorization = await bearer(owner)
    expect((await ask(`/log/${space}/tile/0/000.p/11`, { authorization })).status).toBe(404)
    await grow(world, replica, 10)
    expect((await ask(`/log/${space}/tile/0/000.p/11`, { authorization })).status).toBe(200)
  })

  test('is read with HEAD too, is not sent again to who has it, and is not written to (R-TILES-4)', async () => {
    const { world, ask, bearer } = await served()
    const { space, owner } = world
    const authorization = await bearer(owner)
    for (const path of [`/log/${space}/checkpoint`, `/log/${space}/tile/0/000.p/1`]) {
      const whole = await ask(path, { authorization })
      const head = await ask(path, { authorization, method: 'HEAD' })
      expect(lasting(head)).toEqual({ ...lasting(whole), body: '' })
      expect(head.headers['content-length']).toBe(`${whole.body.length}`)
      const { etag = '' } = whole.headers
      for (const tags of [etag, `"other", ${etag}`, `W/${etag}`, '*']) {
        const again = await ask(path, { authorization, headers: { 'if-none-match': tags } })
        expect(again).toMatchObject({ status: 304, headers: { etag }, body: new Uint8Array(0) })
      }
      expect((await ask(path, { authorization, headers: { 'if-none-match': '"other"' } })).body).toEqual(whole.body)
      for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
        expect(await ask(path, { authorization, method })).toMatchObject({
          status: 405,
          headers: { allow: 'GET, HEAD' },
        })
      }
    }
    const elsewhere = await ask('/logs', { authorization })
    expect(elsewhere.status).toBe(418)
  })
})

describe('whoever has no right', () => {
  test('learns nothing, not even whether there is such a space (R-TILES-5, R-TILES-6)', async () => {
    const { world, ask, bearer, relay } = await served()
    const { space, owner, environment } = world
    const { random } = environment
    const stranger = makeDevice(random)
    const replica = await world.reader()
    const joined = await admit(world, replica)
    expect((await ask(`/log/${space}/checkpoint`, { authorization: await bearer(joined) })).status).toBe(200)
    const unknown = 'cd'.repeat(32) as SpaceId
    const good = await bearer(owner)
    const now = environment.now()
    const to = (change: object) => bearer(owner, { to: { ...relay, ...change } })
    const cases: readonly (readonly [string, SpaceId, string | undefined])[] = [
      ['no credential', space, undefined],
      ['no bearer', space, good.replace('Bearer', 'Basic')],
      ['no token', space, 'Bearer '],
      ['two tokens', space, `${good} ${good}`],
      ['rubbish', space, 'Bearer rubbish'],
      ['a long one', space, `Bearer ${'A'.repeat(10_000)}`],
      ['one bit', space, `${good.slice(0, -8)}${good.at(-8) === 'A' ? 'B' : 'A'}${good.slice(-7)}`],
      ['expired', space, await bearer(owner, { expires: now })],
      ['for too long', space, await bearer(owner, { expires: now + 92 * DAY })],
      ['for another space', space, await bearer(owner, { space: unknown })],
      ['for another relay', space, await to({ name: 'relay.elsewhere' })],
      ['for another key', space, await to({ key: nobleSigningKey(generateSeed(random)).publicKey })],
      ['by a stranger', space, await bearer(stranger)],
      ['of an unknown space', unknown, await bearer(owner, { space: unknown })],
      ['of an unknown space, without a credential', unknown, undefined],
    ]
    const expected = lasting(await ask(`/log/${space}/checkpoint`))
    expect(expected).toMatchObject({ status: 401, headers: { 'www-authenticate': 'Bearer realm="sealog"' } })
    for (const [why, id, authorization] of cases) {
      for (const path of ['checkpoint', 'tile/0/000.p/1', 'tile/entries/999', 'nothing', '']) {
        expect(lasting(await ask(`/log/${id}/${path}`, { authorization })), why).toEqual(expected)
      }
    }
    for (const path of ['/log/', '/log/abc/checkpoint', `/log/${space}`, `/log/${space.toUpperCase()}/checkpoint`]) {
      expect(lasting(await ask(path, { authorization: good })), path).toEqual(expected)
    }
    // Nor does an address carry the right.
    const inAddress = await ask(`/log/${space}/checkpoint?authorization=${encodeURIComponent(good)}`)
    expect(lasting(inAddress)).toEqual(expected)
  })

  test('is who was removed, and who is only invited: at once, though the credential has not expired (R-TILES-5)', async () => {
    const { world, ask, bearer } = await served()
    const { space, owner, environment, relay, genesis } = world
    const replica = await world.reader()
    const joined = await admit(world, replica)
    const authorization = await bearer(joined)
    const status = async (right: string) => (await ask(`/log/${space}/tile/0/000.p/1`, { authorization: right })).status
    expect(await status(authorization)).toBe(200)
    replica.push(
      space,
      authorControl(
        environment.random,
        owner,
        genesis.hash,
        { type: 'remove-device', time: 0, device: joined.number },
        { seen: replica.seen, epoch: replica.epoch },
      ),
    )
    await relay.deliverAll()
    await replica.follow(space)
    expect(await status(authorization)).toBe(401)
    const guest = makeDevice(environment.random, replica.view?.state?.control.count ?? 0)
    const { epoch } = replica
    replica.push(space, authorInvite(environment.random, owner, genesis.hash, guest, { seen: replica.seen, epoch }))
    await relay.deliverAll()
    expect(await status(await bearer(guest))).toBe(401)
    expect(await status(await bearer(owner))).toBe(200)
  })

  test('does not have its signature verified twice in vain: good credentials are known, bad ones are not kept', async () => {
    const { world, ask, bearer, checks } = await served()
    const { space, owner } = world
    const authorization = await bearer(owner)
    const path = `/log/${space}/tile/0/000.p/1`
    expect((await ask(path, { authorization })).status).toBe(200)
    const { count } = checks
    for (let i = 0; i < 5; i++) expect((await ask(path, { authorization })).status).toBe(200)
    expect(checks.count).toBe(count)
    const forged = `${authorization.slice(0, -8)}AAAAAAAA`
    for (let i = 0; i < 3; i++) expect((await ask(path, { authorization: forged })).status).toBe(401)
    expect(checks.count).toBe(count + 3)
  })

  test('pays for what is brought into memory for it, with a right or without (R-QUOTA-6)', async () => {
    // About three times what a small space takes; none stays in memory.
    const { world, hook, ask, bearer } = await served({ loadBytesPerAddress: 60_000, burstTime: 1000, idleSpaces: 0 })
    const { space, owner, environment } = world
    const path = `/log/${space}/tile/0/000.p/1`
    const stranger = await bearer(makeDevice(environment.random))
    hook.address = '203.0.113.7'
    const statuses: number[] = []
    for (let i = 0; i < 6; i++) statuses.push((await ask(path, { authorization: stranger })).status)
    expect([...new Set(statuses)]).toEqual([401, 429])
    const authorization = await bearer(owner)
    expect((await ask(path, { authorization })).status).toBe(429)
    hook.address = '203.0.113.8'
    expect((await ask(path, { authorization })).status).toBe(200)
    hook.address = '203.0.113.7'
    environment.advance(2000)
    expect((await ask(path, { authorization })).status).toBe(200)
  })

  test('is soon told to wait, by address; whoever has a right is not (R-TILES-7)', async () => {
    const { world, hook, ask, bearer } = await served({ failuresPerAddress: 1 })
    const { space, owner } = world
    const path = `/log/${space}/tile/0/000.p/1`
    hook.address = '203.0.113.7'
    const statuses = new Set<number>()
    for (let i = 0; i < 30; i++) statuses.add((await ask(path)).status)
    expect(statuses).toEqual(new Set([401, 429]))
    const refused = await ask(path)
    expect(refused.headers['retry-after']).toMatch(/^[1-9][0-9]*$/)
    hook.address = '203.0.113.8'
    const authorization = await bearer(owner)
    for (let i = 0; i < 30; i++) expect((await ask(path, { authorization })).status).toBe(200)
  })
})

describe('a relay that cannot answer', () => {
  test('because its store fails says so, and when to come again (R-TILES-7)', async () => {
    const { world, ask, bearer, broken } = await served()
    const { space, owner } = world
    const authorization = await bearer(owner)
    const path = `/log/${space}/tile/0/000.p/1`
    expect((await ask(path, { authorization })).status).toBe(200)
    broken.isBroken = true
    const failed = await ask(path, { authorization })
    expect(failed.status).toBe(503)
    expect(failed.headers).toMatchObject({ 'cache-control': 'no-store', 'retry-after': expect.stringMatching(/^\d+$/) })
    expect((await ask(path)).status).toBe(401)
    broken.isBroken = false
    expect((await ask(path, { authorization })).status).toBe(200)
  })

  test('because it has lost entries shows nothing of that log (R-RESTORE-3)', async () => {
    const { world, ask, bearer, content } = await served()
    const { space, owner } = world
    const replica = await world.reader()
    await grow(world, replica, 9)
    const authorization = await bearer(owner)
    const path = `/log/${space}/tile/0/000.p/1`
    expect((await ask(path, { authorization })).status).toBe(200)
    content.spaces.get(space)?.entries.splice(5)
    // It finds out at once, and reads the space anew a little later.
    await ask(path, { authorization })
    world.environment.advance(5000)
    for (const each of [path, `/log/${space}/checkpoint`]) {
      const refused = await ask(each, { authorization })
      expect(refused.status).toBeOneOf([401, 503])
      expect(refused.headers['content-type']).toBe('application/json')
    }
  })
})
