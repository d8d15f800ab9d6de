import { expect, test } from 'vitest'
import { prometheusMeter } from '../src/metrics.ts'
import { until } from './helpers/replica.ts'
import { get, populated, raw, started } from './helpers/served.ts'

/** The value of a line of the text format. */
function sample(text: string, line: string): number {
  const found = text.split('\n').find(each => each.startsWith(`sealog_relay_${line} `))
  return found === undefined ? Number.NaN : Number(found.slice(found.lastIndexOf(' ')))
}

test('what a relay counts of itself can be read by Prometheus, and says nothing about anyone', async () => {
  const relay = await started({ metrics: { host: '127.0.0.1', port: 0 } })
  const url = relay.metricsUrl ?? ''
  const { replica, space, owner, write } = await populated(relay)
  for (let i = 0; i < 3; i++) {
    replica.push(space, write())
    await until(() => replica.syncs.length === i + 2)
    await replica.follow(space)
  }
  replica.push(space, { ...write(), signature: new Uint8Array(64) })
  await until(() => replica.rejects.length > 0)
  const { socket, closed } = await raw(relay)
  socket.send('text')
  await closed
  await new Promise(resolve => setTimeout(resolve, 20))

  const { status, body } = await get(url, '/metrics')
  expect(status).toBe(200)
  const shown = (line: string) => sample(body, line)
  expect(shown('sockets')).toBe(1)
  expect(shown('sockets_opened_total')).toBe(2)
  expect(shown('sockets_ended_total{reason="malformed"}')).toBe(1)
  expect(shown('entries_appended_total')).toBe(4)
  expect(shown('bytes_appended_total')).toBeGreaterThan(4 * 200)
  expect(shown('append_seconds_count')).toBeGreaterThanOrEqual(4)
  expect(shown('append_seconds_sum')).toBeGreaterThan(0)
  expect(shown('append_entries_sum')).toBe(4)
  expect(shown('requests_total{type="push",code="ok"}')).toBe(4)
  expect(shown(`requests_total{type="push",code="${replica.rejects[0]?.code}"}`)).toBe(1)
  expect(shown('requests_total{type="open",code="ok"}')).toBe(1)
  expect(shown('spaces')).toBe(1)
  expect(body).toContain('nodejs_eventloop_lag_p99_seconds')
  expect(body).toContain('process_resident_memory_bytes')

  // Every label is a word of the program, or a bound of a histogram.
  const labels = [...body.matchAll(/^sealog_relay_\w+\{(.*)\}/gm)].flatMap(([, list = '']) => list.split(','))
  expect(labels.length).toBeGreaterThan(10)
  for (const label of labels) expect(label).toMatch(/^(reason|type|code)="[A-Za-z_-]+"$|^le="(\d+(\.\d+)?|\+Inf)"$/)
  for (const secret of [space, Buffer.from(owner.signing).toString('hex'), '127.0.0.1'])
    expect(body).not.toContain(secret)
})

test('metrics are for those who run the relay: not on its own port, and nothing by default', async () => {
  const watched = await started({ metrics: { host: '127.0.0.1', port: 0 } })
  expect((await get(watched.url, '/metrics')).status).toBe(404)
  const url = watched.metricsUrl ?? ''
  expect(JSON.parse((await get(url, '/healthz')).body)).toEqual({ status: 'ok', name: 'relay.example' })
  expect((await get(url, '/readyz')).status).toBe(200)
  expect((await get(url, '/metrics', { method: 'POST' })).status).toBe(405)
  expect(await get(url, '/metrics', { method: 'HEAD' })).toEqual({ status: 200, body: '' })
  expect((await get(url, '/metrics?collect=all')).body).toContain('sealog_relay_sockets ')
  expect((await get(url, '/log/x')).status).toBe(404)
  const unwatched = await started()
  expect(unwatched.metricsUrl).toBeUndefined()
  await watched.close()
  await expect(get(url, '/healthz')).rejects.toThrow()
})

test('a port for metrics that is taken keeps the relay from starting', async () => {
  const { port } = await started()
  await expect(started({ metrics: { host: '127.0.0.1', port } })).rejects.toMatchObject({ code: 'EADDRINUSE' })
})

test('relays in one process do not add up', async () => {
  const [one, other] = [prometheusMeter(), prometheusMeter()]
  one.socketOpened()
  one.spaceBehind(true)
  one.spaceBehind(true)
  one.spaceBehind(false)
  one.spaceFailed('storage')
  expect(sample(await one.expose(), 'sockets')).toBe(1)
  expect(sample(await one.expose(), 'spaces_behind')).toBe(1)
  expect(sample(await one.expose(), 'spaces_failed_total{reason="storage"}')).toBe(1)
  expect(sample(await other.expose(), 'sockets')).toBe(0)
})
