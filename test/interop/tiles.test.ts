import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type RelayServer, startRelay } from 'sealog-relay'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import { openReplica } from '../../src/node.ts'
import type { Replica } from '../../src/replica.ts'
import type { Space } from '../../src/space.ts'
import type { AuditAccess } from '../../src/space-audit.ts'
import type { SpaceDocument } from '../../src/space-document.ts'
import { parseNote } from '../../src/verify/checkpoint.ts'

const PROGRAM = fileURLToPath(new URL('./tiles.go', import.meta.url))
/** Where Debian's golang-golang-x-mod-dev puts its sources. */
const GOPATH = '/usr/share/gocode'
const PACKAGES = join(GOPATH, 'src/golang.org/x/mod/sumdb')
const REQUIRED = (process.env.SEALOG_REQUIRE ?? '').split(',').includes('go')
const DOCUMENTS = 24

function missing(): string | undefined {
  if (spawnSync('go', ['version']).status !== 0) return 'go is not installed (Debian: golang-go)'
  return existsSync(PACKAGES) ? undefined : `${PACKAGES} is missing (Debian: golang-golang-x-mod-dev)`
}

interface Counter {
  count: number
}

describe('an auditor that is not ours (R-TILES-1, R-TILES-2, R-TILES-3)', () => {
  const lack = missing()
  if (lack !== undefined) {
    it(`needs Go: ${lack}`, context => {
      if (REQUIRED) throw new Error(lack)
      context.skip(lack)
    })
    return
  }

  const folder = mkdtempSync(join(tmpdir(), 'sealog-tiles-'))
  const auditor = join(folder, 'auditor')
  let relay: RelayServer
  let replica: Replica
  let space: Space
  let access: AuditAccess
  let other: AuditAccess
  const documents: SpaceDocument<Counter>[] = []
  const proxy = tamperingProxy()

  async function grow(rounds: number): Promise<void> {
    for (let round = 0; round < rounds; round++) {
      for (const document of documents) document.change(doc => void doc.count++)
      await space.sync()
    }
  }

  async function keepCheckpoint(name: string, { url, authorization }: AuditAccess): Promise<string> {
    const response = await fetch(`${url}/checkpoint`, { headers: { authorization } })
    expect(response.status).toBe(200)
    writeFileSync(join(folder, name), new Uint8Array(await response.arrayBuffer()))
    return join(folder, name)
  }

  /** What the auditor prints, and its status. */
  function audit(through: Partial<AuditAccess>, ...earlier: readonly string[]): Promise<string> {
    const { url, authorization, verifierKey } = { ...access, ...through }
    return new Promise((resolve, reject) => {
      const child = spawn(auditor, [url, authorization, verifierKey, ...earlier], { timeout: 30_000 })
      let output = ''
      child.stdout.on('data', chunk => {
        output += chunk
      })
      child.on('error', reject)
      child.on('close', code => resolve(`${code} ${output}`))
    })
  }

  beforeAll(async () => {
    const env = { ...process.env, GO111MODULE: 'off', GOPATH, GOFLAGS: '', GOCACHE: join(folder, 'cache') }
    execFileSync('go', ['build', '-o', auditor, PROGRAM], { env })
    relay = await startRelay({ data: join(folder, 'data'), port: 0, name: 'relay.example' })
    replica = await openReplica({ store: memoryStore(), relay: relay.url })
    space = await replica.createSpace({ name: 'Field notes' })
    for (let i = 0; i < DOCUMENTS; i++) documents.push(await space.createDocument<Counter>({ count: 0 }))
    await space.sync()
    const elsewhere = await replica.createSpace({ name: 'Elsewhere' })
    await elsewhere.createDocument({ title: 'Elsewhere' })
    await elsewhere.sync()
    access = await space.auditAccess()
    other = await elsewhere.auditAccess({ expiresIn: 60_000 })
    await proxy.start(relay.url.replace('ws:', 'http:'))
  }, 180_000)

  afterAll(async () => {
    await replica?.close()
    await relay?.close()
    proxy.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  it('verifies every record of a growing log, and that it only grows, with nothing but what a member gave it', async () => {
    const first = await keepCheckpoint('first', access)
    expect(await audit({})).toMatch(/^0 audited \d+/)
    await grow(12)
    const second = await keepCheckpoint('second', access)
    const { size } = parseNote((await headOf(access)).note).checkpoint
    expect(size).toBeGreaterThan(256)
    expect(await audit({}, first, second)).toBe(`0 audited ${size}\n`)
    expect(await audit({ url: proxy.through(access) }, first)).toBe(`0 audited ${size}\n`)
  }, 60_000)

  it.each([
    ['a tile of leaf hashes', /\/tile\/0\/000$/, 4000],
    ['the partial tile at the end', /\/tile\/0\/001\.p\//, 5],
    ['a tile above', /\/tile\/1\//, 31],
    ['an entry', /\/tile\/entries\/000$/, 1000],
    ['the length of an entry', /\/tile\/entries\/001\.p\//, 1],
    ['the checkpoint', /\/checkpoint$/, 110],
  ])('refuses one flipped bit in %s', async (_what, path, at) => {
    proxy.tamper = (asked, body) => (path.test(asked) ? body.with(at, (body[at] as number) ^ 4) : body)
    expect(await audit({ url: proxy.through(access) })).toMatch(/^1 refused/)
    proxy.tamper = undefined
    expect(await audit({ url: proxy.through(access) })).toMatch(/^0 audited/)
  })

  it('refuses a log that is none of the one that it saw before, or shorter', async () => {
    const foreign = await keepCheckpoint('foreign', other)
    expect(await audit({}, foreign)).toMatch(/^1 refused/)
    const before = await headOf(access)
    await grow(1)
    const later = await keepCheckpoint('later', access)
    expect(await audit({}, later)).toMatch(/^0 audited/)
    proxy.tamper = (asked, body) => (asked.endsWith('/checkpoint') ? before.note : body)
    expect(await audit({ url: proxy.through(access) }, later)).toBe('1 refused: the log has become shorter\n')
    proxy.tamper = undefined
  })

  it('gets nothing without a right, nor with that for another space (R-TILES-5)', async () => {
    expect(await audit({ authorization: '' })).toMatch(/^1 refused: checkpoint: 401/)
    expect(await audit({ authorization: other.authorization })).toMatch(/^1 refused: checkpoint: 401/)
    expect(await audit({ ...other, verifierKey: access.verifierKey })).toMatch(/^1 refused/)
    expect(await audit(other)).toMatch(/^0 audited/)
  })
})

async function headOf({ url, authorization }: AuditAccess): Promise<{ note: Uint8Array }> {
  const response = await fetch(`${url}/checkpoint`, { headers: { authorization } })
  return { note: new Uint8Array(await response.arrayBuffer()) }
}

/** Passes requests on to a relay, and may change what comes back. */
function tamperingProxy() {
  let target = ''
  const server: Server = createServer(async ({ url = '', headers: { authorization = '' } }, response) => {
    const answer = await fetch(target + url, { headers: { authorization } })
    const body = new Uint8Array(await answer.arrayBuffer())
    response.writeHead(answer.status).end(proxy.tamper?.(url, body) ?? body)
  })
  const proxy = {
    tamper: undefined as ((path: string, body: Uint8Array) => Uint8Array) | undefined,
    async start(to: string): Promise<void> {
      target = to
      await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    },
    /** The address of the same log, by way of this proxy. */
    through({ url }: AuditAccess): string {
      const { port } = server.address() as AddressInfo
      return `http://127.0.0.1:${port}${new URL(url).pathname}`
    },
    stop(): void {
      server.closeAllConnections()
      server.close()
    },
  }
  return proxy
}
