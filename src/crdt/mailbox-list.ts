import { equalBytes } from '../bytes.ts'
import { asArray, asBytes, assertAscending, asTuple, asUint, type Cbor, decodeCbor, encodeCbor } from '../codec.ts'
import { SealogError } from '../errors.ts'
import { idBytes, type MemberId, memberIdOf, type SpaceId, spaceIdOf } from '../ids.ts'
import { MAX_MAILBOX_LENGTH } from '../relay/message-limits.ts'
import { type Checkpoint, encodeNote, originOf, parseNote, relaySignature } from '../verify/checkpoint.ts'
import type { RelayIdentity } from '../verify/control.ts'
import { relayIdentity } from '../verify/control-parts.ts'
import { noteKeyHash } from '../verify/note-key.ts'
import { isRelayAddress } from './invite-link.ts'

/** All that it takes, besides the seed, to be a device of the seed in a space again. */
export interface MailboxSpace {
  readonly relay: RelayIdentity
  readonly space: SpaceId
  /** The member that the device is one of. */
  readonly member: MemberId
  /** The relay's checkpoint, as a signed note: whoever comes back accepts no log that is not a later one of the same. */
  readonly note: Uint8Array
}

/** So many spaces fit into a mailbox, where they share a few relays. */
export const MAX_MAILBOX_SPACES = 1000

const VERSION = 1

/**
 * The list in a mailbox. A note is taken apart and put together again, without cosignatures, as the whole text of a
 * thousand would not fit.
 * @throws SealogError ERR_LIMIT for more than `MAX_MAILBOX_SPACES`; ERR_CHECKPOINT, ERR_CHECKPOINT_SIGNATURE for a note
 * that is not of this relay about this space
 */
export function encodeMailboxList(list: readonly MailboxSpace[]): Uint8Array {
  assertFits(list.length)
  const sorted = [...list].sort((a, b) => (a.space < b.space ? -1 : 1))
  const relays: RelayIdentity[] = []
  const rows = sorted.map(each => {
    const known = relays.findIndex(relay => isSameRelay(relay, each.relay))
    const at = known >= 0 ? known : relays.push(each.relay) - 1
    return [at, idBytes(each.space), idBytes(each.member), ...noteFields(each)]
  })
  return encodeCbor([VERSION, relays.map(relayIdentity.write), rows])
}

/** @throws SealogError ERR_MALFORMED, ERR_LIMIT; ERR_UPGRADE for a list of a later version */
export function decodeMailboxList(bytes: Uint8Array): readonly MailboxSpace[] {
  const item = decodeCbor(bytes, MAX_MAILBOX_LENGTH)
  const version = asUint(Array.isArray(item) ? item[0] : undefined, 'mailbox version')
  if (version !== VERSION) throw new SealogError('ERR_UPGRADE', `mailbox of version ${version}`)
  const fields = asTuple(item, 3, 'mailbox')
  const relays = asArray(fields[1], MAX_MAILBOX_SPACES, 'relays').map(asReachableRelay)
  const rows = asArray(fields[2], MAX_MAILBOX_SPACES, 'spaces')
  const list = rows.map(row => asMailboxSpace(row, relays))
  assertAscending(
    list.map(({ space }) => idBytes(space)),
    'spaces',
  )
  // Relays in another order, twice or unused would be another spelling of the same.
  if (!equalBytes(encodeMailboxList(list), bytes)) throw malformed('expected the relays of the spaces, in their order')
  return list
}

/** The spaces of both lists; of one that is in both, what has seen more of its log, and where that is the same, `own`. */
export function mergeMailboxLists(
  stored: readonly MailboxSpace[],
  own: readonly MailboxSpace[],
): readonly MailboxSpace[] {
  const merged = new Map(stored.map(each => [each.space, each]))
  for (const each of own) {
    const before = merged.get(each.space)
    if (before === undefined || sizeOf(before) <= sizeOf(each)) merged.set(each.space, each)
  }
  return [...merged.values()]
}

function sizeOf({ note }: MailboxSpace): number {
  return parseNote(note).checkpoint.size
}

function isSameRelay(a: RelayIdentity, b: RelayIdentity): boolean {
  return a.name === b.name && equalBytes(a.key, b.key) && a.url === b.url
}

function noteFields({ relay, space, note }: MailboxSpace): Cbor[] {
  const parsed = parseNote(note)
  const signature = relaySignature(parsed, { name: originOf(relay.name, space), publicKey: relay.key })
  const { size, root, stateRoot, time } = parsed.checkpoint
  return [size, root, stateRoot, time, signature]
}

function asMailboxSpace(item: Cbor, relays: readonly RelayIdentity[]): MailboxSpace {
  const fields = asTuple(item, 8, 'space')
  const relay = relays[asUint(fields[0], 'relay')]
  if (relay === undefined) throw malformed('a relay that is not in the list')
  const space = spaceIdOf(asBytes(fields[1], 32, 'space'))
  const member = memberIdOf(asBytes(fields[2], 16, 'member'))
  const checkpoint: Checkpoint = {
    origin: originAt(relay, space),
    size: asUint(fields[3], 'size'),
    root: asBytes(fields[4], 32, 'root'),
    stateRoot: asBytes(fields[5], 32, 'state root'),
    time: asUint(fields[6], 'time'),
  }
  const { origin } = checkpoint
  const line = { name: origin, keyHash: noteKeyHash(origin, relay.key), signature: asBytes(fields[7], 64, 'signature') }
  return { relay, space, member, note: encodeNote(checkpoint, [line]) }
}

function asReachableRelay(item: Cbor): RelayIdentity {
  const relay = relayIdentity.read(item, 'relay')
  if (!isRelayAddress(relay.url)) throw malformed('not the address of a relay')
  return relay
}

function originAt({ name }: RelayIdentity, space: SpaceId): string {
  try {
    return originOf(name, space)
  } catch (cause) {
    throw new SealogError('ERR_MALFORMED', 'mailbox: not the name of a relay', { cause })
  }
}

function assertFits(count: number): void {
  if (count <= MAX_MAILBOX_SPACES) return
  const details = { limit: MAX_MAILBOX_SPACES }
  throw new SealogError('ERR_LIMIT', `${count} spaces are more than a mailbox holds`, { details })
}

function malformed(what: string): SealogError {
  return new SealogError('ERR_MALFORMED', `mailbox: ${what}`)
}
