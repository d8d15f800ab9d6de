import type { Limits } from 'sealog-relay'
import { NO_QUOTAS } from 'sealog-relay/testing'

/** What may come as fast as it can: a benchmark is one address that wants everything. */
export const BENCH_LIMITS: Partial<Limits> = { ...NO_QUOTAS, sockets: 100_000, unauthenticatedSockets: 100_000 }
