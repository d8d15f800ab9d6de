import {
  asArray,
  asBytes,
  asBytesUpTo,
  asOptional,
  asTuple,
  asUint,
  type Cbor,
  decodeCbor,
  encodeCbor,
  optional,
} from '../codec.ts'
import { labelledHash, sha256 } from '../crypto/hash.ts'
import { SealogError } from '../errors.ts'
import { idBytes, type MemberId } from '../ids.ts'
import {
  type Delivery,
  type EpochStart,
  type History,
  historyNumber,
  type InviteKind,
  MAX_SEALED_NAME_LENGTH,
  type Policy,
  type RelayIdentity,
  type Role,
  roleNumber,
} from './control.ts'
import {
  asDelivery,
  asEpochStart,
  asHistory,
  asInviteKind,
  asMemberId,
  asPolicy,
  asRelayIdentity,
  asRole,
  deliveryFields,
  epochStartFields,
  inviteKindNumber,
  policyFields,
  relayIdentityFields,
} from './control-codec.ts'

/** A place among control entries, and in the log. */
export interface Moment {
  /** Number of the control entry. */
  readonly number: number
  readonly index: number
  /** The epoch in force there. */
  readonly epoch: number
}

/** Sealed under the names secret of an epoch. */
export interface SealedName {
  readonly epoch: number
  readonly sealed: Uint8Array
}

const STANDINGS = ['member', 'provisional', 'applicant', 'pending'] as const
/**
 * `provisional`: of an invite whose link holds a key, may do nothing but join. `applicant`: the same of an approved
 * invite, whose link holds none. `pending`: has joined, and waits for approval.
 */
export type Standing = (typeof STANDINGS)[number]

/** One device that was ever admitted; its number is the number of the control entry that admitted it. */
export interface DeviceRecord {
  readonly number: number
  readonly signing: Uint8Array
  readonly kem: Uint8Array
  readonly member: MemberId
  readonly standing: Standing
  /** Undefined for a provisional or pending device. */
  readonly name: SealedName | undefined
  readonly since: Moment
  readonly removed: Moment | undefined
  /** The first epoch that this device was given secrets of, where its member may not read everything. */
  readonly readsFrom: number
}

/** A member, also one that is no more. */
export interface MemberRecord {
  readonly id: MemberId
  readonly role: Role
  readonly history: History
  readonly name: SealedName
  readonly since: Moment
  readonly removed: Moment | undefined
}

/** An invite that nobody has used yet, or a request that nobody has approved; its number is that of its device. */
export interface OpenInvite {
  readonly number: number
  readonly kind: InviteKind
  readonly member: MemberId
  readonly role: Role
  readonly history: History
  readonly expires: number
  readonly inviter: MemberId
  /** Number of the inviter's device. */
  readonly device: number
  /** Approved only; see `InviteBody.nameKey`. */
  readonly nameKey: SealedName | undefined
  /** Names of who asks, where somebody has: sealed under a key from the link. */
  readonly requested: { readonly memberName: Uint8Array; readonly deviceName: Uint8Array } | undefined
}

/** One attempt to get the secrets of an epoch to the members. */
export interface DeliveryRecord extends Delivery {
  /** Place of its entry in the log. */
  readonly index: number
  /** Number of its author's device. */
  readonly device: number
}

export interface EpochRecord extends EpochStart {
  /** Place in the log of the entry that started it. */
  readonly index: number
  /** Number of the device that started it. */
  readonly device: number
  /** When, by the clock of its author: Unix time in milliseconds. */
  readonly time: number
  /** First the one that came with it, then repairs. The first epoch has none but repairs. */
  readonly deliveries: readonly DeliveryRecord[]
}

const ROTATIONS = ['settled', 'due', 'tainted'] as const
/**
 * `tainted`: somebody who should not read on holds the secret of the epoch in force, so no document entry is valid
 * before the next one starts. `due`: the next one should start soon.
 */
export type Rotation = (typeof ROTATIONS)[number]

/** What control entries fold to (DESIGN §4). */
export interface ControlState {
  /** Leaf hash of the genesis: the space's id, 32 bytes. */
  readonly space: Uint8Array
  readonly relay: RelayIdentity
  readonly policy: Policy
  readonly spaceName: SealedName
  readonly devices: ReadonlyMap<number, DeviceRecord>
  readonly members: ReadonlyMap<MemberId, MemberRecord>
  readonly invites: ReadonlyMap<number, OpenInvite>
  readonly epochs: readonly EpochRecord[]
  readonly rotation: Rotation
  /** Number of control entries so far: the number that the next one gets. */
  readonly count: number
  /** Leaf hash of the latest control entry. */
  readonly head: Uint8Array
}

export function latestEpoch(control: ControlState): number {
  return control.epochs.length - 1
}

export function currentMember(control: ControlState, member: MemberId): MemberRecord | undefined {
  const record = control.members.get(member)
  return record?.removed === undefined ? record : undefined
}

/** Who may read everything, and write: can start an epoch, and repair one (protocol.md R-ROTATE-1). */
export function isKeeper(member: MemberRecord | undefined): member is MemberRecord {
  return member !== undefined && member.removed === undefined && member.history === 'all' && member.role !== 'reader'
}

/** A device that may speak as its member; neither removed nor provisional nor pending. */
export function isMemberDevice(device: DeviceRecord | undefined): device is DeviceRecord {
  return device !== undefined && device.standing === 'member' && device.removed === undefined
}

/** May the member of this device, or who uses the invite that it stands for, read everything? */
export function historyOf(control: ControlState, device: DeviceRecord): History {
  const invite = control.invites.get(device.number)
  return (invite ?? control.members.get(device.member))?.history ?? 'from-join'
}

// -- Rows: how the state is kept. What grows with the space has a row for each record. ------------------------------

/** All in one piece, as evidence carries it. */
export function encodeControlState(control: ControlState): Uint8Array {
  return encodeCbor([
    encodeControlCore(control),
    [...control.devices.values()].map(encodeDeviceRecord),
    [...control.members.values()].map(encodeMemberRecord),
    control.epochs.map(encodeEpochRecord),
  ])
}

/** @throws SealogError ERR_MALFORMED, ERR_LIMIT, ERR_UPGRADE */
export function decodeControlState(bytes: Uint8Array): ControlState {
  const fields = asTuple(decodeCbor(bytes, MAX_ROW_LENGTH), 4, 'control state')
  const list = (item: Cbor | undefined, what: string): readonly Uint8Array[] =>
    asArray(item, MAX_ROWS, what).map(row => asBytesUpTo(row, MAX_ROW_LENGTH, what))
  return decodeControlParts({
    core: asBytesUpTo(fields[0], MAX_ROW_LENGTH, 'control state'),
    devices: list(fields[1], 'devices'),
    members: list(fields[2], 'members'),
    epochs: list(fields[3], 'epochs'),
  })
}

/** One of the rows in which a state is kept. Ordered by name they come in the order of the state. */
export interface ControlRow {
  /** ASCII, at most 64 characters. */
  readonly name: string
  readonly value: Uint8Array
}

/** The rows of a state: all of them, or those that differ from what they were before. None ever goes. */
export function controlRows(control: ControlState, before?: ControlState): readonly ControlRow[] {
  const rows: ControlRow[] = [{ name: CORE, value: encodeControlCore(control) }]
  for (const device of control.devices.values()) {
    if (device === before?.devices.get(device.number)) continue
    rows.push({ name: `device/${ordinal(device.number)}`, value: encodeDeviceRecord(device) })
  }
  for (const [number, epoch] of control.epochs.entries()) {
    if (epoch !== before?.epochs[number])
      rows.push({ name: `epoch/${ordinal(number)}`, value: encodeEpochRecord(epoch) })
  }
  for (const member of control.members.values()) {
    if (member === before?.members.get(member.id)) continue
    rows.push({ name: `member/${ordinal(member.since.number)}`, value: encodeMemberRecord(member) })
  }
  return rows
}

/** @throws SealogError ERR_MALFORMED, ERR_LIMIT, ERR_UPGRADE */
export function readControlRows(rows: readonly ControlRow[]): ControlState {
  const sorted = [...rows].sort((a, b) => (a.name < b.name ? -1 : 1))
  const of = (kind: string): readonly Uint8Array[] =>
    sorted.filter(({ name }) => name.startsWith(kind)).map(({ value }) => value)
  const [core] = of(CORE)
  if (core === undefined) throw new SealogError('ERR_MALFORMED', 'a control state without its core')
  return decodeControlParts({ core, devices: of('device/'), members: of('member/'), epochs: of('epoch/') })
}

const CORE = 'core'

function ordinal(number: number): string {
  return `${number}`.padStart(16, '0')
}

interface ControlParts {
  readonly core: Uint8Array
  /** In the order of their numbers. */
  readonly devices: readonly Uint8Array[]
  /** In the order in which they were admitted. */
  readonly members: readonly Uint8Array[]
  readonly epochs: readonly Uint8Array[]
}

function decodeControlParts(rows: ControlParts): ControlState {
  const fields = asTuple(decodeCbor(rows.core, MAX_ROW_LENGTH), 8, 'control state')
  return {
    space: asBytes(fields[0], 32, 'space'),
    relay: asRelayIdentity(fields[1]),
    policy: asPolicy(fields[2]),
    spaceName: asSealedName(fields[3], 'space name'),
    devices: new Map(rows.devices.map(decodeDeviceRecord).map(record => [record.number, record])),
    members: new Map(rows.members.map(decodeMemberRecord).map(record => [record.id, record])),
    invites: new Map(asArray(fields[4], MAX_ROWS, 'invites').map(asInvite)),
    epochs: rows.epochs.map(decodeEpochRecord),
    rotation: ROTATIONS[asUint(fields[5], 'rotation', ROTATIONS.length - 1)] as Rotation,
    count: asUint(fields[6], 'control count'),
    head: asBytes(fields[7], 32, 'control head'),
  }
}

/** All but the devices, members and epochs. */
function encodeControlCore(control: ControlState): Uint8Array {
  return encodeCbor([
    control.space,
    relayIdentityFields(control.relay),
    policyFields(control.policy),
    sealedNameFields(control.spaceName),
    [...control.invites].map(([number, invite]) => [
      number,
      inviteKindNumber(invite.kind),
      idBytes(invite.member),
      roleNumber(invite.role),
      historyNumber(invite.history),
      invite.expires,
      idBytes(invite.inviter),
      invite.device,
      optional(invite.nameKey, sealedNameFields),
      optional(invite.requested, names => [names.memberName, names.deviceName]),
    ]),
    ROTATIONS.indexOf(control.rotation),
    control.count,
    control.head,
  ])
}

function encodeDeviceRecord(device: DeviceRecord): Uint8Array {
  return encodeCbor([
    device.number,
    device.signing,
    device.kem,
    idBytes(device.member),
    STANDINGS.indexOf(device.standing),
    optional(device.name, sealedNameFields),
    momentFields(device.since),
    optional(device.removed, momentFields),
    device.readsFrom,
  ])
}

/** @throws SealogError ERR_MALFORMED, ERR_LIMIT */
function decodeDeviceRecord(bytes: Uint8Array): DeviceRecord {
  const fields = asTuple(decodeCbor(bytes, MAX_RECORD_LENGTH), 9, 'device')
  return {
    number: asUint(fields[0], 'device'),
    signing: asBytes(fields[1], 32, 'signing key'),
    kem: asBytes(fields[2], 1216, 'KEM key'),
    member: asMemberId(fields[3]),
    standing: STANDINGS[asUint(fields[4], 'standing', STANDINGS.length - 1)] as Standing,
    name: asOptional(fields[5], 'device name', asSealedName),
    since: asMoment(fields[6], 'since'),
    removed: asOptional(fields[7], 'removed', asMoment),
    readsFrom: asUint(fields[8], 'first epoch'),
  }
}

function encodeMemberRecord(member: MemberRecord): Uint8Array {
  return encodeCbor([
    idBytes(member.id),
    roleNumber(member.role),
    historyNumber(member.history),
    sealedNameFields(member.name),
    momentFields(member.since),
    optional(member.removed, momentFields),
  ])
}

/** @throws SealogError ERR_MALFORMED, ERR_LIMIT */
function decodeMemberRecord(bytes: Uint8Array): MemberRecord {
  const fields = asTuple(decodeCbor(bytes, MAX_RECORD_LENGTH), 6, 'member')
  return {
    id: asMemberId(fields[0]),
    role: asRole(fields[1]),
    history: asHistory(fields[2]),
    name: asSealedName(fields[3], 'member name'),
    since: asMoment(fields[4], 'since'),
    removed: asOptional(fields[5], 'removed', asMoment),
  }
}

function encodeEpochRecord(epoch: EpochRecord): Uint8Array {
  return encodeCbor([
    epochStartFields(epoch),
    epoch.index,
    epoch.device,
    epoch.time,
    epoch.deliveries.map(delivery => [deliveryFields(delivery), delivery.index, delivery.device]),
  ])
}

/** @throws SealogError ERR_MALFORMED, ERR_LIMIT */
function decodeEpochRecord(bytes: Uint8Array): EpochRecord {
  const fields = asTuple(decodeCbor(bytes, MAX_ROW_LENGTH), 5, 'epoch')
  return {
    ...asEpochStart(fields[0]),
    index: asUint(fields[1], 'index'),
    device: asUint(fields[2], 'device'),
    time: asUint(fields[3], 'time'),
    deliveries: asArray(fields[4], MAX_ROWS, 'deliveries').map(item => {
      const row = asTuple(item, 3, 'delivery')
      return { ...asDelivery(row[0]), index: asUint(row[1], 'index'), device: asUint(row[2], 'device') }
    }),
  }
}

// -- The commitment -----------------------------------------------------------------------------------------------

/** Records are immutable and most stay as they are, while every control entry changes the state. */
const recordHashes = new WeakMap<object, Uint8Array>()
/** The state root is due with every batch, and few batches touch the control state. */
const stateHashes = new WeakMap<ControlState, Uint8Array>()

/** What the state root commits to of it. @returns 32 bytes */
export function hashControl(control: ControlState): Uint8Array {
  return remembered(stateHashes, control, () =>
    labelledHash(
      'sealog/v1/control-state',
      sha256(encodeControlCore(control)),
      hashRecords([...control.devices.values()], encodeDeviceRecord),
      hashRecords([...control.members.values()], encodeMemberRecord),
      hashRecords(control.epochs, encodeEpochRecord),
    ),
  )
}

function hashRecords<Item extends object>(records: readonly Item[], encode: (record: Item) => Uint8Array): Uint8Array {
  // Not as arguments: records are never forgotten, and a call takes only so many before it fails.
  const hashes = new Uint8Array(32 * records.length)
  for (const [i, record] of records.entries()) {
    hashes.set(
      remembered(recordHashes, record, () => sha256(encode(record))),
      32 * i,
    )
  }
  return sha256(hashes)
}

function remembered<Key extends object>(
  cache: WeakMap<Key, Uint8Array>,
  key: Key,
  compute: () => Uint8Array,
): Uint8Array {
  const known = cache.get(key)
  if (known !== undefined) return known
  const hash = compute()
  cache.set(key, hash)
  return hash
}

// -- Parts --------------------------------------------------------------------------------------------------------

const MAX_ROWS = 10_000_000
const MAX_RECORD_LENGTH = 4096
const MAX_ROW_LENGTH: number = 256 * 1024 * 1024

function sealedNameFields({ epoch, sealed }: SealedName): Cbor {
  return [epoch, sealed]
}

function asSealedName(item: Cbor | undefined, what: string): SealedName {
  const fields = asTuple(item, 2, what)
  return { epoch: asUint(fields[0], 'epoch'), sealed: asBytesUpTo(fields[1], MAX_SEALED_NAME_LENGTH, what) }
}

function momentFields({ number, index, epoch }: Moment): Cbor {
  return [number, index, epoch]
}

function asMoment(item: Cbor | undefined, what: string): Moment {
  const fields = asTuple(item, 3, what)
  return { number: asUint(fields[0], what), index: asUint(fields[1], what), epoch: asUint(fields[2], what) }
}

function asInvite(item: Cbor): [number, OpenInvite] {
  const row = asTuple(item, 10, 'invite')
  const number = asUint(row[0], 'invite')
  const invite: OpenInvite = {
    number,
    kind: asInviteKind(row[1]),
    member: asMemberId(row[2]),
    role: asRole(row[3]),
    history: asHistory(row[4]),
    expires: asUint(row[5], 'expires'),
    inviter: asMemberId(row[6]),
    device: asUint(row[7], 'device'),
    nameKey: asOptional(row[8], 'name key', asSealedName),
    requested: asOptional(row[9], 'request', names => {
      const parts = asTuple(names, 2, 'names')
      return {
        memberName: asBytesUpTo(parts[0], MAX_SEALED_NAME_LENGTH, 'member name'),
        deviceName: asBytesUpTo(parts[1], MAX_SEALED_NAME_LENGTH, 'device name'),
      }
    }),
  }
  return [number, invite]
}
