import { toHex } from '../../src/bytes.ts'
import type { SigningKey } from '../../src/crypto/sign.ts'
import { nobleSigningKey } from '../../src/crypto/sign-backend.ts'
import type { Environment } from '../../src/environment.ts'
import { platformEnvironment } from '../../src/environment-platform.ts'
import type { ErrorCode } from '../../src/errors.ts'
import { spaceIdOf } from '../../src/ids.ts'
import { RelayClient } from '../../src/relay/client.ts'
import type { MailboxContent } from '../../src/relay/mailbox-messages.ts'
import { decodeReplicaMessage, encodeMessage } from '../../src/relay/message-codec.ts'
import type { MailboxRequest, RelayMessage, ReplicaMessage } from '../../src/relay/messages.ts'
import type { ConnectionEvents, Transport } from '../../src/relay/transport.ts'

type Stored = Pick<MailboxContent, 'counter' | 'bytes' | 'signature'>

/**
 * A relay that has nothing but mailboxes and asks for no signature: what a reader may believe must not rest on it.
 * `answer` is what it says in place of what it should; where that calls `serve`, it does what it is asked. `undefined`
 * stands for the truth.
 */
export class MailboxRelay implements Transport {
  readonly name: string
  readonly signingKey: SigningKey = nobleSigningKey(new Uint8Array(32).fill(200))
  /** By address in hex, every version that was put, in order. */
  readonly versions: Map<string, Stored[]> = new Map()
  readonly requests: MailboxRequest[] = []
  answer: ((request: MailboxRequest, serve: () => RelayMessage) => readonly RelayMessage[] | undefined) | undefined
  #live: ConnectionEvents | undefined

  constructor(name = 'relay.test') {
    this.name = name
  }

  connect(_: string, events: ConnectionEvents): ReturnType<Transport['connect']> {
    this.#live = events
    const say = (message: RelayMessage): void => {
      queueMicrotask(() => {
        if (this.#live === events) events.onFrame(encodeMessage(message))
      })
    }
    const key = this.signingKey.publicKey
    say({ type: 'welcome', version: 1, name: this.name, key, challenge: new Uint8Array(32).fill(this.requests.length) })
    return {
      send: frame => {
        const message = decodeReplicaMessage(frame)
        if (!isMailboxRequest(message)) return
        this.requests.push(message)
        const serve = (): RelayMessage => this.#serve(message)
        for (const each of this.answer?.(message, serve) ?? [serve()]) say(each)
      },
      close: () => {},
    }
  }

  /** Breaks the connection. */
  cut(): void {
    const events = this.#live
    this.#live = undefined
    events?.onClose(undefined)
  }

  versionsOf(address: Uint8Array): Stored[] {
    const known = this.versions.get(toHex(address)) ?? []
    this.versions.set(toHex(address), known)
    return known
  }

  #serve(request: MailboxRequest): RelayMessage {
    const { ref, address } = request
    const versions = this.versionsOf(address)
    const latest = versions.at(-1)
    if (request.type === 'get-mailbox') {
      return latest === undefined
        ? refusal(request, 'ERR_UNKNOWN_MAILBOX')
        : { type: 'mailbox', ref, address, ...latest }
    }
    const { counter, bytes, signature } = request
    if (latest !== undefined && latest.counter >= counter) return refusal(request, 'ERR_STALE_MAILBOX')
    versions.push({ counter, bytes, signature })
    return { type: 'received', ref, space: spaceIdOf(address) }
  }
}

export function refusal({ ref, address }: MailboxRequest, code: ErrorCode): RelayMessage {
  return { type: 'reject', ref, space: spaceIdOf(address), code, message: '', position: 0, retryAfter: 0 }
}

/** The platform's, with a clock that runs `hurry` times as fast. */
export function hurried(hurry = 100): Environment {
  const real = platformEnvironment()
  return { ...real, schedule: (ms, task) => real.schedule(ms / hurry, task) }
}

/** A client of a relay whose identity is known. */
export function clientOf(relay: MailboxRelay, environment: Environment = hurried()): RelayClient {
  return new RelayClient({
    transport: relay,
    environment,
    url: 'ws://relay.test',
    pinned: { name: relay.name, key: relay.signingKey.publicKey },
    pin: async () => {},
    onState: () => {},
  })
}

function isMailboxRequest(message: ReplicaMessage): message is MailboxRequest {
  return message.type === 'put-mailbox' || message.type === 'get-mailbox'
}
