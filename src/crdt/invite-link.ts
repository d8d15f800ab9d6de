import { fromBase64Url, toBase64Url } from '../bytes.ts'
import { asBytes, asBytesUpTo, asText, asTuple, asUint, decodeCbor, encodeCbor } from '../codec.ts'
import { hkdf } from '../crypto/kdf.ts'
import { SealogError } from '../errors.ts'
import { idBytes, type SpaceId, spaceIdOf } from '../ids.ts'
import { parseNote } from '../verify/checkpoint.ts'
import { asRole, type RelayIdentity, type Role, roleNumber } from '../verify/control.ts'
import type { DeviceSecrets } from './secrets.ts'

/** An instant invite as it travels: whoever holds it may join, once. */
export interface Invite {
  readonly relay: RelayIdentity
  readonly space: SpaceId
  /** 32 bytes from which the provisional keys follow. */
  readonly seed: Uint8Array
  /** Where the invite stands in the log. */
  readonly index: number
  readonly role: Role
  /** Unix time in milliseconds. */
  readonly expires: number
  /** The relay's signed checkpoint at or after the invite, as the inviter verified it. */
  readonly note: Uint8Array
  /** What the inviter calls the space and itself. Nobody but the inviter vouches for it. */
  readonly spaceName: string
  readonly inviterName: string
}

const VERSION = 1
const MAX_LINK_LENGTH = 8192
/** So that its key fits into a store (512 bytes) as well. */
const MAX_ADDRESS_LENGTH = 500
const BARE_SCHEME = 'sealog:'

/** @param base address of the app, to which the invite is added as a fragment; default: the bare `sealog:` form */
export function encodeInviteLink(invite: Invite, base: string = BARE_SCHEME): string {
  const bytes = encodeCbor([
    VERSION,
    [invite.relay.name, invite.relay.key, invite.relay.url],
    idBytes(invite.space),
    invite.seed,
    invite.index,
    roleNumber(invite.role),
    invite.expires,
    invite.note,
    invite.spaceName,
    invite.inviterName,
  ])
  const text = toBase64Url(bytes)
  if (base === BARE_SCHEME) return `${BARE_SCHEME}${text}`
  const url = new URL(base)
  url.hash = text
  return url.href
}

/**
 * Reads an invite from a link, in any of its forms.
 * @throws SealogError ERR_INVITE for anything malformed; ERR_UPGRADE for one of a later version
 */
export function decodeInviteLink(link: string): Invite {
  if (typeof link !== 'string') throw new TypeError('link: expected a string')
  if (link.length > MAX_LINK_LENGTH) throw new SealogError('ERR_INVITE', 'the link is too long')
  const text = link.trim()
  const encoded = text.startsWith(BARE_SCHEME) ? text.slice(BARE_SCHEME.length) : text.slice(text.indexOf('#') + 1)
  try {
    return decodeInvite(fromBase64Url(encoded))
  } catch (cause) {
    if (cause instanceof SealogError && cause.code === 'ERR_UPGRADE') throw cause
    throw new SealogError('ERR_INVITE', 'this is not an invite, or a part of it is missing', { cause })
  }
}

function decodeInvite(bytes: Uint8Array): Invite {
  const item = decodeCbor(bytes, MAX_LINK_LENGTH)
  const version = asUint(Array.isArray(item) ? item[0] : undefined, 'invite version')
  if (version !== VERSION) throw new SealogError('ERR_UPGRADE', `invite of version ${version}`)
  const fields = asTuple(item, 10, 'invite')
  const relay = asTuple(fields[1], 3, 'relay')
  const note = asBytesUpTo(fields[7], 4096, 'note')
  const invite: Invite = {
    relay: {
      name: asText(relay[0], 255, 'relay name'),
      key: asBytes(relay[1], 32, 'relay key'),
      url: asRelayAddress(asText(relay[2], MAX_ADDRESS_LENGTH, 'relay address')),
    },
    space: spaceIdOf(asBytes(fields[2], 32, 'space')),
    seed: asBytes(fields[3], 32, 'seed'),
    index: asUint(fields[4], 'index'),
    role: asRole(fields[5]),
    expires: asUint(fields[6], 'expires'),
    note,
    spaceName: asText(fields[8], 256, 'space name'),
    inviterName: asText(fields[9], 256, 'inviter name'),
  }
  const { checkpoint } = parseNote(note)
  if (checkpoint.origin !== `${invite.relay.name}/${invite.space}` || checkpoint.size <= invite.index) {
    throw new SealogError('ERR_INVITE', 'the checkpoint in the invite is not about it')
  }
  return invite
}

/** Is this where a relay can be, as far as its spelling tells? */
export function isRelayAddress(url: string): boolean {
  return /^wss?:\/\/[\x21-\x7e]+$/.test(url) && URL.canParse(url) && url.length <= MAX_ADDRESS_LENGTH
}

function asRelayAddress(url: string): string {
  if (!isRelayAddress(url)) throw new SealogError('ERR_INVITE', 'not the address of a relay')
  return url
}

/** The provisional keys of an invite. */
export function inviteKeys(seed: Uint8Array): DeviceSecrets {
  return {
    signing: hkdf(seed, 'sealog/v1/invite-signing', [], 32),
    kem: hkdf(seed, 'sealog/v1/invite-kem', [], 32),
  }
}
