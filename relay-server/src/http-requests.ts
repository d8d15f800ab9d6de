import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Log } from './log-record.ts'
import type { Readiness } from './readiness.ts'

/**
 * Answers a request itself and returns true, or leaves it alone and returns false.
 * @param address of the client, as far as the proxies in front of the relay are trusted; undefined where it is gone
 */
export type HttpHook = (request: IncomingMessage, response: ServerResponse, address: string | undefined) => boolean

/** What plain HTTP is answered from. */
export interface HttpParts {
  readonly name: string
  readonly readiness: Readiness
  /** Who else answers, the first that wants to. */
  readonly hooks: readonly HttpHook[]
  readonly addressOf: (request: IncomingMessage) => string | undefined
  readonly log: Log
}

/** What a relay answers to plain HTTP: whether it is well, what others serve on the same port, nothing else. */
export function httpRequests({ name, readiness, hooks, addressOf, log }: HttpParts) {
  return (request: IncomingMessage, response: ServerResponse): void => {
    // Only who reads is answered at length; a body that nobody wants is not waited for.
    if (hasBody(request)) response.setHeader('connection', 'close')
    // Before anything is sent, an error of the socket has nobody else to hear it.
    response.on('error', () => {})
    const [path] = (request.url ?? '/').split('?')
    try {
      if (path === '/healthz') answer(request, response, 200, { status: 'ok', name })
      else if (path === '/readyz') void answerReadiness(request, response, readiness)
      else if (!hooks.some(hook => hook(request, response, addressOf(request)))) {
        answer(request, response, 404, { error: 'not found' })
      }
    } catch (error) {
      log({ level: 'error', event: 'http-hook-failed', reason: String(error) })
      if (response.headersSent) response.destroy()
      else answer(request, response, 500, { error: 'internal' })
    }
  }
}

async function answerReadiness(
  request: IncomingMessage,
  response: ServerResponse,
  readiness: Readiness,
): Promise<void> {
  const reason = await readiness.check()
  if (reason === undefined) answer(request, response, 200, { status: 'ready' })
  else answer(request, response, 503, { status: 'unready', reason })
}

function answer(request: IncomingMessage, response: ServerResponse, status: number, content: object): void {
  const isReading = request.method === 'GET' || request.method === 'HEAD'
  const text = JSON.stringify(isReading ? content : { error: 'method not allowed' })
  response.writeHead(isReading ? status : 405, {
    'content-type': 'application/json',
    'content-length': new TextEncoder().encode(text).length,
    'cache-control': 'no-store',
    ...(isReading ? {} : { allow: 'GET, HEAD' }),
  })
  response.end(request.method === 'HEAD' ? undefined : text)
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}
