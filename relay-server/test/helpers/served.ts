import { mkdtempSync, rmSync } from 'node:fs'
import { type RequestOptions, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SpaceId } from 'sealog/protocol'
import { onTestFinished } from 'vitest'
import { WebSocket } from 'ws'
import { nodeWebSocketTransport } from '../../../src/relay/websocket-node.ts'
import { type RelayServer, startRelay } from '../../src/server.ts'
import type { RelayServerOptions } from '../../src/server-options.ts'
import { type Authored, author, authorGenesis, makeDevice, spaceOf, type TestDevice } from './authoring.ts'
import { testEnvironment } from './environment.ts'
import { TestReplica, until } from './replica.ts'

/** A folder that goes with the test. */
export function dataFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sealog-test-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A relay that stops with the test. */
export async function started(options: Partial<RelayServerOptions> = {}): Promise<RelayServer> {
  const relay = await startRelay({ data: dataFolder(), port: 0, name: 'relay.example', ...options })
  onTestFinished(() => relay.close())
  return relay
}

/** A connection that has been greeted. */
export async function connected(relay: RelayServer): Promise<TestReplica> {
  const replica = new TestReplica(nodeWebSocketTransport(), relay.url)
  await until(() => replica.messages.length > 0 || replica.isClosed, 'welcome')
  return replica
}

export interface Populated {
  readonly owner: TestDevice
  readonly genesis: Authored
  readonly space: SpaceId
  readonly replica: TestReplica
  /** The owner's next entry. */
  write(): Authored
}

/** A space on this relay, and its owner's connection, which has it open. */
export async function populated(relay: RelayServer): Promise<Populated> {
  const { random } = testEnvironment()
  const owner = makeDevice(random)
  const genesis = authorGenesis(random, owner, relay)
  const space = spaceOf(genesis)
  const replica = await connected(relay)
  replica.push(space, genesis)
  replica.open(space, owner)
  await until(() => replica.syncs.length > 0, 'the space')
  await replica.follow(space)
  const write = () => author(random, owner, genesis.hash, { seen: replica.seen })
  return { owner, genesis, space, replica, write }
}

/** A WebSocket that speaks no protocol. */
export async function raw(relay: RelayServer): Promise<{ socket: WebSocket; closed: Promise<number> }> {
  const socket = new WebSocket(relay.url)
  const closed = new Promise<number>(resolve => socket.on('close', resolve))
  socket.on('error', () => {})
  await new Promise(resolve => socket.on('open', resolve))
  return { socket, closed }
}

export interface Fetched {
  readonly status: number
  readonly body: string
}

/** @param url of `http:` or `ws:` */
export function get(url: string, path: string, options: RequestOptions = {}): Promise<Fetched> {
  return new Promise((resolve, reject) => {
    const sent = request(url.replace('ws:', 'http:') + path, options, response => {
      let body = ''
      response.on('data', chunk => {
        body += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
    })
    sent.on('error', reject)
    sent.end()
  })
}
