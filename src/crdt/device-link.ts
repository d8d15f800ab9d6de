import { fromBase64Url, toBase64Url } from '../bytes.ts'
import { asBytes, asText, asTuple, asUint, decodeCbor, encodeCbor } from '../codec.ts'
import { SealogError } from '../errors.ts'
import type { RelayIdentity } from '../verify/control.ts'
import { isRelayAddress } from './invite-link.ts'

/** What one more device of a person needs to find all spaces of that person: where, and the seed of a mailbox. */
export interface DeviceLink {
  readonly relay: RelayIdentity
  /** 32 bytes, used once: its mailbox lists the spaces, and in each of them it may bring in one device. */
  readonly seed: Uint8Array
}

const VERSION = 1
const MAX_LINK_LENGTH = 4096
const SCHEME = 'sealog-device:'
/** Tells it from an invite where both come as the fragment of an address. */
const MARK = 'device.'

/** @param base address of the app, to which the link is added as a fragment; default: the bare `sealog-device:` form */
export function encodeDeviceLink({ relay, seed }: DeviceLink, base?: string): string {
  const text = toBase64Url(encodeCbor([VERSION, [relay.name, relay.key, relay.url], seed]))
  if (base === undefined) return `${SCHEME}${text}`
  const url = new URL(base)
  url.hash = `${MARK}${text}`
  return url.href
}

/** @throws SealogError ERR_INVITE for anything malformed; ERR_UPGRADE for one of a later version; TypeError */
export function decodeDeviceLink(link: string): DeviceLink {
  if (typeof link !== 'string') throw new TypeError('link: expected a string')
  try {
    const item = decodeCbor(bytesIn(link.trim()), MAX_LINK_LENGTH)
    const version = asUint(Array.isArray(item) ? item[0] : undefined, 'link version')
    if (version !== VERSION) throw new SealogError('ERR_UPGRADE', `a link of version ${version}`)
    const fields = asTuple(item, 3, 'link')
    const relay = asTuple(fields[1], 3, 'relay')
    const url = asText(relay[2], 500, 'relay address')
    if (!isRelayAddress(url)) throw new SealogError('ERR_MALFORMED', 'not the address of a relay')
    return {
      relay: { name: asText(relay[0], 255, 'relay name'), key: asBytes(relay[1], 32, 'relay key'), url },
      seed: asBytes(fields[2], 32, 'seed'),
    }
  } catch (cause) {
    if (cause instanceof SealogError && cause.code === 'ERR_UPGRADE') throw cause
    throw new SealogError('ERR_INVITE', 'this is not a link for a device, or a part of it is missing', { cause })
  }
}

function bytesIn(text: string): Uint8Array {
  if (text.length > MAX_LINK_LENGTH) throw new SealogError('ERR_LIMIT', 'the link is too long')
  if (text.startsWith(SCHEME)) return fromBase64Url(text.slice(SCHEME.length))
  const fragment = text.slice(text.indexOf('#') + 1)
  if (!fragment.startsWith(MARK)) throw new SealogError('ERR_MALFORMED', 'not a link for a device')
  return fromBase64Url(fragment.slice(MARK.length))
}
