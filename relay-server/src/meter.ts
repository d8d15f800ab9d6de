import type { ErrorCode, ReplicaMessage } from 'sealog/protocol'

/** Why a socket was turned away before it became one. */
export type SocketRefusal = 'full' | 'address'

/** Why a socket was ended by the relay. */
export type SocketEnd = 'slow' | 'unauthenticated' | 'malformed' | 'silent' | 'internal' | 'stopping'

/**
 * What a relay counts about itself. Nothing that is told here is an id, a key or an address, so that whatever shows it
 * can show all of it.
 */
export interface Meter {
  socketOpened(): void
  socketClosed(): void
  socketRefused(why: SocketRefusal): void
  socketEnded(why: SocketEnd): void
  /** A request was answered. @param code undefined: it was carried out @param seconds from its arrival on */
  served(type: ReplicaMessage['type'], code: ErrorCode | undefined, seconds: number): void
  /** One group commit. @param bytes of headers, bodies and wraps @param seconds from the first judgement to the signature */
  appended(entries: number, bytes: number, seconds: number): void
  /** Entries that another process appended were taken over. */
  followed(entries: number): void
  /** An append came late: another process was faster. */
  contended(): void
  /** One group was shown to so many followers. */
  shown(followers: number): void
  spaceOpened(): void
  spaceClosed(): void
  /** A space stopped, because its store failed or contradicts itself. */
  spaceFailed(why: 'storage' | 'corrupt'): void
  /** A space has lost entries that were signed; or has them back. */
  spaceBehind(isBehind: boolean): void
}

/** Counts nothing. */
export const NO_METER: Meter = {
  socketOpened() {},
  socketClosed() {},
  socketRefused() {},
  socketEnded() {},
  served() {},
  appended() {},
  followed() {},
  contended() {},
  shown() {},
  spaceOpened() {},
  spaceClosed() {},
  spaceFailed() {},
  spaceBehind() {},
}
