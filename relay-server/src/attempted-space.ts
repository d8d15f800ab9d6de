import { hasCode, type SpaceId } from 'sealog/protocol'
import type { Attempt } from './gate.ts'
import type { Loader } from './space-loads.ts'
import type { Lease, SpaceRegistry } from './space-registry.ts'

/**
 * A space for somebody whom the relay may not know, and whose attempt counts unless it succeeds: that it has to wait
 * until the space may be brought into memory does not count, as it came to no look into the store.
 * @throws SealogError as `SpaceRegistry.acquire`
 */
export async function acquireInAttempt(
  spaces: SpaceRegistry,
  attempt: Attempt,
  space: SpaceId,
  loader: Loader,
): Promise<Lease> {
  try {
    return await spaces.acquire(space, loader)
  } catch (error) {
    if (hasCode(error, 'ERR_RATE_LIMITED')) attempt.succeeded()
    throw error
  }
}
