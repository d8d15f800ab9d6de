import { createServer, type ServerResponse } from 'node:http'
import type { HostPort } from './config-values.ts'
import { type HttpHook, type HttpParts, httpRequests } from './http-requests.ts'
import { DEFAULT_LIMITS } from './limits.ts'
import type { PrometheusMeter } from './metrics.ts'
import { httpLimits, listening, urlOf } from './server-http.ts'

/** Whoever watches a relay needs few. */
const MAX_CONNECTIONS = 64

export interface MetricsServer {
  /** `http://…`, where it listens. */
  readonly url: string
  close(): Promise<void>
}

/**
 * A listener of its own for whoever watches the relay: `/metrics`, `/healthz`, `/readyz`. What it tells is no secret, but
 * how busy a relay is is nobody's business either.
 * @throws what Node throws where it cannot listen
 */
export async function startMetricsServer(
  { host, port }: HostPort,
  meter: PrometheusMeter,
  parts: Omit<HttpParts, 'hooks' | 'addressOf'>,
): Promise<MetricsServer> {
  const hooks = [metricsHook(meter)]
  const http = createServer(
    httpLimits(DEFAULT_LIMITS.handshakeTime),
    httpRequests({ ...parts, hooks, addressOf: () => undefined }),
  )
  http.maxConnections = MAX_CONNECTIONS
  await listening(http, host, port)
  http.on('error', error => parts.log({ level: 'error', event: 'http-error', reason: error.message }))
  return {
    url: urlOf('http', http),
    close: () =>
      new Promise(resolve => {
        http.close(() => resolve())
        http.closeAllConnections()
      }),
  }
}

function metricsHook(meter: PrometheusMeter): HttpHook {
  async function expose(response: ServerResponse, isHead: boolean): Promise<void> {
    try {
      const text = await meter.expose()
      response.writeHead(200, { 'content-type': meter.contentType, 'cache-control': 'no-store' })
      response.end(isHead ? undefined : text)
    } catch {
      response.destroy()
    }
  }
  return (request, response) => {
    const { method } = request
    // Prometheus may be told to send parameters; none of them means anything here.
    const [path] = (request.url ?? '').split('?')
    if (path !== '/metrics' || (method !== 'GET' && method !== 'HEAD')) return false
    void expose(response, method === 'HEAD')
    return true
  }
}
