import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { ErrorCode, ReplicaMessage } from 'sealog/protocol'
import type { Meter } from './meter.ts'

/** A meter that Prometheus can read. */
export interface PrometheusMeter extends Meter {
  /** The text format of Prometheus, version 0.0.4. */
  expose(): Promise<string>
  readonly contentType: string
}

/** From a tenth of a millisecond, as in memory, to ten seconds, as on a disk that is busy. In seconds. */
const APPEND_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const REQUEST_SECONDS = [0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
const GROUP_ENTRIES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]

/**
 * Counts into a registry of its own, so that several relays in one process do not add up. Labels are words of the
 * program (codes, types of messages, reasons): nothing that comes from a client becomes a label.
 */
export function prometheusMeter(): PrometheusMeter {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const registers = [registry]
  const counter = <L extends string = never>(name: string, help: string, ...labelNames: L[]) =>
    new Counter<L>({ name: `sealog_relay_${name}`, help, labelNames, registers })
  const gauge = (name: string, help: string) => new Gauge({ name: `sealog_relay_${name}`, help, registers })

  const sockets = gauge('sockets', 'Connections that are open')
  const socketsOpened = counter('sockets_opened_total', 'Connections that were ever opened')
  const socketsRefused = counter('sockets_refused_total', 'Connections turned away before they were one', 'reason')
  const socketsEnded = counter('sockets_ended_total', 'Connections that the relay ended', 'reason')
  const requests = counter('requests_total', 'Requests answered', 'type', 'code')
  const requestSeconds = new Histogram({
    name: 'sealog_relay_request_seconds',
    help: 'From the arrival of a request to its answer',
    labelNames: ['type'],
    buckets: REQUEST_SECONDS,
    registers,
  })
  const entries = counter('entries_appended_total', 'Entries appended')
  const bytes = counter('bytes_appended_total', 'Bytes of headers, bodies and wraps appended')
  const appendSeconds = new Histogram({
    name: 'sealog_relay_append_seconds',
    help: 'One group commit, from the first judgement to the signature',
    buckets: APPEND_SECONDS,
    registers,
  })
  const groupEntries = new Histogram({
    name: 'sealog_relay_append_entries',
    help: 'Entries in one group commit',
    buckets: GROUP_ENTRIES,
    registers,
  })
  const followed = counter('entries_followed_total', 'Entries that other processes appended, taken over')
  const contended = counter('appends_contended_total', 'Appends that came later than those of another process')
  const shown = counter('groups_shown_total', 'Groups sent, one for each follower')
  const spaces = gauge('spaces', 'Spaces in memory')
  const behind = gauge('spaces_behind', 'Spaces in memory that have fewer entries than were signed')
  const failed = counter('spaces_failed_total', 'Spaces that stopped', 'reason')

  return {
    expose: () => registry.metrics(),
    contentType: registry.contentType,
    socketOpened() {
      sockets.inc()
      socketsOpened.inc()
    },
    socketClosed: () => sockets.dec(),
    socketRefused: reason => socketsRefused.inc({ reason }),
    socketEnded: reason => socketsEnded.inc({ reason }),
    served(type: ReplicaMessage['type'], code: ErrorCode | undefined, seconds: number) {
      requests.inc({ type, code: code ?? 'ok' })
      requestSeconds.observe({ type }, seconds)
    },
    appended(count, length, seconds) {
      entries.inc(count)
      bytes.inc(length)
      groupEntries.observe(count)
      appendSeconds.observe(seconds)
    },
    followed: count => followed.inc(count),
    contended: () => contended.inc(),
    shown: followers => shown.inc(followers),
    spaceOpened: () => spaces.inc(),
    spaceClosed: () => spaces.dec(),
    spaceFailed: reason => failed.inc({ reason }),
    spaceBehind: isBehind => behind.inc(isBehind ? 1 : -1),
  }
}
