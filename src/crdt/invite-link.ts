import { fromBase64Url, toBase64Url } from '../bytes.ts'
import { asBytes, asBytesUpTo, asText, asTuple, asUint, decodeCbor, encodeCbor } from '../codec.ts'
import { hkdf } from '../crypto/kdf.ts'
import { SealogError } from '../errors.ts'
import { idBytes, type MemberId, memberIdOf, type SpaceId, spaceIdOf } from '../ids.ts'
import { parseNote } from '../verify/checkpoint.ts'
import {
  type History,
  historyNumber,
  type InviteKind,
  type RelayIdentity,
  type Role,
  roleNumber,
} from '../verify/control.ts'
import { history, inviteKind, role } from '../verify/control-parts.ts'
import type { DeviceSecrets } from './secrets.ts'

/** An invite as it travels: whoever holds it may join, or ask to, once. */
export interface Invite {
  readonly kind: InviteKind
  readonly relay: RelayIdentity
  readonly space: SpaceId
  /** 32 bytes from which the provisional keys follow. */
  readonly seed: Uint8Array
  /** Where the invite stands in the log. */
  readonly index: number
  /** Whom it makes a member, or whose further device it admits. */
  readonly member: MemberId
  readonly role: Role
  readonly history: History
  /** Unix time in milliseconds. */
  readonly expires: number
  /** The relay's signed checkpoint at or after the invite, as the inviter verified it. */
  readonly note: Uint8Array
  /** What the inviter calls the space and itself. Nobody but the inviter vouches for it. */
  readonly spaceName: string
  readonly inviterName: string
}

const VERSION = 2
const MAX_LINK_LENGTH = 8192
/** So that its key fits into a store (512 bytes) as well. */
const MAX_ADDRESS_LENGTH = 500
const BARE_SCHEME = 'sealog:'
/** In a QR code, capital letters and digits take 5.5 bits each, other characters 8. */
const QR_SCHEME = 'SEALOG:'
const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

/** @param base address of the app, to which the invite is added as a fragment; default: the bare `sealog:` form */
export function encodeInviteLink(invite: Invite, base: string = BARE_SCHEME): string {
  const text = toBase64Url(encodeInvite(invite))
  if (base === BARE_SCHEME) return `${BARE_SCHEME}${text}`
  const url = new URL(base)
  url.hash = text
  return url.href
}

/**
 * An invite as text for a QR code: `SEALOG:` and base32 (RFC 4648 §6), which fit its alphanumeric mode and so make a
 * smaller code than the link. `previewInvite` and `joinSpace` read it like any other form.
 * @throws SealogError ERR_INVITE, ERR_UPGRADE; TypeError
 */
export function inviteQr(link: string): string {
  return `${QR_SCHEME}${toBase32(encodeInvite(decodeInviteLink(link)))}`
}

function encodeInvite(invite: Invite): Uint8Array {
  return encodeCbor([
    VERSION,
    inviteKind.write(invite.kind),
    [invite.relay.name, invite.relay.key, invite.relay.url],
    idBytes(invite.space),
    invite.seed,
    invite.index,
    idBytes(invite.member),
    roleNumber(invite.role),
    historyNumber(invite.history),
    invite.expires,
    invite.note,
    invite.spaceName,
    invite.inviterName,
  ])
}

/**
 * Reads an invite from a link, in any of its forms.
 * @throws SealogError ERR_INVITE for anything malformed; ERR_UPGRADE for one of a later version
 */
export function decodeInviteLink(link: string): Invite {
  if (typeof link !== 'string') throw new TypeError('link: expected a string')
  if (link.length > MAX_LINK_LENGTH) throw new SealogError('ERR_INVITE', 'the link is too long')
  try {
    return decodeInvite(bytesIn(link.trim()))
  } catch (cause) {
    if (cause instanceof SealogError && cause.code === 'ERR_UPGRADE') throw cause
    throw new SealogError('ERR_INVITE', 'this is not an invite, or a part of it is missing', { cause })
  }
}

function bytesIn(text: string): Uint8Array {
  if (text.startsWith(QR_SCHEME)) return fromBase32(text.slice(QR_SCHEME.length))
  if (text.startsWith(BARE_SCHEME)) return fromBase64Url(text.slice(BARE_SCHEME.length))
  return fromBase64Url(text.slice(text.indexOf('#') + 1))
}

function decodeInvite(bytes: Uint8Array): Invite {
  const item = decodeCbor(bytes, MAX_LINK_LENGTH)
  const version = asUint(Array.isArray(item) ? item[0] : undefined, 'invite version')
  if (version !== VERSION) throw new SealogError('ERR_UPGRADE', `invite of version ${version}`)
  const fields = asTuple(item, 13, 'invite')
  const relay = asTuple(fields[2], 3, 'relay')
  const note = asBytesUpTo(fields[10], 4096, 'note')
  const invite: Invite = {
    kind: inviteKind.read(fields[1], 'kind of invite'),
    relay: {
      name: asText(relay[0], 255, 'relay name'),
      key: asBytes(relay[1], 32, 'relay key'),
      url: asRelayAddress(asText(relay[2], MAX_ADDRESS_LENGTH, 'relay address')),
    },
    space: spaceIdOf(asBytes(fields[3], 32, 'space')),
    seed: asBytes(fields[4], 32, 'seed'),
    index: asUint(fields[5], 'index'),
    member: memberIdOf(asBytes(fields[6], 16, 'member')),
    role: role.read(fields[7], 'role'),
    history: history.read(fields[8], 'history'),
    expires: asUint(fields[9], 'expires'),
    note,
    spaceName: asText(fields[11], 256, 'space name'),
    inviterName: asText(fields[12], 256, 'inviter name'),
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

/** The provisional keys of an invite. @param seed 32 bytes */
export function inviteKeys(seed: Uint8Array): DeviceSecrets {
  return {
    signing: hkdf(seed, 'sealog/v1/invite-signing', [], 32),
    kem: hkdf(seed, 'sealog/v1/invite-kem', [], 32),
  }
}

/** Under it, whoever uses an approved invite seals its names for who approves. @param seed 32 bytes @returns 32 bytes */
export function inviteNameKey(seed: Uint8Array): Uint8Array {
  return hkdf(seed, 'sealog/v1/invite-names', [], 32)
}

function toBase32(bytes: Uint8Array): string {
  let text = ''
  let bits = 0
  let value = 0
  for (const byte of bytes) {
    value = ((value << 8) | byte) & 0xfff
    bits += 8
    for (; bits >= 5; bits -= 5) text += BASE32[(value >> (bits - 5)) & 31]
  }
  return bits === 0 ? text : text + BASE32[(value << (5 - bits)) & 31]
}

/** One spelling only: what is left over of the last character is zero. @throws SealogError ERR_MALFORMED */
function fromBase32(text: string): Uint8Array {
  const bytes: number[] = []
  let bits = 0
  let value = 0
  for (const character of text) {
    const digit = BASE32.indexOf(character)
    if (digit < 0) throw new SealogError('ERR_MALFORMED', 'not base32')
    value = ((value << 5) | digit) & 0xfff
    bits += 5
    if (bits < 8) continue
    bits -= 8
    bytes.push((value >> bits) & 0xff)
  }
  if (bits >= 5 || (value & ((1 << bits) - 1)) !== 0) throw new SealogError('ERR_MALFORMED', 'not base32')
  return Uint8Array.from(bytes)
}
