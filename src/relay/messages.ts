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
import { idBytes, type SpaceId, spaceIdOf } from '../ids.ts'
import { INLINE_BODY_LENGTH, MAX_BODY_LENGTH, MAX_HEADER_LENGTH } from '../verify/entry.ts'
import type { Batch, BatchEntry } from '../verify/log.ts'
import { isKeyName } from '../verify/note-key.ts'

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

/** No more of this space on this socket. */
export interface Leave {
  readonly type: 'leave'
  readonly space: SpaceId
}

export type RelayMessage = Welcome | Sync | Reject | BodyPart | Received
export type ReplicaMessage = Open | Pull | Push | PutBody | GetBody | Leave
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
      return [message.ref, idBytes(message.space), message.from, message.device, message.signature]
    case 'pull':
      return [message.ref, idBytes(message.space)]
    case 'push':
      return [
        message.ref,
        idBytes(message.space),
        message.entries.map(entry => [entry.header, entry.signature, optional(entry.body, body => body)]),
      ]
    case 'put-body':
      return [message.ref, idBytes(message.space), message.hash, message.length, message.offset, message.bytes]
    case 'get-body':
      return [message.ref, idBytes(message.space), message.index, message.offset]
    case 'leave':
      return [idBytes(message.space)]
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
      const fields = asTuple(item, 6, type)
      return {
        type,
        ref: asUint(fields[1], 'ref'),
        space: asSpace(fields[2]),
        from: asUint(fields[3], 'from'),
        device: asBytes(fields[4], 32, 'device key'),
        signature: asBytes(fields[5], 64, 'signature'),
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
  ]
}

function asBatch(item: Cbor | undefined): Batch {
  const fields = asTuple(item, 5, 'batch')
  return {
    from: asUint(fields[0], 'from'),
    entries: asArray(fields[1], MAX_BATCH_ENTRIES, 'entries').map(asBatchEntry),
    seenProofs: asArray(fields[2], MAX_BATCH_ENTRIES, 'seen proofs').map(proof => {
      const parts = asTuple(proof, 2, 'seen proof')
      return { size: asUint(parts[0], 'size'), proof: asProof(parts[1]) }
    }),
    note: asBytesUpTo(fields[3], MAX_NOTE_LENGTH, 'note'),
    consistency: asProof(fields[4]),
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
