import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { fromHex, type PinnedRelay } from 'sealog/protocol'
import type { HostReport } from './relay-process.ts'
import type { StorePlace } from './relay-stores.ts'

/** A relay in a process of its own. */
export interface Host {
  readonly url: string
  readonly relay: PinnedRelay
  measure(): Promise<HostReport>
  stop(): Promise<void>
}

/** @param data folder with its key; several processes of one relay share it, and the store */
export async function startHost(data: string, place: StorePlace): Promise<Host> {
  const program = fileURLToPath(new URL('./relay-process.js', import.meta.url))
  const args = ['--data', data, '--place', JSON.stringify(place)]
  const child = fork(program, args, { execArgv: ['--expose-gc'] })
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`the relay ended with code ${code}`)
  })
  ended.catch(() => {})
  const next = async (): Promise<HostReport> => {
    const message = once(child, 'message').then(([report]) => report as HostReport)
    return Promise.race([message, ended])
  }
  const { url, name, key } = await next()
  return {
    url,
    relay: { name, key: fromHex(key) },
    measure() {
      const report = next()
      child.send({})
      return report
    },
    async stop() {
      child.disconnect()
      await ended.catch(() => {})
    },
  }
}
