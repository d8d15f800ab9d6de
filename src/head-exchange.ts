import { equalBytes } from './bytes.ts'
import type { Environment } from './environment.ts'
import { decodeHeadMessage, encodeHeadMessage } from './head-message.ts'
import type { SpaceId } from './ids.ts'

/** Heads are passed on at most this often for each space, in milliseconds. */
const INTERVAL = 10_000

/** Where replicas of one device hear each other: tabs and workers of one origin. */
export interface HeadChannel {
  post(message: Uint8Array): void
  /** @returns a function that ends it */
  listen(onMessage: (message: unknown) => void): () => void
}

/**
 * Passes the relay's latest word about each space on to the other replicas of this device, and theirs to the spaces
 * that are open here (DESIGN §5.5): a relay that tells them two stories is found out at once.
 */
export class HeadExchange {
  readonly #channel: HeadChannel
  readonly #environment: Environment
  readonly #told = new Map<SpaceId, Uint8Array>()
  readonly #waiting = new Map<SpaceId, () => void>()
  readonly #stop: () => void

  constructor(channel: HeadChannel, environment: Environment, onHead: (space: SpaceId, note: Uint8Array) => void) {
    this.#channel = channel
    this.#environment = environment
    this.#stop = channel.listen(message => {
      if (!(message instanceof Uint8Array)) return
      try {
        const { space, note } = decodeHeadMessage(message)
        onHead(space, note)
      } catch {
        // From another build, or from somebody else on this origin: nothing can be made of it.
      }
    })
  }

  /** The head of a space may be another: it is told after a while, as it is then. */
  changed(space: SpaceId, head: () => Uint8Array | undefined): void {
    if (this.#waiting.has(space)) return
    const cancel = this.#environment.schedule(INTERVAL, () => {
      this.#waiting.delete(space)
      const note = head()
      const told = this.#told.get(space)
      if (note === undefined || (told !== undefined && equalBytes(told, note))) return
      this.#told.set(space, note)
      this.#channel.post(encodeHeadMessage({ space, note }))
    })
    this.#waiting.set(space, cancel)
  }

  close(): void {
    this.#stop()
    for (const cancel of this.#waiting.values()) cancel()
    this.#waiting.clear()
  }
}

/** The platform's channel between tabs and workers of one origin; undefined where it has none. */
export function platformHeadChannel(): HeadChannel | undefined {
  if (typeof BroadcastChannel !== 'function') return undefined
  return {
    post: message => {
      const channel = new BroadcastChannel(NAME)
      channel.postMessage(message)
      channel.close()
    },
    listen: onMessage => {
      const channel = new BroadcastChannel(NAME)
      channel.onmessage = (event: MessageEvent): void => onMessage(event.data)
      // In Node it would keep the process alive.
      ;(channel as { unref?: () => void }).unref?.()
      return () => channel.close()
    },
  }
}

const NAME = 'sealog/heads'
