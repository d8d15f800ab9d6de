import type { Limits } from 'sealog-relay'

/** What may come as fast as it can: a benchmark is one address that wants everything. */
export const NO_QUOTAS: Partial<Limits> = {
  sockets: 100_000,
  socketsPerAddress: 0,
  unauthenticatedSockets: 100_000,
  failuresPerAddress: 0,
  spacesPerAddress: 0,
  entriesPerSpace: 0,
  entriesPerDevice: 0,
  entriesPerAddress: 0,
  bytesPerSpace: 0,
  bytesPerDevice: 0,
  bytesPerAddress: 0,
  readBytesPerDevice: 0,
}
