/** The other end of one connection, as a transport gives it to a session. Nothing here throws. */
export interface Peer {
  /** Queues one frame; does nothing once the connection is closed. */
  send(frame: Uint8Array): void
  /** Bytes queued that the other side has not taken yet. */
  buffered(): number
  /** Resolves when few bytes are queued, or the connection is closed. */
  drained(): Promise<void>
  /** Reads no more until `resume`, so that the other side has to wait. */
  pause(): void
  resume(): void
  /** @param code a WebSocket close code (RFC 6455 §7.4) */
  close(code: number, reason: string): void
}

/** The close codes that a relay uses. */
export const CLOSE = {
  goingAway: 1001,
  invalidData: 1007,
  policy: 1008,
  internal: 1011,
  tryAgain: 1013,
} as const

/** Up to this many bytes a connection counts as drained. */
export const LOW_WATER: number = 1024 * 1024
