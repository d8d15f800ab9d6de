import { asUint, decodeCbor, encodeCbor } from '../codec.ts'
import { SealogError } from '../errors.ts'
import type { RecordFormat } from '../format.ts'
import { bodyPart, getBody, putBody } from './body-messages.ts'
import { getKeys, keys } from './key-messages.ts'
import { cosign, pull, push, restore, sync } from './log-messages.ts'
import { getMailbox, mailboxContent, putMailbox } from './mailbox-messages.ts'
import { MAX_FRAME_LENGTH } from './message-limits.ts'
import type { MessageFormat } from './message-parts.ts'
import type { Message, RelayMessage, ReplicaMessage } from './messages.ts'
import { getChain, getDocument, read, records, skip } from './proof-messages.ts'
import { leave, open, received, reject, welcome } from './session-messages.ts'

type Formats<Side extends Message> = {
  readonly [Type in Side['type']]: MessageFormat<Extract<Side, { readonly type: Type }>>
}

const OF_RELAY: Formats<RelayMessage> = {
  welcome,
  sync,
  reject,
  'body-part': bodyPart,
  received,
  records,
  keys,
  mailbox: mailboxContent,
}

const OF_REPLICA: Formats<ReplicaMessage> = {
  open,
  pull,
  push,
  'put-body': putBody,
  'get-body': getBody,
  leave,
  skip,
  'get-document': getDocument,
  'get-chain': getChain,
  read,
  cosign,
  restore,
  'put-mailbox': putMailbox,
  'get-mailbox': getMailbox,
  'get-keys': getKeys,
}

const FORMATS: Formats<Message> = { ...OF_RELAY, ...OF_REPLICA }

/** The number on the wire is the place in this list. */
const TYPES: readonly Message['type'][] = [
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
]

export function encodeMessage(message: Message): Uint8Array {
  const { write } = FORMATS[message.type] as Pick<RecordFormat<unknown>, 'write'>
  return encodeCbor([TYPES.indexOf(message.type), ...write(message)])
}

/** @throws SealogError ERR_MALFORMED, ERR_LIMIT, ERR_UNEXPECTED for a message only a replica sends; ERR_UPGRADE */
export function decodeRelayMessage(frame: Uint8Array): RelayMessage {
  const message = decodeMessage(frame)
  if (!isOf(OF_RELAY, message)) throw new SealogError('ERR_UNEXPECTED', `${message.type} from a relay`)
  return message
}

/** @throws SealogError ERR_MALFORMED, ERR_LIMIT, ERR_UNEXPECTED for a message only a relay sends; ERR_UPGRADE */
export function decodeReplicaMessage(frame: Uint8Array): ReplicaMessage {
  const message = decodeMessage(frame)
  if (!isOf(OF_REPLICA, message)) throw new SealogError('ERR_UNEXPECTED', `${message.type} from a replica`)
  return message
}

function isOf<Side extends Message>(formats: Formats<Side>, message: Message): message is Side {
  return Object.hasOwn(formats, message.type)
}

function decodeMessage(frame: Uint8Array): Message {
  const item = decodeCbor(frame, MAX_FRAME_LENGTH)
  const [first, ...fields] = Array.isArray(item) ? item : []
  const number = asUint(first, 'message type')
  const type = TYPES[number]
  if (type === undefined) throw new SealogError('ERR_UPGRADE', `message of type ${number}`)
  return { type, ...FORMATS[type].read(fields, type) } as Message
}
