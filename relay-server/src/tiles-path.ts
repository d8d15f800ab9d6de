import { parseSpaceId, type SpaceId } from 'sealog/protocol'

/** A tile has at most so many hashes, a bundle so many entries (C2SP tlog-tiles). */
export const TILE_WIDTH = 256
const MAX_LEVEL = 63

/** A static resource of one log, by the names that C2SP tlog-tiles gives them. */
export type TileResource =
  | { readonly kind: 'checkpoint' }
  /** Hashes of the complete subtrees of 256^level entries: the `width` ones from number 256 · index on. */
  | { readonly kind: 'hashes'; readonly level: number; readonly index: number; readonly width: number }
  /** The `width` entries from 256 · index on. */
  | { readonly kind: 'entries'; readonly index: number; readonly width: number }

const PREFIX = '/log/'
const SPACE = /^\/log\/([0-9a-f]{64})\/(.*)$/s
const TILE = /^tile\/(entries|0|[1-9][0-9]?)\/((?:x[0-9]{3}\/)*[0-9]{3})(?:\.p\/([1-9][0-9]{0,2}))?$/

/** Whether a path of HTTP is one of those that belong to logs, well-formed or not. */
export function isLogPath(path: string): boolean {
  return path.startsWith(PREFIX)
}

/** The space that a path is about, and what follows its id; undefined where it names none. */
export function splitLogPath(path: string): { readonly space: SpaceId; readonly rest: string } | undefined {
  const [, id, rest] = SPACE.exec(path) ?? []
  return id === undefined || rest === undefined ? undefined : { space: parseSpaceId(id), rest }
}

/**
 * What a path below a log's prefix names. Each resource has one spelling: nothing is unescaped, no number has a zero too
 * many. Undefined for every other path.
 */
export function parseTilePath(rest: string): TileResource | undefined {
  if (rest === 'checkpoint') return { kind: 'checkpoint' }
  const [, which, elements, partial] = TILE.exec(rest) ?? []
  if (which === undefined || elements === undefined) return undefined
  const index = parseIndex(elements)
  const width = partial === undefined ? TILE_WIDTH : Number(partial)
  if (index === undefined || (partial !== undefined && width >= TILE_WIDTH)) return undefined
  if (which === 'entries') return { kind: 'entries', index, width }
  const level = Number(which)
  return level > MAX_LEVEL ? undefined : { kind: 'hashes', level, index, width }
}

/** `x001/x234/067` is 1,234,067: elements of three digits, all but the last with an `x`, and no more of them than it takes. */
function parseIndex(elements: string): number | undefined {
  const digits = elements.replaceAll(/[x/]/g, '')
  const index = Number(digits)
  const isShortest = digits.length === 3 || !digits.startsWith('000')
  // The end of the tile has to be a safe integer, too.
  return isShortest && index <= Math.floor(Number.MAX_SAFE_INTEGER / TILE_WIDTH) - 1 ? index : undefined
}

/** Whether the log of `size` entries has all of a resource: what is not complete does not exist yet. */
export function isWithin(resource: TileResource, size: number): boolean {
  if (resource.kind === 'checkpoint') return true
  const end = resource.index * TILE_WIDTH + resource.width
  // Beyond level 6 a single hash covers more than 2⁵³ entries: the product is too large then, however it is rounded.
  return end * TILE_WIDTH ** (resource.kind === 'hashes' ? resource.level : 0) <= size
}
