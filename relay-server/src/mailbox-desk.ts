import {
  type ErrorCode,
  encodeMessage,
  type GetMailbox,
  getMailboxInput,
  type MailboxRequest,
  type PutMailbox,
  putMailboxInput,
  SealogError,
  spaceIdOf,
  toHex,
} from 'sealog/protocol'
import { rejectFrame, tellable } from './reject.ts'
import type { SocketSurroundings } from './socket-surroundings.ts'

/**
 * Mailboxes, as one socket reaches them: sealed bytes under a public key, for whoever has the key. To the relay they are
 * of no space; it keeps the latest of each.
 */
export class MailboxDesk {
  readonly #socket: SocketSurroundings
  /** Addresses, in hex, that this socket has written to. */
  readonly #written = new Set<string>()

  constructor(socket: SocketSurroundings) {
    this.#socket = socket
  }

  /**
   * @param isMember a member of some space has it open on this socket
   * @returns a promise, never rejected, that is kept when the request is answered
   */
  async handle(message: MailboxRequest, isMember: boolean): Promise<void> {
    const { peer, context } = this.#socket
    const { meter, environment } = context
    const begun = environment.now()
    const served = (code?: ErrorCode): void => meter.served(message.type, code, (environment.now() - begun) / 1000)
    try {
      if (message.type === 'put-mailbox') await this.#put(message, isMember)
      else await this.#get(message)
      served()
    } catch (cause) {
      const error = tellable(cause)
      if (error.code === 'ERR_RELAY_INTERNAL') this.#logFault(error)
      peer.send(rejectFrame({ ref: message.ref, space: spaceIdOf(message.address), error }))
      served(error.code)
    }
  }

  async #put({ ref, address, counter, bytes, signature }: PutMailbox, isMember: boolean): Promise<void> {
    const { context, peer } = this.#socket
    const { name, signingKey, verifier, store } = context
    // Keys for mailboxes cost nothing. Who has a space here could fill the relay through that as well, and more easily.
    if (!isMember) throw new SealogError('ERR_UNAUTHORIZED', 'no member has a space open on this socket')
    this.#assertRoom(address)
    const message = putMailboxInput({ name, key: signingKey.publicKey }, address, counter, bytes)
    if (!(await verifier.verify({ publicKey: address, message, signature }))) {
      throw new SealogError('ERR_SIGNATURE', 'the signature over the content of the mailbox does not verify')
    }
    // Counted when it is sure that its owner asks, and before the store is: requests may overlap.
    this.#assertRoom(address)
    context.gate.writeMailbox(address)
    this.#written.add(toHex(address))
    const isLatest = await this.#stored(() => store.putMailbox(address, { counter, bytes, signature }))
    if (!isLatest) throw new SealogError('ERR_STALE_MAILBOX', `the mailbox has counter ${counter} or a larger one`)
    peer.send(encodeMessage({ type: 'received', ref, space: spaceIdOf(address) }))
  }

  /** Who does not have the key learns nothing, not even whether there is such a mailbox. */
  async #get({ ref, address, signature }: GetMailbox): Promise<void> {
    const { context, challenge, peer, address: client } = this.#socket
    const { name, signingKey, verifier, store } = context
    const attempt = context.gate.attempt(client)
    const stored = await this.#stored(() => store.readMailbox(address))
    // Before the signature: whether an unknown key may be one at all costs milliseconds, and anybody could ask.
    if (stored === undefined) throw unknownMailbox()
    const message = getMailboxInput({ name, key: signingKey.publicKey }, challenge, address)
    if (!(await verifier.verify({ publicKey: address, message, signature }))) throw unknownMailbox()
    attempt.succeeded()
    await peer.drained()
    peer.send(encodeMessage({ type: 'mailbox', ref, address, ...stored }))
  }

  #assertRoom(address: Uint8Array): void {
    const limit = this.#socket.context.limits.mailboxesPerSocket
    if (this.#written.size < limit || this.#written.has(toHex(address))) return
    throw new SealogError('ERR_LIMIT', `${limit} mailboxes were written on this socket`, { details: { limit } })
  }

  async #stored<T>(use: () => Promise<T>): Promise<T> {
    try {
      return await use()
    } catch (cause) {
      this.#logFault(cause)
      throw new SealogError('ERR_RELAY_STORAGE', 'the mailbox could not be reached', { cause })
    }
  }

  #logFault(error: unknown): void {
    const cause = error instanceof SealogError && error.cause instanceof Error ? error.cause : error
    this.#socket.context.log({ level: 'error', event: 'mailbox-failed', reason: String(cause) })
  }
}

function unknownMailbox(): SealogError {
  return new SealogError('ERR_UNKNOWN_MAILBOX', 'no such mailbox here')
}
