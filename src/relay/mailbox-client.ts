import type { SignatureVerifier, SigningKey } from '../crypto/sign.ts'
import type { Environment } from '../environment.ts'
import { type ErrorCode, hasCode, SealogError } from '../errors.ts'
import { spaceIdOf } from '../ids.ts'
import type { RelayClient } from './client.ts'
import type { Session } from './client-events.ts'
import { getMailboxInput, putMailboxInput } from './mailbox.ts'
import type { MailboxAnswer, MailboxRequest } from './messages.ts'
import { retryDelay } from './retry-delay.ts'
import type { Reject } from './session-messages.ts'

/** A relay that has not answered by then is given up, and connected to again, in milliseconds. */
const ANSWER_TIMEOUT = 15_000
/** So often a request is made, over about twelve seconds, before a refusal that may pass counts as the answer. */
const MAX_TRIES = 7
/** Before the second try, in milliseconds; doubles. */
const FIRST_PAUSE = 200

const RELAY_CODES: ReadonlySet<string> = new Set<ErrorCode>([
  'ERR_MALFORMED',
  'ERR_LIMIT',
  'ERR_UPGRADE',
  'ERR_SIGNATURE',
  'ERR_UNEXPECTED',
  'ERR_UNAUTHORIZED',
  'ERR_UNKNOWN_MAILBOX',
  'ERR_STALE_MAILBOX',
  'ERR_RATE_LIMITED',
  'ERR_RELAY_STORAGE',
  'ERR_RELAY_INTERNAL',
])

export interface MailboxClientOptions {
  readonly client: RelayClient
  readonly environment: Environment
  readonly verifier: SignatureVerifier
  /** The mailbox's own; its public key is the address. */
  readonly signingKey: SigningKey
}

/** What stands in a mailbox, signed for this relay by whoever has its key. */
export interface SignedMailbox {
  readonly counter: number
  readonly bytes: Uint8Array
}

interface Answer {
  readonly session: Session
  readonly message: MailboxAnswer
}

/** Reads and writes one mailbox at one relay. Waits where the relay cannot be reached. */
export class MailboxClient {
  readonly #options: MailboxClientOptions

  constructor(options: MailboxClientOptions) {
    this.#options = options
  }

  /** The mailbox's public key, 32 bytes. */
  get address(): Uint8Array {
    return this.#options.signingKey.publicKey
  }

  /**
   * What stands in the mailbox; undefined where the relay says that there is nothing. That is the relay's word alone,
   * and so is that this is the latest: it can hide a mailbox and show an old one, but make up none.
   * @throws SealogError ERR_SIGNATURE for what the key of the mailbox did not sign for this relay; what the relay
   * answers; ERR_ABORTED, ERR_CLOSED
   */
  async get(signal?: AbortSignal): Promise<SignedMailbox | undefined> {
    const { signingKey, verifier } = this.#options
    const { address } = this
    let answer: Answer
    try {
      answer = await this.#request(async ({ relay, challenge }, ref) => {
        const signature = await signingKey.sign(getMailboxInput(relay, challenge, address))
        return { type: 'get-mailbox', ref, address, signature }
      }, signal)
    } catch (error) {
      if (hasCode(error, 'ERR_UNKNOWN_MAILBOX')) return undefined
      throw error
    }
    const { message, session } = answer
    if (message.type !== 'mailbox') throw unexpected(message)
    const { counter, bytes, signature } = message
    const input = putMailboxInput(session.relay, address, counter, bytes)
    if (!(await verifier.verify({ publicKey: address, message: input, signature }))) {
      throw new SealogError('ERR_SIGNATURE', 'what the relay shows was not put into the mailbox by its owner')
    }
    return { counter, bytes }
  }

  /**
   * Replaces what stands in the mailbox. The relay takes this from nobody but members of a space, on a connection on
   * which it is open; right after a connection was made that may take a moment, so a refusal for that reason is tried
   * again for a while.
   * @param bytes at most `MAX_MAILBOX_LENGTH`
   * @throws SealogError ERR_STALE_MAILBOX where the relay has this counter or a larger one; what else it answers;
   * ERR_ABORTED, ERR_CLOSED
   */
  async put(counter: number, bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    const { signingKey } = this.#options
    const { address } = this
    const { message } = await this.#request(async ({ relay }, ref) => {
      const signature = await signingKey.sign(putMailboxInput(relay, address, counter, bytes))
      return { type: 'put-mailbox', ref, address, counter, bytes, signature }
    }, signal)
    if (message.type !== 'received') throw unexpected(message)
  }

  async #request(
    compose: (session: Session, ref: number) => Promise<MailboxRequest>,
    signal: AbortSignal | undefined,
  ): Promise<Answer> {
    const { environment } = this.#options
    for (let tries = 1; ; tries++) {
      const answer = await this.#ask(compose, signal)
      if (answer.message.type !== 'reject') return answer
      const error = rejection(answer.message)
      const mayPass = error.retryable || error.code === 'ERR_UNAUTHORIZED'
      if (tries === MAX_TRIES || !mayPass) throw error
      await pause(environment, retryDelay(environment, FIRST_PAUSE * 2 ** (tries - 1), error), signal)
    }
  }

  /** Asks on each connection anew until there is an answer. */
  #ask(
    compose: (session: Session, ref: number) => Promise<MailboxRequest>,
    signal: AbortSignal | undefined,
  ): Promise<Answer> {
    const { client, environment } = this.#options
    const channel = spaceIdOf(this.address)
    return new Promise((resolve, reject) => {
      /** Of the request on this connection; answers to earlier ones count for nothing. */
      let asked: { readonly ref: number; readonly session: Session } | undefined
      let cancelTimer = (): void => {}
      let leave = (): void => {}
      let isOver = false
      const end = (settle: () => void): void => {
        if (isOver) return
        isOver = true
        asked = undefined
        cancelTimer()
        signal?.removeEventListener('abort', onAbort)
        leave()
        settle()
      }
      const onAbort = (): void => end(() => reject(aborted(signal)))
      const ask = async (session: Session): Promise<void> => {
        const own = { ref: client.nextRef(), session }
        asked = own
        cancelTimer = environment.schedule(ANSWER_TIMEOUT, () => {
          client.reconnect(new SealogError('ERR_OFFLINE', 'the relay does not answer'))
        })
        const message = await compose(session, own.ref)
        if (asked === own) client.send(message)
      }
      const stop = client.visit({
        onUp: session => void ask(session).catch(error => end(() => reject(error))),
        onMessage: message => {
          if (message.ref !== asked?.ref || channelOf(message) !== channel) return
          const { session } = asked
          end(() => resolve({ session, message }))
        },
        onDown: () => {
          cancelTimer()
          asked = undefined
        },
        onClosed: () => end(() => reject(new SealogError('ERR_CLOSED', 'the replica was closed'))),
      })
      leave = stop
      signal?.addEventListener('abort', onAbort, { once: true })
      if (isOver) stop()
      else if (signal?.aborted) onAbort()
    })
  }
}

/** In answers about a mailbox its address stands where that of a space would. */
function channelOf(message: MailboxAnswer): string {
  return message.type === 'mailbox' ? spaceIdOf(message.address) : message.space
}

function rejection({ code, message, retryAfter }: Reject): SealogError {
  const known = RELAY_CODES.has(code) ? (code as ErrorCode) : 'ERR_RELAY_INTERNAL'
  const details = retryAfter > 0 ? { retryAfter } : {}
  return new SealogError(known, `the relay answered ${code}: ${message}`, { details })
}

function unexpected({ type }: MailboxAnswer): SealogError {
  return new SealogError('ERR_UNEXPECTED', `the relay answered a request for a mailbox with ${type}`)
}

function pause(environment: Environment, ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      cancel()
      reject(aborted(signal))
    }
    const cancel = environment.schedule(ms, () => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    })
    signal?.addEventListener('abort', onAbort, { once: true })
    if (signal?.aborted) onAbort()
  })
}

function aborted(signal: AbortSignal | undefined): SealogError {
  return new SealogError('ERR_ABORTED', 'aborted by the caller', { cause: signal?.reason })
}
