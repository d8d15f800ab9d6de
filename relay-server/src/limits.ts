/**
 * What one relay, one socket and one group commit may hold, and how fast whom it serves may go. Lengths in bytes, times
 * in milliseconds. Of the quotas 0 means none. They are counted by each process for itself.
 */
export interface Limits {
  // -- Sockets
  readonly sockets: number
  /** Sockets of one client address, and 64 connections more that are none, or not yet; 0: no such limit. */
  readonly socketsPerAddress: number
  /** Sockets on which nobody has authenticated yet; the oldest of them makes way for a new one. */
  readonly unauthenticatedSockets: number
  /** What a socket may send before somebody authenticates on it. */
  readonly unauthenticatedBytes: number
  /** What all of them together may send beyond that, as a genesis or a restoration needs. */
  readonly unauthenticatedTotal: number
  /** Requests on a socket before somebody authenticates on it. */
  readonly unauthenticatedRequests: number
  /** A connection must have brought its TLS handshake, and each of its requests, within this time. */
  readonly handshakeTime: number
  /** A socket must open a space, or create one, within this time. */
  readonly authenticationTime: number
  /** Requests per second from one client address that come to nothing: opens of no space, or by nobody; 0: no limit. */
  readonly failuresPerAddress: number
  /** A socket is pinged this often, and ended if it does not answer before the next ping. */
  readonly pingInterval: number
  // -- Memory
  readonly spacesPerSocket: number
  /**
   * What the spaces take in memory that one socket, or one client address, keeps open: shared ones in part, and besides the
   * largest one. 0: no limit.
   */
  readonly openBytesPerSocket: number
  readonly openBytesPerAddress: number
  /** Spaces kept in memory while nobody uses them, and what they take there; the one used last stays in any case. */
  readonly idleSpaces: number
  readonly idleBytes: number
  /** Requests of one socket that are under way; beyond it, nothing more is read. */
  readonly requestsPerSocket: number
  readonly requestBytesPerSocket: number
  /** Requests of all sockets that are under way; beyond it, nothing more is read from those that have any. */
  readonly requestBytes: number
  /** A socket that has more than this to read is disconnected. */
  readonly sendBytesPerSocket: number
  /** Large bodies under upload. */
  readonly stagedBytesPerSocket: number
  readonly stagedBytes: number
  /** Entries and bytes of one group commit: while it is judged and stored, other spaces wait. */
  readonly groupEntries: number
  readonly groupBytes: number
  /** A pull is answered with a note that is not older. */
  readonly noteAge: number
  // -- What is taken in
  /** Mailboxes that one socket may write to. */
  readonly mailboxesPerSocket: number
  /** Writes of one mailbox per hour. */
  readonly mailboxWrites: number
  /** Longest body of one entry. */
  readonly bodyLength: number
  /** Stored bytes of one space. */
  readonly spaceBytes: number
  /** Spaces in total. */
  readonly spaces: number
  /** New spaces per hour from one client address. */
  readonly spacesPerAddress: number
  /** Entries per second into one space, from one device, from one client address. */
  readonly entriesPerSpace: number
  readonly entriesPerDevice: number
  readonly entriesPerAddress: number
  /** Bytes of entries per second into one space, from one device, from one client address. */
  readonly bytesPerSpace: number
  readonly bytesPerDevice: number
  readonly bytesPerAddress: number
  /** Control entries of one device per hour. */
  readonly controlsPerDevice: number
  /** Bytes per second that one device may read beside what is new. */
  readonly readBytesPerDevice: number
  /** Bytes per second of spaces that are brought into memory for one device, for one client address. */
  readonly loadBytesPerDevice: number
  readonly loadBytesPerAddress: number
  /** Whoever was idle for this long may go as far at once as it could have gone in that time. */
  readonly burstTime: number
}

const KIB = 1024
const MIB: number = 1024 * KIB

export const DEFAULT_LIMITS: Limits = {
  sockets: 10_000,
  socketsPerAddress: 512,
  unauthenticatedSockets: 1024,
  unauthenticatedBytes: 64 * KIB,
  unauthenticatedTotal: 64 * MIB,
  unauthenticatedRequests: 512,
  handshakeTime: 10_000,
  authenticationTime: 30_000,
  failuresPerAddress: 20,
  pingInterval: 30_000,
  spacesPerSocket: 256,
  openBytesPerSocket: 128 * MIB,
  openBytesPerAddress: 256 * MIB,
  idleSpaces: 256,
  idleBytes: 256 * MIB,
  requestsPerSocket: 64,
  requestBytesPerSocket: 4 * MIB,
  requestBytes: 256 * MIB,
  sendBytesPerSocket: 8 * MIB,
  stagedBytesPerSocket: 64 * MIB,
  stagedBytes: 256 * MIB,
  groupEntries: 256,
  groupBytes: 4 * MIB,
  noteAge: 10_000,
  mailboxesPerSocket: 16,
  mailboxWrites: 600,
  bodyLength: 64 * MIB,
  spaceBytes: 8 * 1024 * MIB,
  spaces: 0,
  spacesPerAddress: 120,
  entriesPerSpace: 2000,
  entriesPerDevice: 500,
  entriesPerAddress: 5000,
  bytesPerSpace: 16 * MIB,
  bytesPerDevice: 8 * MIB,
  bytesPerAddress: 32 * MIB,
  controlsPerDevice: 600,
  readBytesPerDevice: 32 * MIB,
  loadBytesPerDevice: MIB,
  loadBytesPerAddress: 4 * MIB,
  burstTime: 20_000,
}

/** No device and no space is slowed down: as fast as it can. */
export const NO_RATES: Partial<Limits> = {
  entriesPerSpace: 0,
  entriesPerDevice: 0,
  bytesPerSpace: 0,
  bytesPerDevice: 0,
  controlsPerDevice: 0,
  readBytesPerDevice: 0,
  loadBytesPerDevice: 0,
}

/** Nor is a client address, which may want everything. */
export const NO_QUOTAS: Partial<Limits> = {
  ...NO_RATES,
  socketsPerAddress: 0,
  failuresPerAddress: 0,
  spacesPerAddress: 0,
  entriesPerAddress: 0,
  bytesPerAddress: 0,
  loadBytesPerAddress: 0,
  openBytesPerAddress: 0,
}
