import { concat, SealogError, type SpaceId } from 'sealog/protocol'
import type { LogStore } from './log-store.ts'
import { TILE_WIDTH, type TileResource } from './tiles-path.ts'

/** A hash in a tile stands for so many levels of the tree more than one in the tile below. */
const TILE_HEIGHT = 8

/**
 * The bytes of a tile or of a bundle of entries, as C2SP tlog-tiles has them: hashes one after the other, or leaves, each
 * behind its length in two bytes. Leaves are encoded headers, of at most 320 bytes; bodies are no part of the tree.
 * @param resource within the log that this relay has signed
 * @throws SealogError whatever the store throws
 */
export function readTile(
  store: LogStore,
  space: SpaceId,
  resource: Exclude<TileResource, { readonly kind: 'checkpoint' }>,
): Promise<Uint8Array> {
  return resource.kind === 'hashes' ? readHashes(store, space, resource) : readLeaves(store, space, resource)
}

async function readHashes(
  store: LogStore,
  space: SpaceId,
  { level, index, width }: { readonly level: number; readonly index: number; readonly width: number },
): Promise<Uint8Array> {
  const first = index * TILE_WIDTH
  const places = Array.from({ length: width }, (_, i) => [level * TILE_HEIGHT, first + i] as const)
  return concat(...(await store.readNodes(space, places)))
}

async function readLeaves(
  store: LogStore,
  space: SpaceId,
  { index, width }: { readonly index: number; readonly width: number },
): Promise<Uint8Array> {
  const from = index * TILE_WIDTH
  const range = { from, to: from + width, inlineLength: -1, maxBytes: Number.MAX_SAFE_INTEGER }
  const entries = await store.readEntries(space, range)
  if (entries.length !== width) throw new SealogError('ERR_STORE_CORRUPT', `${entries.length} entries of ${width}`)
  return concat(...entries.flatMap(({ header }) => [lengthPrefix(header), header]))
}

function lengthPrefix({ length }: Uint8Array): Uint8Array {
  return Uint8Array.of(length >> 8, length & 0xff)
}
