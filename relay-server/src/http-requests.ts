import type { IncomingMessage, ServerResponse } from 'node:http'

/** Answers a request itself and returns true, or leaves it alone and returns false. */
export type HttpHook = (request: IncomingMessage, response: ServerResponse) => boolean

/** What a relay answers to plain HTTP: whether it is well, what the host wants to serve on the same port, nothing else. */
export function httpRequests(health: () => object, hook: HttpHook | undefined) {
  return (request: IncomingMessage, response: ServerResponse): void => {
    const [path] = (request.url ?? '/').split('?')
    if (path === '/healthz') answer(request, response, 200, health())
    else if (hook?.(request, response) !== true) answer(request, response, 404, { error: 'not found' })
  }
}

function answer(request: IncomingMessage, response: ServerResponse, status: number, content: object): void {
  const isReading = request.method === 'GET' || request.method === 'HEAD'
  const text = JSON.stringify(isReading ? content : { error: 'method not allowed' })
  response.writeHead(isReading ? status : 405, {
    'content-type': 'application/json',
    'content-length': new TextEncoder().encode(text).length,
    'cache-control': 'no-store',
  })
  response.end(request.method === 'HEAD' ? undefined : `${text}`)
}
