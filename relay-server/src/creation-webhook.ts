import { createHmac } from 'node:crypto'
import { type Environment, SealogError, type SpaceId } from 'sealog/protocol'
import type { Log } from './log-record.ts'

/** Questions under way at once, and those that wait for them. */
const MAX_ASKED = 8
const MAX_WAITING = 64
/** Longest wait for an answer, in milliseconds. */
const TIMEOUT = 5_000
/** Milliseconds after which to try again where there was no answer. */
const RETRY_AFTER = 10_000

/** Somebody wants to create a space. */
export interface CreationRequest {
  readonly space: SpaceId
  /** As the connection has it; undefined within one process. */
  readonly address: string | undefined
  /** What came with the genesis; at most 256 bytes. */
  readonly token: string | undefined
}

export interface WebhookOptions {
  /** Name of the relay, as in its checkpoints. */
  readonly relay: string
  readonly environment: Environment
  readonly log: Log
}

/** @throws SealogError ERR_RATE_LIMITED where there is no answer, or too much is asked at once */
export type AskWebhook = (request: CreationRequest) => Promise<boolean>

/**
 * Asks somebody else whether a space may be created: `POST` with JSON `{relay, space, time}`, `address` and `token`
 * where they are known, and the header `sealog-signature: sha256=<hex>`, an HMAC-SHA256 of the body under the secret.
 * `time` is in Unix milliseconds, so that an old question can be told from a new one. Any 2xx means yes, 403 means no;
 * whatever else comes, and silence, mean later. Redirections are not followed, answers are not read. A question is
 * asked again where the replica does not know whether its space came to be: the answer must go by the space.
 * @throws TypeError for what is no http(s) address, or has a name and password in it, and for an empty secret
 */
export function webhookQuestions(url: string, secret: string, { relay, environment, log }: WebhookOptions): AskWebhook {
  if (!isAddress(url)) throw new TypeError('webhook: expected an http(s) address without a password')
  if (secret === '') throw new TypeError('webhook secret: expected a text')
  let asked = 0
  const waiting: (() => void)[] = []

  async function turn(): Promise<void> {
    if (asked < MAX_ASKED) {
      asked++
      return
    }
    if (waiting.length >= MAX_WAITING) throw later('too many spaces are being created')
    // Whoever is done hands over the place.
    await new Promise<void>(resolve => waiting.push(resolve))
  }

  function done(): void {
    const next = waiting.shift()
    if (next === undefined) asked--
    else next()
  }

  async function statusOf(request: CreationRequest): Promise<number> {
    const { space, address, token } = request
    const body = JSON.stringify({ relay, space, time: environment.now(), address, token })
    const signature = createHmac('sha256', secret).update(body, 'utf8').digest('hex')
    const abort = new AbortController()
    const cancel = environment.schedule(TIMEOUT, () => abort.abort())
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'sealog-signature': `sha256=${signature}` },
        body,
        redirect: 'manual',
        signal: abort.signal,
      })
      await response.body?.cancel()
      return response.status
    } finally {
      cancel()
    }
  }

  return async request => {
    await turn()
    try {
      const status = await statusOf(request)
      if (status >= 200 && status < 300) return true
      if (status === 403) return false
      log({ level: 'warn', event: 'webhook-failed', status })
    } catch (error) {
      // The reason may name an address, but nothing of what was asked.
      log({ level: 'warn', event: 'webhook-failed', reason: error instanceof Error ? error.name : 'unknown' })
    } finally {
      done()
    }
    throw later('whether the space may be created could not be found out')
  }
}

function isAddress(url: string): boolean {
  if (!URL.canParse(url)) return false
  const { protocol, username, password } = new URL(url)
  return (protocol === 'http:' || protocol === 'https:') && username === '' && password === ''
}

function later(message: string): SealogError {
  return new SealogError('ERR_RATE_LIMITED', message, { details: { retryAfter: RETRY_AFTER } })
}
