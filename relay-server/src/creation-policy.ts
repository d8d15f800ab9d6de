import { createHash, timingSafeEqual } from 'node:crypto'
import { SealogError } from 'sealog/protocol'
import { type AskWebhook, type CreationRequest, type WebhookOptions, webhookQuestions } from './creation-webhook.ts'

/** Who may create spaces on a relay. */
export type CreationPolicy =
  | { readonly kind: 'open' }
  /** Whoever has one of these. At least one; texts of 16 to 256 bytes. */
  | { readonly kind: 'tokens'; readonly tokens: readonly string[] }
  /** Whom this address lets, space by space: see `webhookQuestions`. */
  | { readonly kind: 'webhook'; readonly url: string; readonly secret: string }

/** @throws SealogError ERR_UNAUTHORIZED where it may not be; ERR_RATE_LIMITED where that cannot be told now */
export type CreationCheck = (request: CreationRequest) => Promise<void>

/** Shorter ones could be guessed. In bytes. */
const MIN_TOKEN = 16
const MAX_TOKEN = 256

/** @throws TypeError for tokens of a wrong length, or an address that cannot be asked */
export function creationCheck(policy: CreationPolicy, options: WebhookOptions): CreationCheck {
  switch (policy.kind) {
    case 'open':
      return async () => {}
    case 'tokens':
      return tokenCheck(policy.tokens)
    case 'webhook': {
      const ask: AskWebhook = webhookQuestions(policy.url, policy.secret, options)
      return async request => {
        if (!(await ask(request))) throw refused()
      }
    }
  }
}

function tokenCheck(tokens: readonly string[]): CreationCheck {
  if (tokens.length === 0) throw new TypeError('tokens: expected at least one')
  const hashes = tokens.map(token => {
    const { length } = new TextEncoder().encode(token)
    if (length < MIN_TOKEN || length > MAX_TOKEN) throw new TypeError('tokens: expected texts of 16 to 256 bytes')
    return hashOf(token)
  })
  return async ({ token }) => {
    if (token === undefined) throw refused()
    // All are compared, whole and by their hashes: how long it takes says nothing about how near a guess was.
    const hash = hashOf(token)
    let matches = 0
    for (const known of hashes) matches += timingSafeEqual(known, hash) ? 1 : 0
    if (matches === 0) throw refused()
  }
}

function hashOf(token: string): Uint8Array {
  return createHash('sha256').update(token, 'utf8').digest()
}

function refused(): SealogError {
  return new SealogError('ERR_UNAUTHORIZED', 'this relay does not let everybody create spaces', {
    details: { reason: 'admission' },
  })
}
