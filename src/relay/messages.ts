import {
  asArray,
  asBytes,
  asBytesUpTo,
  asOptional,
  asText,
  asTuple,
  asUint,
  type Cbor,
  decodeCbor,
  encodeCbor,
  optional,
} from '../codec.ts'
import { SealogError } from '../errors.ts'
import { type ActorId, actorIdOf, type DocumentId, documentIdOf, idBytes, type SpaceId, spaceIdOf } from '../ids.ts'
import { INLINE_BODY_LENGTH, MAX_BODY_LENGTH, MAX_HEADER_LENGTH } from '../verify/entry.ts'
import type { Batch, BatchEntry } from '../verify/log.ts'
import { isKeyName } from '../verify/note-key.ts'
import type { LogRecord } from '../verify/records.ts'
import { MAX_TRACER_LENGTH } from '../verify/tracer.ts'

/**
 * The messages between a replica and a relay (protocol.md §7). A `ref` is chosen by the replica, grows with each
 * request on a socket, and comes back in the answer; 0 stands in what the relay sends by itself.
 */
export const PROTOCOL_VERSION = 1
/** Largest frame in either direction, in bytes. */
export const MAX_FRAME_LENGTH: number = 1024 * 1024
/** Most entries in one message. */
export const MAX_BATCH_ENTRIES = 4096
const MAX_NOTE_LENGTH: number = 16 * 1024
const MAX_PROOF_LENGTH = 128
/** Documents that a sparse replica may name when it opens a space. */
export const MAX_WANTS = 4096
/** Sizes from which one fast-forward is proven: those of all anchors, and of the replica itself. */
const MAX_PROVEN_SIZES = 512
/** Longest advice when to try again, in milliseconds: it comes unsigned, and must not silence a replica for good. */
export const MAX_RETRY_AFTER: number = 60 * 60 * 1000
/** Name of an error in `reject`, as text, so that an old client can show a code it does not know. */
const MAX_CODE_LENGTH = 64

/** First on every socket, from the relay. */
export interface Welcome {
  readonly type: 'welcome'
  readonly version: number
  readonly name: string
  /** Checkpoint key, 32 bytes. */
  readonly key: Uint8Array
  /** 32 random bytes to sign in `open`. */
  readonly challenge: Uint8Array
}

/** A stretch of the log of one space, in order and without gap on each socket. */
export interface Sync {
  readonly type: 'sync'
  readonly ref: number
  readonly space: SpaceId
  readonly batch: Batch
}

/** A request that was not carried out; for a push: entries before `position` were, the rest were not. */
export interface Reject {
  readonly type: 'reject'
  readonly ref: number
  readonly space: SpaceId
  readonly code: string
  readonly message: string
  readonly position: number
  /** Milliseconds after which to try again; 0: no such advice. */
  readonly retryAfter: number
}

/** A part of a body beyond `INLINE_BODY_LENGTH`, in answer to `get-body`. */
export interface BodyPart {
  readonly type: 'body-part'
  readonly ref: number
  readonly space: SpaceId
  readonly offset: number
  readonly bytes: Uint8Array
}

/** A part of a body was taken, in answer to `put-body`. */
export interface Received {
  readonly type: 'received'
  readonly ref: number
  readonly space: SpaceId
}

/**
 * Single entries of the log with what proves them, in answer to `skip`, `get-document` and `get-chain`: in parts, one
 * right behind the other, up to the one that says that there are no more.
 */
export interface Records {
  readonly type: 'records'
  readonly ref: number
  readonly space: SpaceId
  /** Goes together with those of the other parts: see verify/records.ts. */
  readonly head: Uint8Array
  readonly records: readonly LogRecord[]
  readonly more: boolean
}

/** Authenticates for one space and asks for its log from `from` on, then live. */
export interface Open {
  readonly type: 'open'
  readonly ref: number
  readonly space: SpaceId
  readonly from: number
  /** The device's Ed25519 key, 32 bytes. */
  readonly device: Uint8Array
  /** Over `authenticationInput`, 64 bytes. */
  readonly signature: Uint8Array
  /**
   * Undefined: all bodies, and no tracers, as the replica knows the whole state. Otherwise the documents whose bodies
   * are wanted, and tracers for all; each `get-document` adds its own.
   */
  readonly wants: readonly DocumentId[] | undefined
}

/** Asks for a `sync` with the current note after everything that is on its way. */
export interface Pull {
  readonly type: 'pull'
  readonly ref: number
  readonly space: SpaceId
}

/** Appends entries, all in one transaction up to the first that is refused. A genesis creates the space. */
export interface Push {
  readonly type: 'push'
  readonly ref: number
  readonly space: SpaceId
  /** A body beyond `INLINE_BODY_LENGTH` was put before and is undefined here. */
  readonly entries: readonly PushEntry[]
}

export interface PushEntry {
  readonly header: Uint8Array
  readonly signature: Uint8Array
  readonly body: Uint8Array | undefined
}

/** Uploads a part of a large body ahead of the push that needs it. Parts come in order. */
export interface PutBody {
  readonly type: 'put-body'
  readonly ref: number
  readonly space: SpaceId
  readonly hash: Uint8Array
  readonly length: number
  readonly offset: number
  readonly bytes: Uint8Array
}

/** Asks for a part of a large body. */
export interface GetBody {
  readonly type: 'get-body'
  readonly ref: number
  readonly space: SpaceId
  readonly index: number
  readonly offset: number
}

/**
 * Asks, on an open space, for what a fast-forward of the log as a whole needs (DESIGN §5.4): to the size `at`, whose
 * note the replica has; or, with 0, to the largest checkpoint that enough other members have cosigned.
 */
export interface Skip {
  readonly type: 'skip'
  readonly ref: number
  readonly space: SpaceId
  readonly at: number
  /** The first control entry that the replica does not have: of all entries below, it has the control state. */
  readonly from: number
  /** Distinct members other than the one who asks, for `at` 0. */
  readonly attestations: number
  /** Sizes from which to prove consistency. */
  readonly prove: readonly number[]
}

/**
 * Asks, on an open space, for one document as it is when the answer comes: its state, the latest header of each actor,
 * a snapshot, and what it does not cover. From then on its bodies are wanted.
 */
export interface GetDocument {
  readonly type: 'get-document'
  readonly ref: number
  readonly space: SpaceId
  readonly document: DocumentId
  /** 0: with the latest snapshot; 1: with the one before it; 2: with none, all entries from the first. */
  readonly snapshot: number
}

/** Asks for a stretch of one actor's chain, with bodies. */
export interface GetChain {
  readonly type: 'get-chain'
  readonly ref: number
  readonly space: SpaceId
  readonly document: DocumentId
  readonly actor: ActorId
  /** First and last `seq`. */
  readonly from: number
  readonly to: number
}

/** Asks for headers, signatures and tracers from `from` to at most `to`, as a `sync` with this `ref`: for an audit. */
export interface Read {
  readonly type: 'read'
  readonly ref: number
  readonly space: SpaceId
  readonly from: number
  readonly to: number
}

/** Hands over a note of the relay with a cosignature of the device that is authenticated; answered by `received`. */
export interface Cosign {
  readonly type: 'cosign'
  readonly ref: number
  readonly space: SpaceId
  readonly note: Uint8Array
}

/**
 * Gives back the end of the log to a relay that lost it, which it tells by ERR_RELAY_BEHIND with the size it has as
 * position (DESIGN §5.5). All parts together must lead to the note, which the relay itself signed. Each part is
 * answered by `received`.
 */
export interface Restore {
  readonly type: 'restore'
  readonly ref: number
  readonly space: SpaceId
  readonly note: Uint8Array
  readonly from: number
  readonly entries: readonly PushEntry[]
  readonly more: boolean
}

/** No more of this space on this socket. */
export interface Leave {
  readonly type: 'leave'
  readonly space: SpaceId
}

export type RelayMessage = Welcome | Sync | Reject | BodyPart | Received | Records
export type ReplicaMessage =
  | Open
  | Pull
  | Push
  | PutBody
  | GetBody
  | Skip
  | GetDocument
  | GetChain
  | Read
  | Cosign
  | Restore
  | Leave
export type Message = RelayMessage | ReplicaMessage

const TYPES = [
  'welcome',
  'sync',
  'reject',
  'body-part',
  'received',
  'open',
  'pull',
  'push',
  'put-body',
  'get-body',
  'leave',
  'records',
  'skip',
  'get-document',
  'get-chain',
  'read',
  'cosign',
  'restore',
] as const satisfies readonly Message['type'][]

export function encodeMessage(message: Message): Uint8Array {
  return encodeCbor([TYPES.indexOf(message.type), ...fieldsOf(message)])
}

/** @throws SealogError ERR_MALFORMED, ERR_LIMIT, ERR_UNEXPECTED for a message only a replica sends */
export function decodeRelayMessage(frame: Uint8Array): RelayMessage {
  const message = decodeMessage(frame)
  switch (message.type) {
    case 'welcome':
    case 'sync':
    case 'reject':
    case 'body-part':
    case 'received':
    case 'records':
      return message
    default:
      throw new SealogError('ERR_UNEXPECTED', `${message.type} from a relay`)
  }
}

/** @throws SealogError ERR_MALFORMED, ERR_LIMIT, ERR_UNEXPECTED for a message only a relay sends */
export function decodeReplicaMessage(frame: Uint8Array): ReplicaMessage {
  const message = decodeMessage(frame)
  switch (message.type) {
    case 'welcome':
    case 'sync':
    case 'reject':
    case 'body-part':
    case 'received':
    case 'records':
      throw new SealogError('ERR_UNEXPECTED', `${message.type} from a replica`)
    default:
      return message
  }
}

function fieldsOf(message: Message): Cbor[] {
  switch (message.type) {
    case 'welcome':
      return [message.version, message.name, message.key, message.challenge]
    case 'sync':
      return [message.ref, idBytes(message.space), batchFields(message.batch)]
    case 'reject':
      return [message.ref, idBytes(message.space), message.code, message.message, message.position, message.retryAfter]
    case 'body-part':
      return [message.ref, idBytes(message.space), message.offset, message.bytes]
    case 'received':
      return [message.ref, idBytes(message.space)]
    case 'open':
      return [
        message.ref,
        idBytes(message.space),
        message.from,
        message.device,
        message.signature,
        optional(message.wants, documents => documents.map(idBytes)),
      ]
    case 'pull':
      return [message.ref, idBytes(message.space)]
    case 'push':
      return [message.ref, idBytes(message.space), message.entries.map(pushEntryFields)]
    case 'put-body':
      return [message.ref, idBytes(message.space), message.hash, message.length, message.offset, message.bytes]
    case 'get-body':
      return [message.ref, idBytes(message.space), message.index, message.offset]
    case 'leave':
      return [idBytes(message.space)]
    case 'records':
      return [
        message.ref,
        idBytes(message.space),
        message.head,
        message.records.map(recordFields),
        message.more ? 1 : 0,
      ]
    case 'skip':
      return [message.ref, idBytes(message.space), message.at, message.from, message.attestations, message.prove]
    case 'get-document':
      return [message.ref, idBytes(message.space), idBytes(message.document), message.snapshot]
    case 'get-chain':
      return [
        message.ref,
        idBytes(message.space),
        idBytes(message.document),
        idBytes(message.actor),
        message.from,
        message.to,
      ]
    case 'read':
      return [message.ref, idBytes(message.space), message.from, message.to]
    case 'cosign':
      return [message.ref, idBytes(message.space), message.note]
    case 'restore':
      return [
        message.ref,
        idBytes(message.space),
        message.note,
        message.from,
        message.entries.map(pushEntryFields),
        message.more ? 1 : 0,
      ]
  }
}

function decodeMessage(frame: Uint8Array): Message {
  const item = decodeCbor(frame, MAX_FRAME_LENGTH)
  const typeNumber = asUint(Array.isArray(item) ? item[0] : undefined, 'message type')
  const type = TYPES[typeNumber]
  switch (type) {
    case 'welcome': {
      const fields = asTuple(item, 5, type)
      return {
        type,
        version: asUint(fields[1], 'version'),
        name: asRelayName(fields[2]),
        key: asBytes(fields[3], 32, 'relay key'),
        challenge: asBytes(fields[4], 32, 'challenge'),
      }
    }
    case 'sync': {
      const fields = asTuple(item, 4, type)
      return { type, ref: asUint(fields[1], 'ref'), space: asSpace(fields[2]), batch: asBatch(fields[3]) }
    }
    case 'reject': {
      const fields = asTuple(item, 7, type)
      return {
        type,
        ref: asUint(fields[1], 'ref'),
        space: asSpace(fields[2]),
        code: asText(fields[3], MAX_CODE_LENGTH, 'code'),
        message: asText(fields[4], 1024, 'message'),
        position: asUint(fields[5], 'position'),
        retryAfter: asUint(fields[6], 'retryAfter', MAX_RETRY_AFTER),
      }
    }
    case 'body-part': {
      const fields = asTuple(item, 5, type)
      return {
        type,
        ref: asUint(fields[1], 'ref'),
        space: asSpace(fields[2]),
        offset: asUint(fields[3], 'offset'),
        bytes: asBytesUpTo(fields[4], INLINE_BODY_LENGTH, 'part'),
      }
    }
    case 'received': {
      const fields = asTuple(item, 3, type)
      return { type, ref: asUint(fields[1], 'ref'), space: asSpace(fields[2]) }
    }
    case 'open': {
      const fields = asTuple(item, 7, type)
      return {
        type,
        ref: asUint(fields[1], 'ref'),
        space: asSpace(fields[2]),
        from: asUint(fields[3], 'from'),
        device: asBytes(fields[4], 32, 'device key'),
        signature: asBytes(fields[5], 64, 'signature'),
        wants: asOptional(fields[6], 'wants', (list, what) =>
          asArray(list, MAX_WANTS, what).map(document => documentIdOf(asBytes(document, 16, what))),
        ),
      }
    }
    case 'pull': {
      const fields = asTuple(item, 3, type)
      return { type, ref: asUint(fields[1], 'ref'), space: asSpace(fields[2]) }
    }
    case 'push': {
      const fields = asTuple(item, 4, type)
      const entries = asArray(fields[3], MAX_BATCH_ENTRIES, 'entries')
      return { type, ref: asUint(fields[1], 'ref'), space: asSpace(fields[2]), entries: entries.map(asPushEntry) }
    }
    case 'put-body': {
      const fields = asTuple(item, 7, type)
      return {
        type,
        ref: asUint(fields[1], 'ref'),
        space: asSpace(fields[2]),
        hash: asBytes(fields[3], 32, 'body hash'),
        length: asUint(fields[4], 'body length', MAX_BODY_LENGTH),
        offset: asUint(fields[5], 'offset'),
        bytes: asBytesUpTo(fields[6], INLINE_BODY_LENGTH, 'part'),
      }
    }
    case 'get-body': {
      const fields = asTuple(item, 5, type)
      return {
        type,
        ref: asUint(fields[1], 'ref'),
        space: asSpace(fields[2]),
        index: asUint(fields[3], 'index'),
        offset: asUint(fields[4], 'offset'),
      }
    }
    case 'leave':
      return { type, space: asSpace(asTuple(item, 2, type)[1]) }
    case 'records': {
      const fields = asTuple(item, 6, type)
      return {
        type,
        ref: asUint(fields[1], 'ref'),
        space: asSpace(fields[2]),
        head: asBytesUpTo(fields[3], MAX_FRAME_LENGTH, 'head'),
        records: asArray(fields[4], MAX_BATCH_ENTRIES, 'records').map(asRecord),
        more: asUint(fields[5], 'more', 1) === 1,
      }
    }
    case 'skip': {
      const fields = asTuple(item, 7, type)
      return {
        type,
        ref: asUint(fields[1], 'ref'),
        space: asSpace(fields[2]),
        at: asUint(fields[3], 'at'),
        from: asUint(fields[4], 'from'),
        attestations: asUint(fields[5], 'attestations'),
        prove: asArray(fields[6], MAX_PROVEN_SIZES, 'prove').map(size => asUint(size, 'prove')),
      }
    }
    case 'get-document': {
      const fields = asTuple(item, 5, type)
      return {
        type,
        ref: asUint(fields[1], 'ref'),
        space: asSpace(fields[2]),
        document: documentIdOf(asBytes(fields[3], 16, 'document')),
        snapshot: asUint(fields[4], 'snapshot', 2),
      }
    }
    case 'get-chain': {
      const fields = asTuple(item, 7, type)
      return {
        type,
        ref: asUint(fields[1], 'ref'),
        space: asSpace(fields[2]),
        document: documentIdOf(asBytes(fields[3], 16, 'document')),
        actor: actorIdOf(asBytes(fields[4], 16, 'actor')),
        from: asUint(fields[5], 'from'),
        to: asUint(fields[6], 'to'),
      }
    }
    case 'read': {
      const fields = asTuple(item, 5, type)
      return {
        type,
        ref: asUint(fields[1], 'ref'),
        space: asSpace(fields[2]),
        from: asUint(fields[3], 'from'),
        to: asUint(fields[4], 'to'),
      }
    }
    case 'cosign': {
      const fields = asTuple(item, 4, type)
      return { type, ref: asUint(fields[1], 'ref'), space: asSpace(fields[2]), note: asNote(fields[3]) }
    }
    case 'restore': {
      const fields = asTuple(item, 7, type)
      return {
        type,
        ref: asUint(fields[1], 'ref'),
        space: asSpace(fields[2]),
        note: asNote(fields[3]),
        from: asUint(fields[4], 'from'),
        entries: asArray(fields[5], MAX_BATCH_ENTRIES, 'entries').map(asPushEntry),
        more: asUint(fields[6], 'more', 1) === 1,
      }
    }
    default:
      throw new SealogError('ERR_UPGRADE', `message of type ${typeNumber}`)
  }
}

function batchFields(batch: Batch): Cbor {
  return [
    batch.from,
    batch.entries.map(entry => [
      entry.header,
      optional(entry.signature, signature => signature),
      optional(entry.body, body => body),
    ]),
    batch.seenProofs.map(item => [item.size, item.proof]),
    batch.note,
    batch.consistency,
    optional(batch.tracer, tracer => tracer),
  ]
}

function asBatch(item: Cbor | undefined): Batch {
  const fields = asTuple(item, 6, 'batch')
  return {
    from: asUint(fields[0], 'from'),
    entries: asArray(fields[1], MAX_BATCH_ENTRIES, 'entries').map(asBatchEntry),
    seenProofs: asArray(fields[2], MAX_BATCH_ENTRIES, 'seen proofs').map(proof => {
      const parts = asTuple(proof, 2, 'seen proof')
      return { size: asUint(parts[0], 'size'), proof: asProof(parts[1]) }
    }),
    note: asNote(fields[3]),
    consistency: asProof(fields[4]),
    tracer: asOptional(fields[5], 'tracer', (bytes, what) => asBytesUpTo(bytes, MAX_TRACER_LENGTH, what)),
  }
}

function asBatchEntry(item: Cbor): BatchEntry {
  const fields = asTuple(item, 3, 'entry')
  return {
    header: asBytesUpTo(fields[0], MAX_HEADER_LENGTH, 'header'),
    signature: asOptional(fields[1], 'signature', (bytes, what) => asBytes(bytes, 64, what)),
    body: asOptional(fields[2], 'body', asInlineBody),
  }
}

function recordFields(record: LogRecord): Cbor {
  return [
    record.index,
    record.header,
    optional(record.signature, signature => signature),
    optional(record.body, body => body),
    record.inclusion,
  ]
}

function asRecord(item: Cbor): LogRecord {
  const fields = asTuple(item, 5, 'record')
  return {
    index: asUint(fields[0], 'index'),
    header: asBytesUpTo(fields[1], MAX_HEADER_LENGTH, 'header'),
    signature: asOptional(fields[2], 'signature', (bytes, what) => asBytes(bytes, 64, what)),
    body: asOptional(fields[3], 'body', asInlineBody),
    inclusion: asProof(fields[4]),
  }
}

function asNote(item: Cbor | undefined): Uint8Array {
  return asBytesUpTo(item, MAX_NOTE_LENGTH, 'note')
}

function pushEntryFields(entry: PushEntry): Cbor {
  return [entry.header, entry.signature, optional(entry.body, body => body)]
}

function asPushEntry(item: Cbor): PushEntry {
  const fields = asTuple(item, 3, 'entry')
  return {
    header: asBytesUpTo(fields[0], MAX_HEADER_LENGTH, 'header'),
    signature: asBytes(fields[1], 64, 'signature'),
    body: asOptional(fields[2], 'body', asInlineBody),
  }
}

function asInlineBody(item: Cbor, what: string): Uint8Array {
  return asBytesUpTo(item, INLINE_BODY_LENGTH, what)
}

function asProof(item: Cbor | undefined): readonly Uint8Array[] {
  return asArray(item, MAX_PROOF_LENGTH, 'proof').map(hash => asBytes(hash, 32, 'proof'))
}

/** A name that a checkpoint can carry: otherwise a replica would pin what it can never verify anything of. */
function asRelayName(item: Cbor | undefined): string {
  const name = asText(item, 255, 'relay name')
  if (!isKeyName(name) || /\p{Control}/u.test(name)) {
    throw new SealogError('ERR_MALFORMED', 'relay name: expected one without spaces, control characters and "+"')
  }
  return name
}

function asSpace(item: Cbor | undefined): SpaceId {
  return spaceIdOf(asBytes(item, 32, 'space'))
}
