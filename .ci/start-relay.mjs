// A relay process of the built package, on a free port of this machine.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fail, PROJECT } from './lib.mjs'

const HOST = '127.0.0.1'
/** How long the relay may take to answer, and to end, in milliseconds. */
const PATIENCE = 10_000

async function freePort() {
  const server = createServer().listen(0, HOST)
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

function answers(port) {
  return new Promise(resolve => {
    const socket = connect(port, HOST)
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

/** @param data folder of the relay's data; created */
export async function startRelay(data) {
  mkdirSync(data, { recursive: true })
  const port = await freePort()
  const args = ['--data', data, '--port', String(port), '--name', 'relay.example']
  const command = join(PROJECT, 'relay-server/bin/sealog-relay.js')
  const child = spawn(process.execPath, [command, ...args], { stdio: ['ignore', 'ignore', 'inherit'] })
  const ended = once(child, 'exit')
  // A check that fails in between must not leave it running.
  process.once('exit', () => child.kill('SIGKILL'))
  for (const deadline = Date.now() + PATIENCE; !(await answers(port)); await delay(50)) {
    if (child.exitCode !== null) fail(`the relay ended with code ${child.exitCode} before it answered`)
    if (Date.now() > deadline) {
      child.kill('SIGKILL')
      fail(`the relay does not answer on port ${port}`)
    }
  }
  return {
    url: `ws://${HOST}:${port}`,
    stop: async () => {
      child.kill('SIGTERM')
      const forced = setTimeout(() => child.kill('SIGKILL'), PATIENCE)
      await ended
      clearTimeout(forced)
    },
  }
}
