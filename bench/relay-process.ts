// A relay in a process of its own, which says by IPC where it listens, and what it takes of memory when it is asked.
import { parseArgs } from 'node:util'
import { startRelay } from 'sealog-relay'
import { BENCH_LIMITS } from './relay-quotas.ts'
import { type StorePlace, storeAt } from './relay-stores.ts'

/** What a relay in a process of its own tells. */
export interface HostReport {
  readonly url: string
  readonly name: string
  /** Public key of its checkpoints, in hex. */
  readonly key: string
  /** After a collection: what objects and buffers take, in bytes. */
  readonly held: number
  /** What the process takes, in bytes. */
  readonly resident: number
}

const { values } = parseArgs({ options: { data: { type: 'string' }, place: { type: 'string' } } })
const place = JSON.parse(values.place ?? '') as StorePlace
const relay = await startRelay({
  data: values.data ?? '',
  store: storeAt(place),
  port: 0,
  name: 'relay.test',
  limits: BENCH_LIMITS,
})

function report(): void {
  globalThis.gc?.()
  const { heapUsed, external, rss } = process.memoryUsage()
  const { url, name, key } = relay
  const told: HostReport = {
    url,
    name,
    key: Buffer.from(key).toString('hex'),
    held: heapUsed + external,
    resident: rss,
  }
  process.send?.(told)
}

process.on('message', report)
process.on('disconnect', () => void relay.close().then(() => process.exit()))
report()
