import { type ChildProcess, execSync, fork } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { fromHex, type SpaceId, toHex } from 'sealog/protocol'
import { build } from 'vite'
import { nodeWebSocketTransport } from '../../../src/relay/websocket-node.ts'
import { type Limits, NO_QUOTAS } from '../../src/limits.ts'
import { type Authored, author, authorGenesis, type EntryOptions, makeDevice, spaceOf } from './authoring.ts'
import { testEnvironment } from './environment.ts'
import type { ClientsCommand, ClientsReport } from './load-clients-child.ts'
import type { LoadSpace } from './load-reader.ts'
import type { ServerReport } from './load-server-child.ts'
import { TestReplica } from './replica.ts'

const PROJECT = fileURLToPath(new URL('../../..', import.meta.url))
/** Descriptors that a process needs besides its connections. */
const OTHER_FILES = 200

/** None of the quotas that keep one address, device or space from taking everything: here it is meant to. */
const LIMITS: Partial<Limits> = { ...NO_QUOTAS, sockets: 20_000, unauthenticatedSockets: 20_000 }

/** As many connections as were asked for, or as the system gives to one process. */
export function affordable(sockets: number): number {
  const limit = execSync('ulimit -n', { shell: '/bin/sh', encoding: 'utf8' }).trim()
  return limit === 'unlimited' ? sockets : Math.min(sockets, Number(limit) - OTHER_FILES)
}

/** The programs of this folder that end in `-child`, each as one file for plain Node. */
export interface LoadPrograms {
  readonly folder: string
  remove(): void
}

export async function bundlePrograms(): Promise<LoadPrograms> {
  const parent = join(PROJECT, 'build')
  mkdirSync(parent, { recursive: true })
  const outDir = mkdtempSync(join(parent, 'test-load-'))
  const inputs = ['load-server-child', 'load-clients-child']
  await build({
    configFile: false,
    root: PROJECT,
    logLevel: 'error',
    resolve: { alias: { 'sealog/protocol': join(PROJECT, 'src/protocol.ts') } },
    build: {
      ssr: true,
      outDir,
      target: 'node20',
      minify: false,
      rollupOptions: { input: inputs.map(name => join(PROJECT, `relay-server/test/helpers/${name}.ts`)) },
    },
  })
  return { folder: outDir, remove: () => rmSync(outDir, { recursive: true, force: true }) }
}

/** A space whose owner is connected. */
export interface LoadWriter extends LoadSpace {
  readonly replica: TestReplica
  /** The next entries of the owner. */
  write(options?: EntryOptions): Authored
}

/** A relay and its clients, each in a process of its own. */
export interface LoadWorld {
  /** The relay's memory and sockets. */
  measure(): Promise<ServerReport>
  clients(command: ClientsCommand): Promise<ClientsReport>
  /** Creates a space; its owner is connected from this process. */
  space(): Promise<LoadWriter>
  readonly port: number
  stop(): Promise<void>
}

export async function startWorld(programs: LoadPrograms, limits: Partial<Limits> = {}): Promise<LoadWorld> {
  fault = undefined
  const data = mkdtempSync(join(tmpdir(), 'sealog-load-'))
  const args = [data, JSON.stringify({ ...LIMITS, ...limits })]
  const server = started<unknown, ServerReport>(programs, 'load-server-child', args)
  const clients = started<ClientsCommand, ClientsReport>(programs, 'load-clients-child', [])
  const { url, port, name, key } = await server.next()
  const { random } = testEnvironment(Date.now())
  const relay = { name, key: fromHex(key) }

  async function space(): Promise<LoadWriter> {
    const owner = makeDevice(random)
    const genesis = authorGenesis(random, owner, relay)
    const id: SpaceId = spaceOf(genesis)
    const replica = new TestReplica(nodeWebSocketTransport(), url)
    await patiently(() => replica.messages.length > 0)
    replica.push(id, genesis)
    replica.open(id, owner)
    await patiently(() => replica.syncs.length > 0)
    await replica.follow(id)
    const write = (options: EntryOptions = {}): Authored =>
      author(random, owner, genesis.hash, { seen: replica.seen, ...options })
    return { space: id, seed: toHex(owner.seed), replica, write }
  }

  return {
    port,
    measure: () => server.ask({}),
    clients: command => clients.ask(command),
    space,
    async stop() {
      await Promise.all([clients.end(), server.end()])
      rmSync(data, { recursive: true, force: true })
    },
  }
}

/** A program that ended although nobody told it to. */
let fault: Error | undefined

/** Waits for something that takes its time on a busy machine; the test's own timeout ends it. */
export async function patiently(condition: () => boolean): Promise<void> {
  while (!condition()) {
    if (fault !== undefined) throw fault
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

interface Program<Command, Report> {
  ask(command: Command): Promise<Report>
  next(): Promise<Report>
  end(): Promise<void>
}

function started<Command, Report>(
  { folder }: LoadPrograms,
  name: string,
  args: readonly string[],
): Program<Command, Report> {
  const child: ChildProcess = fork(join(folder, `${name}.js`), args, { execArgv: ['--expose-gc'] })
  let isEnding = false
  const ended = new Promise<Error>(resolve => {
    child.once('exit', code => {
      const error = new Error(`${name} ended with code ${code}`)
      if (!isEnding) fault = error
      resolve(error)
    })
  })
  const next = (): Promise<Report> =>
    new Promise((resolve, reject) => {
      child.once('message', message => resolve(message as Report))
      void ended.then(reject)
    })
  return {
    next,
    ask(command) {
      const answer = next()
      child.send(command as object)
      return answer
    },
    async end() {
      isEnding = true
      if (child.connected) child.disconnect()
      await ended
    },
  }
}

export function megabytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MB`
}
