import { equalBytes, isZero } from '../bytes.ts'
import { ZERO_32 } from '../crypto/hash.ts'
import type { SignatureCheck } from '../crypto/sign.ts'
import { type ActorId, CONTROL_DOCUMENT, type MemberId } from '../ids.ts'
import { genesisControl } from './admission-rules.ts'
import { type ControlBody, MAX_CONTROL_BODY_LENGTH, roleNumber } from './control.ts'
import { applyControl, controlBodyOf, isEpochFree, isSealing } from './control-rules.ts'
import { type ControlState, currentMember, type DeviceRecord, latestEpoch } from './control-state.ts'
import { actorOf, type Header } from './entry.ts'
import { type EntryAt, type LoggedEntry, refusal, refuseIf } from './refusal.ts'
import {
  type ActorRecord,
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
import type { Recipient } from './wraps.ts'

/** Concurrent writers that one device may have in one document (protocol.md R-ACTOR-3). */
export const MAX_OPEN_ACTORS = 16

export interface Reduced {
  readonly state: SpaceState
  readonly actor: ActorId
  /** Signing key of the author's device, 32 bytes. */
  readonly signer: Uint8Array
  /** Proofs of possession that this entry brings. */
  readonly checks: readonly SignatureCheck[]
  /** Of control entries only. */
  readonly control: ControlBody | undefined
  /** Of an entry that delivers the secret of an epoch: to whom. */
  readonly recipients?: readonly Recipient[] | undefined
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
  refuseIf(!equalBytes(header.space, state.control.space), entry, 'space')
  const device = currentDevice(state.control, entry)
  const actor = actorOf(header.space, header.document, device.signing, header.incarnation)
  const document = findDocument(state, header.document)
  const previous = document === undefined ? undefined : findActor(document, actor)

  const body = header.kind === 'control' ? controlBodyOf(entry) : undefined
  checkAuthority(state.control, device, entry)
  checkEpoch(state.control, body, entry)
  checkChain(document, previous, entry)
  checkSeen(previous, entry)
  checkTag(previous, entry)
  checkContent(document, entry)
  refuseIf(header.bodyLength > bodyLimit(state.control, header), entry, 'length')

  const next = withDocument(state, withEntry(document, actor, device.member, entry))
  if (body === undefined) return { state: next, actor, signer: device.signing, checks: [], control: undefined }
  const { control, checks, recipients } = applyControl(state.control, device, body, entry)
  return { state: { ...next, control }, actor, signer: device.signing, checks, control: body, recipients }
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
  const { control, checks } = genesisControl(body, entry)
  const actor = actorOf(entry.hash, CONTROL_DOCUMENT, body.device.signing, header.incarnation)
  const state = initialState(control)
  return {
    state: withDocument(state, withEntry(undefined, actor, body.member, entry)),
    actor,
    signer: body.device.signing,
    checks,
    control: body,
  }
}

// -- Rules for every later entry ----------------------------------------------------------------------------------

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
  const role = currentMember(control, device.member)?.role
  if (device.standing !== 'member' || role === undefined || roleNumber(role) < roleNumber('writer')) {
    throw refusal(entry, 'role', 'ERR_UNAUTHORIZED')
  }
}

/**
 * The epoch is the one in force at this point of the log, so nothing can be backdated; and where somebody holds its
 * secret who should not read on, nothing is written in it (DESIGN §4). What takes something away, or says nothing in
 * secret, is valid whatever epoch its author saw: nobody can outrun his own removal by starting epochs.
 */
function checkEpoch(control: ControlState, body: ControlBody | undefined, entry: EntryAt): void {
  const { epoch } = entry.header
  const inForce = latestEpoch(control)
  const isInTime = body !== undefined && isEpochFree(body) ? epoch <= inForce : epoch === inForce
  if (!isInTime) throw refusal(entry, 'epoch', 'ERR_STALE_EPOCH')
  const isSealed = body === undefined || isSealing(body)
  if (isSealed && control.rotation === 'tainted') throw refusal(entry, 'tainted', 'ERR_STALE_EPOCH')
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

/** An entry that adds no change says nothing new by its tag. */
function repeatsTag({ kind }: Header): boolean {
  return kind === 'retire' || kind === 'snapshot'
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
  return withActor(withContent(record, member, entry), actorRecord(actor, findActor(record, actor), entry))
}

function withContent(record: DocumentRecord, member: MemberId, entry: LoggedEntry): DocumentRecord {
  const { header, hash, index } = entry
  switch (header.kind) {
    case 'changes':
      return { ...record, contentEnd: index + 1 }
    case 'import':
      return { ...record, contentEnd: index + 1, importTag: header.tag, importer: header.device }
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

function actorRecord(actor: ActorId, previous: ActorRecord | undefined, { header, hash }: LoggedEntry): ActorRecord {
  return {
    actor,
    device: header.device,
    seq: header.seq,
    hash,
    epoch: header.epoch,
    tag: header.tag,
    tagEpoch: previous !== undefined && repeatsTag(header) ? previous.tagEpoch : header.epoch,
    seenSize: header.seenSize,
    retired: header.kind === 'retire',
  }
}
