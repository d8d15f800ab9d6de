import type { IncomingMessage, ServerResponse } from 'node:http'
import { type ErrorCode, SealogError, sha256, toBase64Url, toHex, toUtf8 } from 'sealog/protocol'
import { acquireInAttempt } from './attempted-space.ts'
import type { RelayContext } from './context.ts'
import type { HttpHook } from './http-requests.ts'
import { tellable } from './reject.ts'
import { deviceKey } from './space-loads.ts'
import type { SpaceRegistry } from './space-registry.ts'
import type { SpaceSequencer } from './space-sequencer.ts'
import { tileAccess } from './tiles-access.ts'
import { readTile } from './tiles-content.ts'
import { isLogPath, isWithin, parseTilePath, splitLogPath, type TileResource } from './tiles-path.ts'

/** Requests that are served at once; whoever comes on top is asked to come again. */
const MAX_UNDER_WAY = 64
/** When whoever could not be served should come again, in milliseconds. */
const RETRY_AFTER = 2000
/** Codes after which the very same request may succeed by itself. */
const UNAVAILABLE: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['ERR_RELAY_BEHIND', 'ERR_RELAY_STORAGE'])

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

interface TileRequest {
  readonly path: string
  readonly authorization: string | undefined
  /** Of the client, as text; undefined where it is not known. */
  readonly address: string | undefined
}

/** Serves one request, after it was found to be one for logs. */
type Serve = (request: TileRequest) => Promise<Answer>

/**
 * Serves the logs of this relay as static proofs (C2SP tlog-tiles), so that tools that know nothing of Sealog can audit
 * them: under `/log/<space id>/` the paths `checkpoint`, `tile/<L>/<N>[.p/<W>]` and `tile/entries/<N>[.p/<W>]`.
 *
 * Only for whom a member device has given a credential (`tileAccess`): headers say who writes when, and where. What is
 * served never goes beyond the checkpoint that this relay has signed and stored; and whoever has no right gets one and the
 * same answer, whatever is asked for, and whether or not there is such a space.
 */
export function tileRequests(context: RelayContext, spaces: SpaceRegistry): HttpHook {
  const serve = tileServer(context, spaces)
  let underWay = 0

  async function respond(
    request: IncomingMessage,
    response: ServerResponse,
    address: string | undefined,
  ): Promise<void> {
    const { authorization, 'if-none-match': ifNoneMatch } = request.headers
    const answer = await answerOf(context, serve, { path: request.url ?? '', authorization, address })
    send(response, unchanged(answer, ifNoneMatch), request.method === 'HEAD')
  }

  return (request, response, address) => {
    if (!isLogPath(request.url ?? '')) return false
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      send(response, failure(405, 'method not allowed', { allow: 'GET, HEAD' }), false)
    } else if (underWay >= MAX_UNDER_WAY) {
      send(response, failure(503, 'busy', retryAfter(RETRY_AFTER)), request.method === 'HEAD')
    } else {
      underWay++
      void respond(request, response, address).finally(() => underWay--)
    }
    return true
  }
}

function tileServer(context: RelayContext, spaces: SpaceRegistry): Serve {
  const access = tileAccess(context)
  const { gate, store } = context

  return async ({ path, authorization, address }) => {
    const attempt = gate.attempt(address)
    // The right comes first: what else may be wrong with a request is nobody else's business.
    const { space, rest } = splitLogPath(path) ?? {}
    if (space === undefined || rest === undefined) throw new SealogError('ERR_UNAUTHORIZED', 'no space is named')
    const credential = await access.authenticate(authorization, space)
    const auditor = deviceKey(space, toHex(credential.device))
    const lease = await acquireInAttempt(spaces, attempt, space, { address, device: auditor })
    try {
      const { sequencer } = lease
      // Who was removed through another process has no right in this one either.
      if (store.isShared) await sequencer.level()
      const device = access.deviceOf(sequencer, credential)
      attempt.succeeded()
      gate.loads.charge(auditor, lease.loaded)
      sequencer.assertLevel()
      gate.read(space, device.number)
      const resource = parseTilePath(rest)
      if (resource === undefined) return NOT_FOUND
      const answer = await answerResource(context, sequencer, resource, () => access.deviceOf(sequencer, credential))
      gate.sent(space, device.number, answer.body.length)
      return answer
    } finally {
      lease.release()
    }
  }
}

/** @param assertMember still: what was waited for may have removed the device */
async function answerResource(
  { store }: RelayContext,
  sequencer: SpaceSequencer,
  resource: TileResource,
  assertMember: () => void,
): Promise<Answer> {
  const isMissing = !isWithin(resource, sequencer.head?.checkpoint.size ?? 0)
  if (isMissing || resource.kind === 'checkpoint') {
    // A checkpoint is to be no older than one that a member gets; and what it is about may have come in since.
    await sequencer.settle()
    assertMember()
    sequencer.assertLevel()
  }
  const { head } = sequencer
  if (head === undefined || !isWithin(resource, head.checkpoint.size)) return NOT_FOUND
  if (resource.kind === 'checkpoint') {
    return found(head.note, { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' })
  }
  return found(await readTile(store, sequencer.space, resource), {
    'content-type': 'application/octet-stream',
    // What a log once was, it stays: a tile, a partial one too, never changes. Shared caches do not ask who is asking.
    'cache-control': 'private, max-age=31536000, immutable',
    vary: 'authorization',
  })
}

// -- Answers --------------------------------------------------------------------------------------------------------

async function answerOf(context: RelayContext, serve: Serve, request: TileRequest): Promise<Answer> {
  try {
    return await serve(request)
  } catch (thrown) {
    const error = tellable(thrown)
    switch (error.code) {
      // A space that there is not, and one that is not for whoever asks, are the same to them.
      case 'ERR_UNAUTHORIZED':
      case 'ERR_UNKNOWN_SPACE':
      case 'ERR_MALFORMED':
      case 'ERR_UPGRADE':
        return failure(401, 'unauthorized', { 'www-authenticate': 'Bearer realm="sealog"' })
      case 'ERR_RATE_LIMITED':
        return failure(429, 'too many requests', retryAfter(error.details.retryAfter ?? RETRY_AFTER))
      default:
        if (!UNAVAILABLE.has(error.code)) context.log({ level: 'error', event: 'tiles-failed', reason: error.message })
        return failure(503, error.code, retryAfter(RETRY_AFTER))
    }
  }
}

function found(body: Uint8Array, headers: Readonly<Record<string, string>>): Answer {
  return { status: 200, headers: { ...headers, etag: `"${toBase64Url(sha256(body).subarray(0, 16))}"` }, body }
}

function failure(status: number, error: string, headers: Readonly<Record<string, string>> = {}): Answer {
  const body = toUtf8(JSON.stringify({ error }))
  return { status, headers: { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers }, body }
}

const NOT_FOUND: Answer = failure(404, 'not found')

/** As HTTP counts: in seconds. */
function retryAfter(milliseconds: number): Readonly<Record<string, string>> {
  return { 'retry-after': `${Math.max(1, Math.ceil(milliseconds / 1000))}` }
}

/** RFC 9110 §13.1.2: whoever has it already gets no more than that. */
function unchanged(answer: Answer, ifNoneMatch: string | undefined): Answer {
  const { status, headers } = answer
  const { etag } = headers
  if (status !== 200 || etag === undefined || ifNoneMatch === undefined) return answer
  const tags = ifNoneMatch.split(',').map(tag => tag.trim().replace(/^W\//, ''))
  if (!tags.includes(etag) && !tags.includes('*')) return answer
  const { 'content-type': _, ...others } = headers
  return { status: 304, headers: others, body: new Uint8Array(0) }
}

function send(response: ServerResponse, { status, headers, body }: Answer, isHead: boolean): void {
  const length = status === 304 ? {} : { 'content-length': body.length }
  response.writeHead(status, { ...headers, ...length, 'x-content-type-options': 'nosniff' })
  response.end(isHead ? undefined : body)
}
