import { type NodeAt, SealogError, type SpaceId, ZERO_32 } from 'sealog/protocol'
import type { LogStore } from './log-store.ts'

/**
 * Runs a computation over nodes of a stored tree, such as `rootAt` or `proveConsistency`. Which nodes those ask for
 * depends on sizes alone, so a first run with blank hashes tells what to read, all at once.
 */
export async function withNodes<T>(store: LogStore, space: SpaceId, compute: (nodeAt: NodeAt) => T): Promise<T> {
  const places: (readonly [level: number, index: number])[] = []
  const keys = new Map<string, number>()
  const rehearsal = compute((level, index) => {
    const key = `${level}/${index}`
    if (!keys.has(key)) keys.set(key, places.push([level, index]) - 1)
    return ZERO_32
  })
  if (places.length === 0) return rehearsal
  const hashes = await store.readNodes(space, places)
  return compute((level, index) => {
    const hash = hashes[keys.get(`${level}/${index}`) ?? -1]
    if (hash === undefined) throw new SealogError('ERR_RELAY_INTERNAL', `node ${index} on level ${level} was not read`)
    return hash
  })
}
