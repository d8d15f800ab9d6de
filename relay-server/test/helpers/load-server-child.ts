// A relay in a process of its own, so that its memory can be measured: asked by IPC, it reports.
import { type RelayServer, startRelay } from '../../src/server.ts'

export interface ServerReport {
  readonly url: string
  readonly port: number
  readonly name: string
  /** Hex. */
  readonly key: string
  /** Open TCP connections. */
  readonly sockets: number
  /** After a collection: what objects and buffers take, in bytes. */
  readonly held: number
  /** What the process takes, in bytes, now and at most since the last report. */
  readonly resident: number
  readonly peak: number
}

const SAMPLE_EVERY = 25

const [data = '', limits = '{}'] = process.argv.slice(2)
const relay: RelayServer = await startRelay({ data, port: 0, name: 'relay.test', limits: JSON.parse(limits) })
let peak = 0
setInterval(() => {
  peak = Math.max(peak, process.memoryUsage.rss())
}, SAMPLE_EVERY)

function report(): void {
  globalThis.gc?.()
  const { heapUsed, external, rss } = process.memoryUsage()
  const sockets = process.getActiveResourcesInfo().filter(name => name === 'TCPSocketWrap').length
  const { url, port, name, key } = relay
  const told: ServerReport = {
    url,
    port,
    name,
    key: Buffer.from(key).toString('hex'),
    sockets,
    held: heapUsed + external,
    resident: rss,
    peak: Math.max(peak, rss),
  }
  peak = 0
  process.send?.(told)
}

process.on('message', report)
process.on('disconnect', () => process.exit())
report()
