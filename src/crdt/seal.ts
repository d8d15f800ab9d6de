import { sha256, ZERO_32 } from '../crypto/hash.ts'
import { changeTag, sealBody } from '../crypto/keyring.ts'
import type { SigningKey } from '../crypto/sign.ts'
import type { Random } from '../environment.ts'
import { type ActorId, CONTROL_DOCUMENT, type DocumentId, idBytes, type SpaceId } from '../ids.ts'
import { rootOf } from '../verify/compact-range.ts'
import {
  actorOf,
  encodeHeader,
  entryHash,
  entrySigningInput,
  type Header,
  headerContext,
  type SignedEntry,
} from '../verify/entry.ts'
import type { LogView } from '../verify/log.ts'
import { type ActorRecord, findActor, findDocument } from '../verify/state.ts'
import type { SpaceKeys } from './epoch-secrets.ts'
import type { BuiltPayload } from './payload.ts'

/** An entry ready to be pushed. */
export interface SealedEntry extends SignedEntry {
  /** Leaf hash, 32 bytes. */
  readonly hash: Uint8Array
}

/** Who seals, on what view of the log. */
export interface SealContext {
  readonly view: LogView
  readonly keys: SpaceKeys
  readonly signer: SigningKey
  /** Number of the own device. */
  readonly device: number
  readonly random: Random
}

/** Where an actor's chain goes on. */
interface ChainEnd {
  readonly seq: number
  readonly prev: Uint8Array
  readonly record: ActorRecord | undefined
}

type Draft = Omit<Header, 'bodyHash' | 'bodyLength'>

/**
 * Seals several payloads of one actor, each extending the one before (DESIGN §3: at submit time, under the epoch
 * in force, on the log as it is verified now).
 */
export async function sealChanges(
  context: SealContext,
  document: DocumentId,
  incarnation: Uint8Array,
  payloads: readonly BuiltPayload[],
): Promise<readonly SealedEntry[]> {
  const { view, keys, signer, random } = context
  const epoch = epochInForce(view)
  const birth = (view.state && findDocument(view.state, document)?.birthEpoch) ?? epoch
  const { content, tag } = keys.forDocument(document, birth, epoch)
  let end = chainEnd(view, document, actorOfOwn(context, document, incarnation))
  const sealed: SealedEntry[] = []
  for (const payload of payloads) {
    const draft = draftOf(context, document, incarnation, end, 'changes', changeTag(tag, payload.latestHash))
    const aad = headerContext(draft)
    const body = sealBody({ key: content, payload: payload.bytes, aad, random, seq: draft.seq })
    const entry = await sign(signer, draft, body)
    sealed.push(entry)
    end = { seq: draft.seq + 1, prev: entry.hash, record: undefined }
  }
  return sealed
}

/**
 * Seals a snapshot: it adds no change, and repeats the tag of its chain.
 * @param tagOfNothing the tag, in an epoch, of a chain without changes
 */
export function sealSnapshot(
  context: SealContext,
  document: DocumentId,
  incarnation: Uint8Array,
  payload: Uint8Array,
  tagOfNothing: (epoch: number) => Uint8Array,
): Promise<SealedEntry> {
  const { view, keys, signer, random } = context
  const epoch = epochInForce(view)
  const birth = (view.state && findDocument(view.state, document)?.birthEpoch) ?? epoch
  const end = chainEnd(view, document, actorOfOwn(context, document, incarnation))
  const draft = draftOf(context, document, incarnation, end, 'snapshot', end.record?.tag ?? tagOfNothing(epoch))
  const { content } = keys.forDocument(document, birth, epoch)
  const body = sealBody({ key: content, payload, aad: headerContext(draft), random, seq: draft.seq })
  return sign(signer, draft, body)
}

/** Seals an import, which begins its document. @param commitment what its tag commits to, 32 bytes */
export function sealImport(
  context: SealContext,
  document: DocumentId,
  incarnation: Uint8Array,
  payload: Uint8Array,
  commitment: Uint8Array,
): Promise<SealedEntry> {
  const { view, keys, signer, random } = context
  const epoch = epochInForce(view)
  const { content, tag } = keys.forDocument(document, epoch, epoch)
  const end = chainEnd(view, document, actorOfOwn(context, document, incarnation))
  const draft = draftOf(context, document, incarnation, end, 'import', changeTag(tag, commitment))
  const body = sealBody({ key: content, payload, aad: headerContext(draft), random, seq: draft.seq })
  return sign(signer, draft, body)
}

/** Closes the chain of an own actor that somebody else writes too. */
export function sealRetire(context: SealContext, document: DocumentId, incarnation: Uint8Array): Promise<SealedEntry> {
  const end = chainEnd(context.view, document, actorOfOwn(context, document, incarnation))
  const draft = draftOf(context, document, incarnation, end, 'retire', end.record?.tag ?? ZERO_32)
  return sign(context.signer, draft, new Uint8Array(0))
}

export function sealControl(context: SealContext, incarnation: Uint8Array, body: Uint8Array): Promise<SealedEntry> {
  const end = chainEnd(context.view, CONTROL_DOCUMENT, actorOfOwn(context, CONTROL_DOCUMENT, incarnation))
  const draft = draftOf(context, CONTROL_DOCUMENT, incarnation, end, 'control', ZERO_32)
  return sign(context.signer, draft, body)
}

/** The entry that begins a space, and whose leaf hash is the space's id. */
export function sealGenesis(signer: SigningKey, incarnation: Uint8Array, body: Uint8Array): Promise<SealedEntry> {
  const draft: Draft = {
    space: ZERO_32,
    document: CONTROL_DOCUMENT,
    device: 0,
    incarnation,
    seq: 0,
    prev: ZERO_32,
    seenSize: 0,
    seenRoot: sha256(),
    epoch: 0,
    kind: 'control',
    tag: ZERO_32,
  }
  return sign(signer, draft, body)
}

export function ownActor(
  space: SpaceId,
  document: DocumentId,
  devicePublicKey: Uint8Array,
  incarnation: Uint8Array,
): ActorId {
  return actorOf(idBytes(space), document, devicePublicKey, incarnation)
}

function actorOfOwn(context: SealContext, document: DocumentId, incarnation: Uint8Array): ActorId {
  return ownActor(context.view.space, document, context.signer.publicKey, incarnation)
}

function chainEnd(view: LogView, document: DocumentId, actor: ActorId): ChainEnd {
  const record = view.state && findDocument(view.state, document)
  const actorRecord = record && findActor(record, actor)
  if (actorRecord === undefined) return { seq: 0, prev: ZERO_32, record: undefined }
  return { seq: actorRecord.seq + 1, prev: actorRecord.hash, record: actorRecord }
}

function epochInForce(view: LogView): number {
  return (view.state?.control.epochs.length ?? 1) - 1
}

function draftOf(
  context: SealContext,
  document: DocumentId,
  incarnation: Uint8Array,
  end: ChainEnd,
  kind: Header['kind'],
  tag: Uint8Array,
): Draft {
  const { view, device } = context
  return {
    space: idBytes(view.space),
    document,
    device,
    incarnation,
    seq: end.seq,
    prev: end.prev,
    seenSize: view.range.size,
    seenRoot: rootOf(view.range),
    epoch: epochInForce(view),
    kind,
    tag,
  }
}

async function sign(signer: SigningKey, draft: Draft, body: Uint8Array): Promise<SealedEntry> {
  const header = encodeHeader({ ...draft, bodyHash: sha256(body), bodyLength: body.length })
  const hash = entryHash(header)
  return { header, body, hash, signature: await signer.sign(entrySigningInput(hash)) }
}
