import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  accessSync,
  appendFileSync,
  chownSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Client, type QueryResult } from 'pg'

const run = promisify(execFile)
const USER = 'sealog'
/** For a start, recovery after a crash included, in milliseconds. */
const START_TIMEOUT = 60_000

/** A PostgreSQL server of one's own, on this machine, which may be stopped in any manner and started again. */
export interface PostgresCluster {
  /** Of the database `postgres`, as superuser; the same for as long as the cluster lives. */
  readonly url: string
  /** @returns the URL of a new, empty database */
  createDatabase(): Promise<string>
  /** One statement on a connection of its own. */
  query(text: string, values?: readonly unknown[], url?: string): Promise<QueryResult>
  /**
   * Copies a schema with PostgreSQL's own tools, as operators do.
   * @returns puts the copy in its place
   */
  dump(schema: string): Promise<() => Promise<void>>
  /**
   * `fast` ends the connections and writes everything out; `immediate` is as a crash of the machine: what follows is a
   * recovery. Does nothing where it does not run.
   */
  stop(mode: 'fast' | 'immediate'): Promise<void>
  /** Waits until connections are taken. Does nothing where it runs. */
  start(): Promise<void>
}

/** The folder of PostgreSQL's programs: `PG_BIN`, else the newest of the system, else by `PATH`; undefined without. */
export function postgresPrograms(): string | undefined {
  const { PG_BIN, PATH = '' } = process.env
  if (PG_BIN !== undefined && PG_BIN !== '') return PG_BIN
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : []
  const folders = [...versions.map(version => join(debian, version, 'bin')), ...PATH.split(delimiter)]
  return folders.find(folder => isExecutable(join(folder, 'initdb')) && isExecutable(join(folder, 'postgres')))
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Makes a cluster in `folder` and starts it. @param folder empty or not there yet, below what every user can reach */
export async function startCluster(folder: string): Promise<PostgresCluster> {
  const cluster = postgresCluster(folder)
  await cluster.start()
  return cluster
}

/** A cluster that its first `start` makes, in a folder that is empty or not there yet. It ends with this process at the latest. */
export function postgresCluster(folder: string): PostgresCluster {
  const programs = postgresPrograms()
  if (programs === undefined) throw new Error('PostgreSQL is not installed: set PG_BIN to the folder of its programs')
  const data = join(folder, 'data')
  const log = join(folder, 'log')
  const password = randomBytes(16).toString('hex')
  const user = unprivilegedUser()
  let port: number | undefined
  let databases = 0
  let server: ChildProcess | undefined

  const urlOf = (database: string): string => {
    if (port === undefined) throw new Error('the cluster was never started')
    return `postgres://${USER}:${password}@127.0.0.1:${port}/${database}`
  }

  async function initialise(): Promise<void> {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    if (user !== undefined) chownSync(folder, user.uid, user.gid)
    const passwordFile = join(folder, 'password')
    writeFileSync(passwordFile, password)
    const how = ['--no-sync', '--encoding=UTF8', '--locale=C', '--auth=scram-sha-256', `--pwfile=${passwordFile}`]
    execFileSync(join(programs as string, 'initdb'), ['-D', data, '-U', USER, ...how], { ...user, stdio: 'pipe' })
    const settings = [
      `listen_addresses = '127.0.0.1'`,
      `unix_socket_directories = ''`,
      'shared_buffers = 64MB',
      'fsync = on',
      // Counts as durable only what would be after a loss of power.
      'synchronous_commit = on',
      'max_connections = 200',
    ]
    appendFileSync(join(data, 'postgresql.conf'), `${settings.join('\n')}\n`)
  }

  /** @returns whether it takes connections; if not, it has ended */
  async function launch(): Promise<boolean> {
    const args = ['-D', data, '-p', String(port)]
    const child = spawn(join(programs as string, 'postgres'), args, { ...user, stdio: ['ignore', 'ignore', 'pipe'] })
    child.stderr?.on('data', (chunk: Uint8Array) => appendFileSync(log, chunk))
    const deadline = performance.now() + START_TIMEOUT
    while (child.exitCode === null && child.signalCode === null) {
      if (isReady(data, child.pid)) {
        server = child
        process.on('exit', killServer)
        return true
      }
      if (performance.now() > deadline) {
        child.kill('SIGKILL')
        throw new Error(`PostgreSQL did not start within ${START_TIMEOUT} ms:\n${endOf(log)}`)
      }
      await sleep(20)
    }
    return false
  }

  function killServer(): void {
    server?.kill('SIGQUIT')
  }

  async function query(text: string, values: readonly unknown[] = [], url = urlOf('postgres')): Promise<QueryResult> {
    const client = new Client({ connectionString: url })
    // Said to whoever waits for the answer already.
    client.on('error', () => {})
    await client.connect()
    try {
      return await client.query(text, [...values])
    } finally {
      await client.end()
    }
  }

  return {
    get url() {
      return urlOf('postgres')
    },
    async createDatabase() {
      const name = `test_${++databases}`
      await query(`CREATE DATABASE ${name}`)
      return urlOf(name)
    },
    query,
    async dump(schema) {
      const copy = join(folder, `${schema}.dump`)
      const program = (name: string): string => join(programs as string, name)
      await run(program('pg_dump'), ['-d', urlOf('postgres'), '-n', schema, '-Fc', '-f', copy])
      return async () => {
        await query(`DROP SCHEMA ${schema} CASCADE`)
        await run(program('pg_restore'), ['-d', urlOf('postgres'), '-e', copy])
      }
    },
    async stop(mode) {
      const child = server
      if (child === undefined) return
      server = undefined
      process.off('exit', killServer)
      const ended = once(child, 'exit')
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill(mode === 'fast' ? 'SIGINT' : 'SIGQUIT')
      await ended
    },
    async start() {
      if (server !== undefined && server.exitCode === null && server.signalCode === null) return
      if (port !== undefined) {
        if (await launch()) return
        throw new Error(`PostgreSQL did not start again:\n${endOf(log)}`)
      }
      await initialise()
      for (let attempt = 0; attempt < 3; attempt++) {
        // Somebody else may take it before the server does.
        port = await freePort()
        if (await launch()) return
      }
      port = undefined
      throw new Error(`PostgreSQL did not start:\n${endOf(log)}`)
    },
  }
}

/** The server refuses to run as root. */
function unprivilegedUser(): { readonly uid: number; readonly gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined
  const users = new Map(
    readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .map(line => line.split(':'))
      .map(([name, , uid, gid]) => [name, { uid: Number(uid), gid: Number(gid) }]),
  )
  const user = users.get('postgres') ?? users.get('nobody')
  if (user === undefined) throw new Error('PostgreSQL does not run as root, and there is no user postgres or nobody')
  return user
}

/** The server says in its lock file, on line 8, what state it is in. */
function isReady(data: string, pid: number | undefined): boolean {
  const file = join(data, 'postmaster.pid')
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : []
  return lines[0] === String(pid) && lines[7]?.trim() === 'ready'
}

function endOf(log: string): string {
  return existsSync(log) ? readFileSync(log, 'utf8').slice(-2000) : ''
}

async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
