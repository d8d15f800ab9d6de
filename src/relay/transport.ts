import type { SealogError } from '../errors.ts'

/** One live connection: whole frames, in order, until it closes. */
export interface Connection {
  /** Queues one frame. After the connection closed this does nothing. */
  send(frame: Uint8Array): void
  /** Ends the connection; `onClose` follows. */
  close(): void
}

/** What happens on a connection. No call comes after `onClose`. */
export interface ConnectionEvents {
  onOpen(): void
  onFrame(frame: Uint8Array): void
  /** @param cause what went wrong, if anything is known */
  onClose(cause: SealogError | undefined): void
}

/** Opens connections to a relay: over WebSocket, or in one process for tests. */
export interface Transport {
  /** Starts to connect to `url`; the outcome comes by `events`, never before `connect` returned. */
  connect(url: string, events: ConnectionEvents): Connection
}
