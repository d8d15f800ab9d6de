import { equalBytes, isZero } from '../bytes.ts'
import { ZERO_32 } from '../crypto/hash.ts'
import { assertValidKemKey } from '../crypto/kem-key.ts'
import { assertAdmissibleKey, type SignatureCheck } from '../crypto/sign.ts'
import { type ErrorCode, SealogError } from '../errors.ts'
import { type ActorId, CONTROL_DOCUMENT, type MemberId } from '../ids.ts'
import {
  type ControlBody,
  type DeviceKeys,
  decodeControlBody,
  type GenesisBody,
  type InviteBody,
  type JoinBody,
  MAX_CONTROL_BODY_LENGTH,
  possessionInput,
  roleNumber,
} from './control.ts'
import { actorOf, type Header } from './entry.ts'
import {
  type ActorRecord,
  type ControlState,
  type DeviceRecord,
  type DocumentRecord,
  emptyDocument,
  findActor,
  findDocument,
  initialState,
  MAX_SNAPSHOTS,
  openActorsOf,
  type SpaceState,
  withActor,
  withDocument,
} from './state.ts'

/** Concurrent writers that one device may have in one document (protocol.md R-ACTOR-3). */
export const MAX_OPEN_ACTORS = 16

/** Why an entry is not valid at its place in the log. Same verdict in the relay and in every client. */
export type Refusal =
  | 'space'
  | 'device'
  | 'role'
  | 'epoch'
  | 'chain'
  | 'retired'
  | 'seen'
  | 'kind'
  | 'length'
  | 'tag'
  | 'actors'
  | 'control-body'
  | 'key'
  | 'invite'
  | 'import'
  | 'snapshot'

/** An entry at its place in the log. */
interface LoggedEntry {
  readonly header: Header
  /** Leaf hash of the header, 32 bytes. */
  readonly hash: Uint8Array
  readonly index: number
}

/** The log as the reducer sees it while it is at entry `index`. */
export interface EntryAt extends LoggedEntry {
  /** Root of the log's first `seenSize` entries, 32 bytes. */
  readonly seenRoot: Uint8Array
  /** Of control entries only. */
  readonly controlBody: Uint8Array | undefined
}

export interface Reduced {
  readonly state: SpaceState
  readonly actor: ActorId
  /** Signing key of the author's device, 32 bytes. */
  readonly signer: Uint8Array
  /** Proofs of possession that this entry brings. */
  readonly checks: readonly SignatureCheck[]
  /** Of control entries only. */
  readonly control: ControlBody | undefined
}

/**
 * The one deterministic reducer (DESIGN §4): folds one header into the state of the space.
 * It does not judge the entry's own signature; `advance` and the relay do, against `signer`.
 * @throws SealogError ERR_INVALID_ENTRY (ERR_STALE_EPOCH, ERR_STALE_CHAIN or ERR_UNAUTHORIZED where the author
 * can mend it) with `details.reason` a `Refusal`; ERR_UPGRADE for what a later build wrote
 */
export function applyHeader(state: SpaceState | undefined, entry: EntryAt): Reduced {
  if (state === undefined) return applyGenesis(entry)
  const { header } = entry
  refuseIf(!equalBytes(header.space, spaceOf(state)), entry, 'space')
  const device = currentDevice(state.control, entry)
  const actor = actorOf(header.space, header.document, device.signing, header.incarnation)
  const document = findDocument(state, header.document)
  const previous = document === undefined ? undefined : findActor(document, actor)

  checkAuthority(state.control, device, entry)
  if (header.epoch !== state.control.epochs.length - 1) throw refusal(entry, 'epoch', 'ERR_STALE_EPOCH')
  checkChain(document, previous, entry)
  checkSeen(previous, entry)
  checkTag(previous, entry)
  checkContent(document, entry)
  refuseIf(header.bodyLength > bodyLimit(state.control, header), entry, 'length')

  const next = withDocument(state, withEntry(document, actor, device.member, entry))
  if (header.kind !== 'control') return { state: next, actor, signer: device.signing, checks: [], control: undefined }
  const control = controlBodyOf(entry)
  const { control: changed, checks } = applyControl(state.control, device, control, entry)
  return { state: { ...next, control: changed }, actor, signer: device.signing, checks, control }
}

// -- Genesis ------------------------------------------------------------------------------------------------------

function applyGenesis(entry: EntryAt): Reduced {
  const { header } = entry
  refuseIf(entry.index !== 0 || !isZero(header.space), entry, 'space')
  refuseIf(header.kind !== 'control' || header.document !== CONTROL_DOCUMENT, entry, 'kind')
  refuseIf(header.device !== 0, entry, 'device')
  refuseIf(header.epoch !== 0, entry, 'epoch')
  checkChain(undefined, undefined, entry)
  checkSeen(undefined, entry)
  checkTag(undefined, entry)
  refuseIf(header.bodyLength > MAX_CONTROL_BODY_LENGTH, entry, 'length')
  const body = controlBodyOf(entry)
  if (body.type !== 'genesis') throw refusal(entry, 'control-body')
  const checks = [admit(ZERO_32, body.device, undefined, entry)]
  const actor = actorOf(entry.hash, CONTROL_DOCUMENT, body.device.signing, header.incarnation)
  const state = initialState(genesisControl(body, entry))
  return {
    state: withDocument(state, withEntry(undefined, actor, body.member, entry)),
    actor,
    signer: body.device.signing,
    checks,
    control: body,
  }
}

function genesisControl(body: GenesisBody, entry: EntryAt): ControlState {
  const device = deviceRecord(body.device, body.member, body.deviceName)
  return {
    space: entry.hash,
    relay: body.relay,
    policy: body.policy,
    spaceName: body.spaceName,
    devices: new Map([[0, device]]),
    members: new Map([[body.member, { role: 'owner', history: 'all', name: body.memberName }]]),
    invites: new Map(),
    epochs: [body.epoch],
    count: 1,
    head: entry.hash,
  }
}

// -- Rules for every later entry ----------------------------------------------------------------------------------

function spaceOf(state: SpaceState): Uint8Array {
  return state.control.space
}

function currentDevice(control: ControlState, entry: EntryAt): DeviceRecord {
  const device = control.devices.get(entry.header.device)
  if (device === undefined || device.removed !== undefined) throw refusal(entry, 'device', 'ERR_UNAUTHORIZED')
  return device
}

/** Kind, document and role fit together. What a control entry may do is judged with its body. */
function checkAuthority(control: ControlState, device: DeviceRecord, entry: EntryAt): void {
  const { header } = entry
  refuseIf((header.kind === 'control') !== (header.document === CONTROL_DOCUMENT), entry, 'kind')
  if (header.kind === 'control') return
  const role = control.members.get(device.member)?.role
  if (device.provisional || role === undefined || roleNumber(role) < roleNumber('writer')) {
    throw refusal(entry, 'role', 'ERR_UNAUTHORIZED')
  }
}

/** `seq` and `prev` extend the actor's chain, which is not retired; a new actor finds a free place. */
function checkChain(document: DocumentRecord | undefined, previous: ActorRecord | undefined, entry: EntryAt): void {
  const { header } = entry
  if (previous === undefined) {
    if (header.seq !== 0 || !isZero(header.prev)) throw refusal(entry, 'chain', 'ERR_STALE_CHAIN')
    refuseIf(header.kind === 'retire', entry, 'retired')
    refuseIf(document !== undefined && openActorsOf(document, header.device) >= MAX_OPEN_ACTORS, entry, 'actors')
    return
  }
  refuseIf(previous.retired, entry, 'retired')
  if (header.seq !== previous.seq + 1 || !equalBytes(header.prev, previous.hash)) {
    throw refusal(entry, 'chain', 'ERR_STALE_CHAIN')
  }
}

function checkSeen(previous: ActorRecord | undefined, entry: EntryAt): void {
  const { header, index } = entry
  refuseIf(header.seenSize > index || header.seenSize < (previous?.seenSize ?? 0), entry, 'seen')
  refuseIf(!equalBytes(header.seenRoot, entry.seenRoot), entry, 'seen')
}

/** Control entries carry no tag; retire and snapshot entries repeat the one of their chain, as they add no change. */
function checkTag(previous: ActorRecord | undefined, entry: EntryAt): void {
  const { header } = entry
  if (header.kind === 'control') refuseIf(!isZero(header.tag), entry, 'tag')
  const repeats = header.kind === 'retire' || (header.kind === 'snapshot' && previous !== undefined)
  if (repeats) refuseIf(!equalBytes(header.tag, previous?.tag ?? ZERO_32), entry, 'tag')
}

/** A document may begin with an import; a snapshot covers more than the latest one did, and there is more to cover. */
function checkContent(document: DocumentRecord | undefined, entry: EntryAt): void {
  const { header } = entry
  if (header.kind === 'import') refuseIf(document !== undefined, entry, 'import')
  if (header.kind !== 'snapshot') return
  const covered = Math.max(0, ...(document?.snapshots ?? []).map(snapshot => snapshot.seenSize))
  const isNew = document !== undefined && document.contentEnd > covered && header.seenSize > covered
  refuseIf(!isNew, entry, 'snapshot')
}

/**
 * A document with one more entry, for one that is known to be valid: what the reducer records of it.
 * @param document undefined: this is its first entry
 * @param member of the author
 */
export function withEntry(
  document: DocumentRecord | undefined,
  actor: ActorId,
  member: MemberId,
  entry: LoggedEntry,
): DocumentRecord {
  const record = document ?? emptyDocument(entry.header.document, entry.header.epoch)
  return withActor(withContent(record, member, entry), actorRecord(actor, entry))
}

function withContent(record: DocumentRecord, member: MemberId, entry: LoggedEntry): DocumentRecord {
  const { header, hash, index } = entry
  switch (header.kind) {
    case 'changes':
      return { ...record, contentEnd: index + 1 }
    case 'import':
      return { ...record, contentEnd: index + 1, importTag: header.tag }
    case 'snapshot': {
      const others = record.snapshots.filter(snapshot => snapshot.member !== member)
      const snapshots = [...others, { member, index, hash, seenSize: header.seenSize }].slice(-MAX_SNAPSHOTS)
      return { ...record, snapshots }
    }
    default:
      return record
  }
}

function bodyLimit(control: ControlState, header: Header): number {
  if (header.kind === 'control') return MAX_CONTROL_BODY_LENGTH
  return header.kind === 'retire' ? 0 : control.policy.maxBodyLength
}

function actorRecord(actor: ActorId, { header, hash }: LoggedEntry): ActorRecord {
  return {
    actor,
    device: header.device,
    seq: header.seq,
    hash,
    epoch: header.epoch,
    tag: header.tag,
    seenSize: header.seenSize,
    retired: header.kind === 'retire',
  }
}

// -- Control entries ----------------------------------------------------------------------------------------------

interface ControlChange {
  readonly control: ControlState
  readonly checks: readonly SignatureCheck[]
}

function controlBodyOf(entry: EntryAt): ControlBody {
  if (entry.controlBody === undefined) throw refusal(entry, 'control-body')
  try {
    return decodeControlBody(entry.controlBody)
  } catch (cause) {
    if (cause instanceof SealogError && cause.code === 'ERR_UPGRADE') throw cause
    throw refusal(entry, 'control-body', 'ERR_INVALID_ENTRY', cause)
  }
}

function applyControl(control: ControlState, author: DeviceRecord, body: ControlBody, entry: EntryAt): ControlChange {
  switch (body.type) {
    case 'genesis':
      throw refusal(entry, 'control-body')
    case 'invite':
      return applyInvite(control, author, body, entry)
    case 'join':
      return applyJoin(control, author, body, entry)
  }
}

function applyInvite(control: ControlState, author: DeviceRecord, body: InviteBody, entry: EntryAt): ControlChange {
  const inviter = control.members.get(author.member)
  const rank = inviter === undefined ? -1 : roleNumber(inviter.role)
  // Admins and owners invite; an owner whomever, an admin only below itself.
  const allowed =
    !author.provisional && rank >= roleNumber('admin') && (rank === roleNumber('owner') || roleNumber(body.role) < rank)
  if (!allowed) throw refusal(entry, 'role', 'ERR_UNAUTHORIZED')
  refuseIf(body.history !== 'all' && roleNumber(body.role) >= roleNumber('admin'), entry, 'invite')
  refuseIf(isKnownMember(control, body.member), entry, 'invite')
  const check = admit(entry.header.space, body.device, control, entry)
  const device = { ...deviceRecord(body.device, body.member, new Uint8Array(0)), provisional: true }
  const invite = {
    member: body.member,
    role: body.role,
    history: body.history,
    expires: body.expires,
    inviter: author.member,
  }
  return {
    control: {
      ...nextControl(control, entry),
      devices: new Map(control.devices).set(control.count, device),
      invites: new Map(control.invites).set(control.count, invite),
    },
    checks: [check],
  }
}

function applyJoin(control: ControlState, author: DeviceRecord, body: JoinBody, entry: EntryAt): ControlChange {
  const number = entry.header.device
  const invite = control.invites.get(number)
  if (!author.provisional || invite === undefined) throw refusal(entry, 'invite', 'ERR_UNAUTHORIZED')
  const check = admit(entry.header.space, body.device, control, entry)
  const devices = new Map(control.devices)
  devices.set(number, { ...author, removed: control.count })
  devices.set(control.count, deviceRecord(body.device, invite.member, body.deviceName))
  const invites = new Map(control.invites)
  invites.delete(number)
  const member = { role: invite.role, history: invite.history, name: body.memberName }
  return {
    control: {
      ...nextControl(control, entry),
      devices,
      invites,
      members: new Map(control.members).set(invite.member, member),
    },
    checks: [check],
  }
}

function nextControl(control: ControlState, entry: EntryAt): ControlState {
  return { ...control, count: control.count + 1, head: entry.hash }
}

function isKnownMember(control: ControlState, member: MemberId): boolean {
  if (control.members.has(member)) return true
  for (const invite of control.invites.values()) if (invite.member === member) return true
  return false
}

/** Both keys are sound, and neither was ever admitted to this space before. @returns the proof to check */
function admit(space: Uint8Array, keys: DeviceKeys, control: ControlState | undefined, entry: EntryAt): SignatureCheck {
  try {
    assertAdmissibleKey(keys.signing)
    assertValidKemKey(keys.kem)
  } catch (cause) {
    throw refusal(entry, 'key', 'ERR_INVALID_ENTRY', cause)
  }
  for (const device of control?.devices.values() ?? []) {
    refuseIf(equalBytes(device.signing, keys.signing) || equalBytes(device.kem, keys.kem), entry, 'key')
  }
  return {
    publicKey: keys.signing,
    message: possessionInput(space, keys.signing, keys.kem),
    signature: keys.possession,
  }
}

function deviceRecord(keys: DeviceKeys, member: MemberId, name: Uint8Array): DeviceRecord {
  return { signing: keys.signing, kem: keys.kem, member, provisional: false, removed: undefined, name }
}

// -- Refusals -----------------------------------------------------------------------------------------------------

function refuseIf(refused: boolean, entry: EntryAt, reason: Refusal): void {
  if (refused) throw refusal(entry, reason)
}

function refusal(entry: EntryAt, reason: Refusal, code: ErrorCode = 'ERR_INVALID_ENTRY', cause?: unknown): SealogError {
  return new SealogError(code, `entry ${entry.index} refused: ${reason}`, {
    details: { reason, index: entry.index },
    cause,
  })
}
