import { concat, fromBase64Url, toBase64Url } from '../bytes.ts'
import { asBytes, asBytesUpTo, asTuple, asUint, decodeCbor, encodeCbor } from '../codec.ts'
import { labelledHash } from '../crypto/hash.ts'
import { asSealogError, SealogError } from '../errors.ts'
import { idBytes, type SpaceId, spaceIdOf } from '../ids.ts'
import type { LogView } from './log.ts'

const GROUPS = 12
const SCHEME = 'sealog-fingerprint:'
const VERSION = 1
const MAX_PAYLOAD = 32 * 1024

/** What two members compare to know that they see the same members, in the same log. */
export interface Fingerprint {
  readonly space: SpaceId
  /** 32 bytes. */
  readonly hash: Uint8Array
  /** The relay's latest note. */
  readonly note: Uint8Array
}

/**
 * Hash over the space, the latest control entry, and the root of the log right after it (DESIGN §5.5): equal for all
 * who have the same members, devices, roles and keys, and got there by the same log. Entries of documents do not
 * change it, so there is time to read it out.
 * @returns 32 bytes; undefined as long as there is no log
 */
export function fingerprintOf({ space, state, controlRoot }: LogView): Uint8Array | undefined {
  if (state === undefined || controlRoot === undefined) return undefined
  return labelledHash('sealog/v1/fingerprint', idBytes(space), state.control.head, controlRoot.root)
}

/** 60 decimal digits in 12 groups of 5, for people to read out. @param hash 32 bytes */
export function fingerprintDigits(hash: Uint8Array): string {
  const bytes = concat(labelledHash('sealog/v1/digits', hash), labelledHash('sealog/v1/digits/2', hash))
  const groups: string[] = []
  for (let group = 0; group < GROUPS; group++) {
    // 40 bits for 5 digits: no digit is more than a millionth more likely than another.
    const value = bytes.subarray(5 * group, 5 * group + 5).reduce((sum, byte) => sum * 256 + byte, 0)
    groups.push(`${value % 100_000}`.padStart(5, '0'))
  }
  return groups.join(' ')
}

/** As text for a QR code. */
export function encodeFingerprint({ space, hash, note }: Fingerprint): string {
  return SCHEME + toBase64Url(encodeCbor([VERSION, idBytes(space), hash, note]))
}

/** @throws SealogError ERR_MALFORMED, ERR_UPGRADE; TypeError for what is not a string */
export function decodeFingerprint(text: string): Fingerprint {
  if (typeof text !== 'string') throw new TypeError('fingerprint: expected a string')
  if (!text.startsWith(SCHEME) || text.length > MAX_PAYLOAD) {
    throw new SealogError('ERR_MALFORMED', 'not the fingerprint of a space')
  }
  try {
    const item = decodeCbor(fromBase64Url(text.slice(SCHEME.length)), MAX_PAYLOAD)
    const version = asUint(Array.isArray(item) ? item[0] : undefined, 'version')
    if (version !== VERSION) throw new SealogError('ERR_UPGRADE', `a fingerprint of version ${version}`)
    const fields = asTuple(item, 4, 'fingerprint')
    return {
      space: spaceIdOf(asBytes(fields[1], 32, 'space')),
      hash: asBytes(fields[2], 32, 'hash'),
      note: asBytesUpTo(fields[3], 16 * 1024, 'note'),
    }
  } catch (error) {
    throw asSealogError(error, 'ERR_MALFORMED', 'not the fingerprint of a space')
  }
}
