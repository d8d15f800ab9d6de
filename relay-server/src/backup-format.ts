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
  INLINE_BODY_LENGTH,
  idBytes,
  MAX_HEADER_LENGTH,
  optional,
  SealogError,
  SIGNATURE_LENGTH,
  type SpaceId,
  spaceIdOf,
  WRAP_LENGTH,
} from 'sealog/protocol'

/*
 * A backup is the logs themselves: what is needed to judge them again, and nothing that follows from it.
 *
 *   backup   = "sealog-backup/1\n", begin, *( space, *cosigned, *( entry / ( large, 1*part ), *wraps ), end ),
 *              *mailbox, finish
 *   record   = length: uint32, big-endian, and so many bytes of deterministic CBOR:
 *
 *   begin    = [0, name: tstr, key: bstr .size 32, time: uint]            ; of the relay; when, Unix time in ms
 *   space    = [1, id: bstr .size 32, size: uint, head: [? bstr]]         ; the note of what was signed, as information
 *   cosigned = [2, note: bstr]
 *   entry    = [3, header: bstr, signature: bstr .size 64, body: [? bstr]]
 *   large    = [4, header: bstr, signature: bstr .size 64]                ; its body follows
 *   part     = [5, bytes: bstr]                         ; 256 KiB, the last one what is left. A body that breaks off
 *                                                       ; went while it was written: it is not in the backup
 *   wraps    = [6, position: uint, [1*256 [device: uint, wrap: bstr .size 1168]]]   ; of the entry before
 *   end      = [7, hash: bstr .size 32]         ; SHA-256 of all bytes of the space's records before, lengths included
 *   mailbox  = [8, address: bstr .size 32, counter: uint, bytes: bstr, signature: bstr .size 64]
 *   finish   = [9, spaces: uint, mailboxes: uint, hash: bstr .size 32]    ; SHA-256 of all bytes of the file before
 */

export const BACKUP_MAGIC = 'sealog-backup/1\n'
/** Bytes before each record. */
export const LENGTH_PREFIX = 4
export const MAX_RECORD_LENGTH: number = 2 * 1024 * 1024
export const WRAPS_PER_RECORD = 256

const MAX_NOTE_LENGTH = 16 * 1024
const MAX_NAME_LENGTH = 255

export interface BackedUpWrap {
  readonly device: number
  readonly wrap: Uint8Array
}

export type BackupRecord =
  | { readonly type: 'begin'; readonly name: string; readonly key: Uint8Array; readonly time: number }
  | { readonly type: 'space'; readonly space: SpaceId; readonly size: number; readonly head: Uint8Array | undefined }
  | { readonly type: 'cosigned'; readonly note: Uint8Array }
  | {
      readonly type: 'entry'
      readonly header: Uint8Array
      readonly signature: Uint8Array
      readonly body: Uint8Array | undefined
    }
  | { readonly type: 'large'; readonly header: Uint8Array; readonly signature: Uint8Array }
  | { readonly type: 'part'; readonly bytes: Uint8Array }
  | { readonly type: 'wraps'; readonly position: number; readonly wraps: readonly BackedUpWrap[] }
  | { readonly type: 'end'; readonly hash: Uint8Array }
  | {
      readonly type: 'mailbox'
      readonly address: Uint8Array
      readonly counter: number
      readonly bytes: Uint8Array
      readonly signature: Uint8Array
    }
  | { readonly type: 'finish'; readonly spaces: number; readonly mailboxes: number; readonly hash: Uint8Array }

/** The number in a record is the place in this list. */
const TYPES = ['begin', 'space', 'cosigned', 'entry', 'large', 'part', 'wraps', 'end', 'mailbox', 'finish'] as const

export function encodeRecord(record: BackupRecord): Uint8Array {
  return encodeCbor([TYPES.indexOf(record.type), ...fieldsOf(record)])
}

/** @throws SealogError ERR_MALFORMED, ERR_LIMIT; ERR_UPGRADE for a record of a later version */
export function decodeRecord(bytes: Uint8Array): BackupRecord {
  const item = decodeCbor(bytes, MAX_RECORD_LENGTH)
  const number = asUint(Array.isArray(item) ? item[0] : undefined, 'record')
  const type = TYPES[number]
  if (type === undefined) throw new SealogError('ERR_UPGRADE', `a record of type ${number}`)
  const fields = (count: number): readonly Cbor[] => asTuple(item, count + 1, type).slice(1)
  switch (type) {
    case 'begin': {
      const [name, key, time] = fields(3)
      return {
        type,
        name: asText(name, MAX_NAME_LENGTH, 'name'),
        key: asBytes(key, 32, 'key'),
        time: asUint(time, 'time'),
      }
    }
    case 'space': {
      const [space, size, head] = fields(3)
      return {
        type,
        space: spaceIdOf(asBytes(space, 32, 'space')),
        size: asUint(size, 'size'),
        head: asOptional(head, 'head', (note, what) => asBytesUpTo(note, MAX_NOTE_LENGTH, what)),
      }
    }
    case 'cosigned': {
      const [note] = fields(1)
      return { type, note: asBytesUpTo(note, MAX_NOTE_LENGTH, 'note') }
    }
    case 'entry': {
      const [header, signature, body] = fields(3)
      return {
        type,
        ...asSigned(header, signature),
        body: asOptional(body, 'body', (bytes, what) => asBytesUpTo(bytes, INLINE_BODY_LENGTH, what)),
      }
    }
    case 'large': {
      const [header, signature] = fields(2)
      return { type, ...asSigned(header, signature) }
    }
    case 'part': {
      const [part] = fields(1)
      return { type, bytes: asBytesUpTo(part, INLINE_BODY_LENGTH, 'part') }
    }
    case 'wraps': {
      const [position, wraps] = fields(2)
      return {
        type,
        position: asUint(position, 'position'),
        wraps: asArray(wraps, WRAPS_PER_RECORD, 'wraps').map(row => {
          const [device, wrap] = asTuple(row, 2, 'wrap')
          return { device: asUint(device, 'device'), wrap: asBytes(wrap, WRAP_LENGTH, 'wrap') }
        }),
      }
    }
    case 'end': {
      const [hash] = fields(1)
      return { type, hash: asBytes(hash, 32, 'hash') }
    }
    case 'mailbox': {
      const [address, counter, content, signature] = fields(4)
      return {
        type,
        address: asBytes(address, 32, 'address'),
        counter: asUint(counter, 'counter'),
        bytes: asBytesUpTo(content, MAX_RECORD_LENGTH, 'mailbox'),
        signature: asBytes(signature, SIGNATURE_LENGTH, 'signature'),
      }
    }
    case 'finish': {
      const [spaces, mailboxes, hash] = fields(3)
      return {
        type,
        spaces: asUint(spaces, 'spaces'),
        mailboxes: asUint(mailboxes, 'mailboxes'),
        hash: asBytes(hash, 32, 'hash'),
      }
    }
  }
}

function fieldsOf(record: BackupRecord): readonly Cbor[] {
  switch (record.type) {
    case 'begin':
      return [record.name, record.key, record.time]
    case 'space':
      return [idBytes(record.space), record.size, optional(record.head, note => note)]
    case 'cosigned':
      return [record.note]
    case 'entry':
      return [record.header, record.signature, optional(record.body, body => body)]
    case 'large':
      return [record.header, record.signature]
    case 'part':
      return [record.bytes]
    case 'wraps':
      return [record.position, record.wraps.map(({ device, wrap }) => [device, wrap])]
    case 'end':
      return [record.hash]
    case 'mailbox':
      return [record.address, record.counter, record.bytes, record.signature]
    case 'finish':
      return [record.spaces, record.mailboxes, record.hash]
  }
}

function asSigned(header: Cbor | undefined, signature: Cbor | undefined) {
  return {
    header: asBytesUpTo(header, MAX_HEADER_LENGTH, 'header'),
    signature: asBytes(signature, SIGNATURE_LENGTH, 'signature'),
  }
}
