import { asBytes, asBytesUpTo, asTuple, asUint, decodeCbor, encodeCbor } from './codec.ts'
import { SealogError } from './errors.ts'
import { idBytes, type SpaceId, spaceIdOf } from './ids.ts'

/** The relay's word about one space, as one replica tells it to another. */
export interface HeadMessage {
  readonly space: SpaceId
  /** The relay's signed note. */
  readonly note: Uint8Array
}

const VERSION = 1
const MAX_NOTE = 16 * 1024

/** `[version, space, note]` in deterministic CBOR. */
export function encodeHeadMessage({ space, note }: HeadMessage): Uint8Array {
  return encodeCbor([VERSION, idBytes(space), note])
}

/** @throws SealogError ERR_MALFORMED, ERR_LIMIT; ERR_UPGRADE for one of a later version */
export function decodeHeadMessage(bytes: Uint8Array): HeadMessage {
  const item = decodeCbor(bytes, MAX_NOTE + 128)
  const version = asUint(Array.isArray(item) ? item[0] : undefined, 'version')
  if (version !== VERSION) throw new SealogError('ERR_UPGRADE', `a head of version ${version}`)
  const fields = asTuple(item, 3, 'head')
  return { space: spaceIdOf(asBytes(fields[1], 32, 'space')), note: asBytesUpTo(fields[2], MAX_NOTE, 'note') }
}
