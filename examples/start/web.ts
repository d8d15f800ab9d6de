import type { IncomingMessage, ServerResponse } from 'node:http'
import { extname } from 'node:path'
import type { Bundle } from './bundle.ts'

const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
}
/** Paths of the page itself: with two devices, and with the one of a guest. */
const PAGES = ['/', '/join']

export interface WebOptions {
  readonly port: number
  readonly bundle: Bundle
  /** Public facts of this demonstration, for its page. */
  readonly demo: { readonly space: string; readonly relay: string }
  readonly newInvite: () => Promise<string>
}

/** Serves the page on the relay's port. */
export function webPages(options: WebOptions): (request: IncomingMessage, response: ServerResponse) => boolean {
  const { bundle, demo } = options
  return (request, response) => {
    const [path = '/'] = (request.url ?? '/').split('?')
    if (request.method === 'POST' && path === '/invite') {
      answerInvite(request, response, options)
      return true
    }
    if (request.method !== 'GET') return false
    if (path === '/demo') {
      send(response, 200, 'application/json', JSON.stringify(demo))
      return true
    }
    const file = PAGES.includes(path) ? '/index.html' : path
    const content = bundle.get(file)
    if (content === undefined) return false
    response.setHeader('content-security-policy', policy(demo.relay))
    send(response, 200, TYPES[extname(file)] ?? 'application/octet-stream', content)
    return true
  }
}

/**
 * An invite is a key. This page's own panes get one each without being asked, which an application would put behind its
 * sign-in; other machines, and other sites in a browser on this machine, do not.
 */
function answerInvite(request: IncomingMessage, response: ServerResponse, { port, newInvite }: WebOptions): void {
  if (!isOwnPage(request, port)) {
    send(response, 403, 'text/plain', 'Open an invite link: this page admits its own machine only.')
    return
  }
  newInvite().then(
    link => send(response, 200, 'application/json', JSON.stringify({ link })),
    (error: unknown) => send(response, 500, 'text/plain', String(error)),
  )
}

function isOwnPage({ socket, headers }: IncomingMessage, port: number): boolean {
  const isLocal = ['127.0.0.1', '::1', '::ffff:127.0.0.1'].includes(socket.remoteAddress ?? '')
  const origins = ['127.0.0.1', 'localhost', '[::1]'].map(host => `http://${host}:${port}`)
  return isLocal && origins.includes(headers.origin ?? '')
}

function policy(relay: string): string {
  return [
    "default-src 'none'",
    "script-src 'self' 'wasm-unsafe-eval'",
    "style-src 'self'",
    'img-src data:',
    `connect-src 'self' ${relay}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ')
}

function send(response: ServerResponse, status: number, type: string, content: string | Uint8Array): void {
  response.writeHead(status, {
    'content-type': type,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    // An invite in the address of the page must not leave it.
    'referrer-policy': 'no-referrer',
  })
  response.end(content)
}
