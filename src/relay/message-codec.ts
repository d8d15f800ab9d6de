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
import { actorIdOf, documentIdOf, idBytes, type SpaceId, spaceIdOf } from '../ids.ts'
import { WRAP_LENGTH } from '../verify/control.ts'
import { INLINE_BODY_LENGTH, MAX_BODY_LENGTH, MAX_HEADER_LENGTH } from '../verify/entry.ts'
import type { Batch, BatchEntry } from '../verify/log.ts'
import { isKeyName } from '../verify/note-key.ts'
import type { LogRecord } from '../verify/records.ts'
import { MAX_TRACER_LENGTH } from '../verify/tracer.ts'
import {
  type DeliveredWrap,
  MAX_ADMISSION_LENGTH,
  MAX_BATCH_ENTRIES,
  MAX_FRAME_LENGTH,
  MAX_MAILBOX_LENGTH,
  MAX_RETRY_AFTER,
  MAX_WANTS,
  type Message,
  type PushEntry,
  type RelayMessage,
  type ReplicaMessage,
} from './messages.ts'

const MAX_NOTE_LENGTH: number = 16 * 1024
const MAX_PROOF_LENGTH = 128
/** Of one device in one message: a frame has room for fewer. */
const MAX_WRAPS = 1024
/** Sizes from which one fast-forward is proven: those of all anchors, and of the replica itself. */
const MAX_PROVEN_SIZES = 512
/** Name of an error in `reject`, as text, so that an old client can show a code it does not know. */
const MAX_CODE_LENGTH = 64

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
  'put-mailbox',
  'get-mailbox',
  'mailbox',
  'get-keys',
  'keys',
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
    case 'keys':
    case 'mailbox':
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
    case 'keys':
    case 'mailbox':
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
      return [
        message.ref,
        idBytes(message.space),
        message.entries.map(pushEntryFields),
        optional(message.admission, token => token),
      ]
    case 'put-body':
      return [message.ref, idBytes(message.space), message.hash, message.length, message.offset, message.bytes]
    case 'get-body':
      return [message.ref, idBytes(message.space), message.index, message.offset]
    case 'leave':
      return [idBytes(message.space)]
    case 'get-keys':
      return [message.ref, idBytes(message.space), message.from, message.to]
    case 'keys':
      return [message.ref, idBytes(message.space), message.wraps.map(wrapFields), message.to]
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
    case 'put-mailbox':
    case 'mailbox':
      return [message.ref, message.address, message.counter, message.bytes, message.signature]
    case 'get-mailbox':
      return [message.ref, message.address, message.signature]
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
      const fields = asTuple(item, 5, type)
      const entries = asArray(fields[3], MAX_BATCH_ENTRIES, 'entries')
      return {
        type,
        ref: asUint(fields[1], 'ref'),
        space: asSpace(fields[2]),
        entries: entries.map(asPushEntry),
        admission: asOptional(fields[4], 'admission', asAdmission),
      }
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
    case 'get-keys': {
      const fields = asTuple(item, 5, type)
      return {
        type,
        ref: asUint(fields[1], 'ref'),
        space: asSpace(fields[2]),
        from: asUint(fields[3], 'from'),
        to: asUint(fields[4], 'to'),
      }
    }
    case 'keys': {
      const fields = asTuple(item, 5, type)
      return {
        type,
        ref: asUint(fields[1], 'ref'),
        space: asSpace(fields[2]),
        wraps: asArray(fields[3], MAX_WRAPS, 'wraps').map(asDeliveredWrap),
        to: asUint(fields[4], 'to'),
      }
    }
    case 'put-mailbox':
    case 'mailbox': {
      const fields = asTuple(item, 6, type)
      return {
        type,
        ref: asUint(fields[1], 'ref'),
        address: asBytes(fields[2], 32, 'address'),
        counter: asUint(fields[3], 'counter'),
        bytes: asBytesUpTo(fields[4], MAX_MAILBOX_LENGTH, 'mailbox'),
        signature: asBytes(fields[5], 64, 'signature'),
      }
    }
    case 'get-mailbox': {
      const fields = asTuple(item, 4, type)
      return {
        type,
        ref: asUint(fields[1], 'ref'),
        address: asBytes(fields[2], 32, 'address'),
        signature: asBytes(fields[3], 64, 'signature'),
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

function asAdmission(item: Cbor, what: string): string {
  return asText(item, MAX_ADMISSION_LENGTH, what)
}

function asNote(item: Cbor | undefined): Uint8Array {
  return asBytesUpTo(item, MAX_NOTE_LENGTH, 'note')
}

function pushEntryFields(entry: PushEntry): Cbor {
  return [entry.header, entry.signature, optional(entry.body, body => body), optional(entry.wraps, hash => hash)]
}

function asPushEntry(item: Cbor): PushEntry {
  const fields = asTuple(item, 4, 'entry')
  return {
    header: asBytesUpTo(fields[0], MAX_HEADER_LENGTH, 'header'),
    signature: asBytes(fields[1], 64, 'signature'),
    body: asOptional(fields[2], 'body', asInlineBody),
    wraps: asOptional(fields[3], 'wraps', (hash, what) => asBytes(hash, 32, what)),
  }
}

function wrapFields({ epoch, index, device, position, wrap, proof }: DeliveredWrap): Cbor {
  return [epoch, index, device, position, wrap, proof]
}

function asDeliveredWrap(item: Cbor): DeliveredWrap {
  const fields = asTuple(item, 6, 'wrap')
  return {
    epoch: asUint(fields[0], 'epoch'),
    index: asUint(fields[1], 'index'),
    device: asUint(fields[2], 'device'),
    position: asUint(fields[3], 'position'),
    wrap: asBytes(fields[4], WRAP_LENGTH, 'wrap'),
    proof: asProof(fields[5]),
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
