import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, toHex, toUtf8 } from '../../src/bytes.ts'
import { type Cbor, decodeCbor, encodeCbor } from '../../src/codec.ts'
import { sha256 } from '../../src/crypto/hash.ts'
import { actorIdOf, documentIdOf, idBytes } from '../../src/ids.ts'
import { authenticationInput } from '../../src/relay/authentication.ts'
import { decodeRelayMessage, decodeReplicaMessage, encodeMessage } from '../../src/relay/message-codec.ts'
import {
  MAX_ADMISSION_LENGTH,
  MAX_BATCH_ENTRIES,
  MAX_FRAME_LENGTH,
  MAX_MAILBOX_LENGTH,
} from '../../src/relay/message-limits.ts'
import type { Message, RelayMessage, ReplicaMessage } from '../../src/relay/messages.ts'
import { INLINE_BODY_LENGTH, MAX_BODY_LENGTH, MAX_HEADER_LENGTH } from '../../src/verify/entry.ts'
import { bytesOf, LogBuilder, verdictOf } from '../helpers/log-builder.ts'

const { log, writer } = LogBuilder.withWriter()
for (let i = 0; i < 4; i++) log.append(log.changes(writer, { seenSize: 2 + i }))
const { space } = log
const SPACE = idBytes(space)
const DOCUMENT = documentIdOf(bytesOf('document').subarray(0, 16))
const ACTOR = actorIdOf(bytesOf('actor').subarray(0, 16))
const [ENTRY] = log.entries
const BATCH = log.batch(4, 6)
const SIGNATURE = new Uint8Array(64).fill(1)

const FROM_RELAY: readonly RelayMessage[] = [
  { type: 'welcome', version: 1, name: 'relay.test', key: bytesOf('key'), challenge: bytesOf('challenge') },
  { type: 'sync', ref: 1, space, batch: BATCH },
  { type: 'sync', ref: 0, space, batch: { ...BATCH, entries: [], seenProofs: [], consistency: [] } },
  { type: 'reject', ref: 7, space, code: 'ERR_STALE_CHAIN', message: 'why', position: 3, retryAfter: 5000 },
  { type: 'body-part', ref: 8, space, offset: 262_144, bytes: bytesOf('part') },
  { type: 'received', ref: 9, space },
  {
    type: 'records',
    ref: 10,
    space,
    head: bytesOf('head'),
    records: [
      {
        index: 4,
        header: ENTRY?.header as Uint8Array,
        signature: ENTRY?.signature as Uint8Array,
        body: bytesOf('body'),
        inclusion: [bytesOf('sibling')],
      },
      { index: 5, header: ENTRY?.header as Uint8Array, signature: undefined, body: undefined, inclusion: [] },
    ],
    more: true,
  },
  { type: 'mailbox', ref: 11, address: bytesOf('address'), counter: 3, bytes: bytesOf('sealed'), signature: SIGNATURE },
]

const FROM_REPLICA: readonly ReplicaMessage[] = [
  {
    type: 'open',
    ref: 1,
    space,
    from: 12,
    device: bytesOf('device'),
    signature: new Uint8Array(64).fill(1),
    wants: undefined,
  },
  {
    type: 'open',
    ref: 1,
    space,
    from: 12,
    device: bytesOf('device'),
    signature: new Uint8Array(64).fill(1),
    wants: [DOCUMENT],
  },
  { type: 'pull', ref: 2, space },
  {
    type: 'push',
    ref: 3,
    space,
    entries: [
      { ...pushed(), body: bytesOf('body') },
      { ...pushed(), body: undefined },
    ],
    admission: undefined,
  },
  { type: 'push', ref: 3, space, entries: [{ ...pushed(), body: bytesOf('body') }], admission: 'a token' },
  { type: 'put-body', ref: 4, space, hash: bytesOf('hash'), length: 300_000, offset: 0, bytes: bytesOf('part') },
  { type: 'get-body', ref: 5, space, index: 4, offset: 262_144 },
  { type: 'leave', space },
  { type: 'skip', ref: 6, space, at: 9, from: 3, attestations: 1, prove: [3, 7] },
  { type: 'get-document', ref: 7, space, document: DOCUMENT, snapshot: 2 },
  { type: 'get-chain', ref: 8, space, document: DOCUMENT, actor: ACTOR, from: 0, to: 4 },
  { type: 'read', ref: 9, space, from: 3, to: 12 },
  { type: 'cosign', ref: 10, space, note: BATCH.note },
  {
    type: 'restore',
    ref: 11,
    space,
    note: BATCH.note,
    from: 3,
    entries: [{ ...pushed(), body: undefined }],
    more: true,
  },
  {
    type: 'put-mailbox',
    ref: 12,
    address: bytesOf('address'),
    counter: 3,
    bytes: bytesOf('sealed'),
    signature: SIGNATURE,
  },
  { type: 'get-mailbox', ref: 13, address: bytesOf('address'), signature: SIGNATURE },
]

function pushed(): { header: Uint8Array; signature: Uint8Array } {
  return { header: ENTRY?.header as Uint8Array, signature: ENTRY?.signature as Uint8Array }
}

const itemsOf = (message: Message): Cbor[] => decodeCbor(encodeMessage(message), MAX_FRAME_LENGTH) as Cbor[]
const fromRelay = (frame: Uint8Array): Promise<string> => verdictOf(() => decodeRelayMessage(frame))
const fromReplica = (frame: Uint8Array): Promise<string> => verdictOf(() => decodeReplicaMessage(frame))

describe('a message (R-MSG-1)', () => {
  it.each(FROM_RELAY)('$type survives the way to the replica', message => {
    expect(decodeRelayMessage(encodeMessage(message))).toEqual(message)
  })

  it.each(FROM_REPLICA)('$type survives the way to the relay', message => {
    expect(decodeReplicaMessage(encodeMessage(message))).toEqual(message)
  })

  it('begins with the number of its type', () => {
    const numbers = [...FROM_RELAY, ...FROM_REPLICA].map(message => [message.type, itemsOf(message)[0]])
    expect(Object.fromEntries(numbers)).toEqual({
      welcome: 0,
      sync: 1,
      reject: 2,
      'body-part': 3,
      received: 4,
      open: 5,
      pull: 6,
      push: 7,
      'put-body': 8,
      'get-body': 9,
      leave: 10,
      records: 11,
      skip: 12,
      'get-document': 13,
      'get-chain': 14,
      read: 15,
      cosign: 16,
      restore: 17,
      'put-mailbox': 18,
      'get-mailbox': 19,
      mailbox: 20,
    })
  })

  it('has its fields in the order of the specification', () => {
    expect(itemsOf(FROM_RELAY[1] as Message)).toEqual([
      1,
      1,
      SPACE,
      [
        4,
        BATCH.entries.map(({ header, signature, body }) => [header, [signature], [body]]),
        BATCH.seenProofs.map(({ size, proof }) => [size, proof]),
        BATCH.note,
        BATCH.consistency,
        [],
      ],
    ])
    expect(itemsOf(FROM_RELAY[3] as Message)).toEqual([2, 7, SPACE, 'ERR_STALE_CHAIN', 'why', 3, 5000])
    const { header, signature } = pushed()
    expect(itemsOf(FROM_REPLICA[3] as Message)).toEqual([
      7,
      3,
      SPACE,
      [
        [header, signature, [bytesOf('body')], []],
        [header, signature, [], []],
      ],
      [],
    ])
    expect(itemsOf(FROM_REPLICA[4] as Message)[4]).toEqual(['a token'])
    expect(itemsOf(FROM_REPLICA[5] as Message)).toEqual([8, 4, SPACE, bytesOf('hash'), 300_000, 0, bytesOf('part')])
    expect(toHex(encodeMessage(FROM_REPLICA[7] as Message))).toBe(`820a5820${space}`)
  })

  it('goes one way only: nobody takes what only the other side sends (R-MSG-2)', async () => {
    for (const message of FROM_RELAY) expect(await fromReplica(encodeMessage(message))).toBe('ERR_UNEXPECTED')
    for (const message of FROM_REPLICA) expect(await fromRelay(encodeMessage(message))).toBe('ERR_UNEXPECTED')
  })

  it('of a later type is for a later build (R-UPGRADE-1)', async () => {
    expect(await fromRelay(encodeCbor([99, 1, SPACE]))).toBe('ERR_UPGRADE')
    expect(await fromReplica(encodeCbor([400]))).toBe('ERR_UPGRADE')
  })
})

describe('a frame that is no message (R-MSG-1)', () => {
  it.each([...FROM_RELAY, ...FROM_REPLICA])('$type with a field less or more, or bytes behind it', async message => {
    const decode = FROM_RELAY.includes(message as RelayMessage) ? fromRelay : fromReplica
    const items = itemsOf(message)
    expect(await decode(encodeCbor(items.slice(0, -1)))).toBe('ERR_MALFORMED')
    expect(await decode(encodeCbor([...items, 0]))).toBe('ERR_MALFORMED')
    expect(await decode(concat(encodeMessage(message), Uint8Array.of(0)))).toBe('ERR_MALFORMED')
    expect(await decode(encodeMessage(message).slice(0, -1))).toBe('ERR_MALFORMED')
  })

  it('is refused with a code, whatever the bytes', async () => {
    const frames = [...FROM_RELAY, ...FROM_REPLICA].map(encodeMessage)
    const edit = fc.record({ frame: fc.constantFrom(...frames), at: fc.nat(), byte: fc.nat({ max: 255 }) })
    const isCoded = async (frame: Uint8Array): Promise<void> => {
      for (const verdict of [await fromRelay(frame), await fromReplica(frame)]) {
        expect(verdict).toMatch(/^(accepted|ERR_MALFORMED|ERR_LIMIT|ERR_UPGRADE|ERR_UNEXPECTED)$/)
      }
    }
    await fc.assert(
      fc.asyncProperty(edit, async ({ frame, at, byte }) => {
        const edited = frame.slice()
        edited[at % edited.length] = byte
        await isCoded(edited)
      }),
      { numRuns: 500 },
    )
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), isCoded), { numRuns: 500 })
  })
})

describe('limits (R-MSG-3)', () => {
  /** The message with one field of its batch replaced. */
  const sync = (place: number, field: Cbor): Uint8Array => {
    const items = itemsOf(FROM_RELAY[1] as Message)
    return encodeCbor(items.with(3, (items[3] as Cbor[]).with(place, field)))
  }
  const entries = (count: number): Cbor[] => Array.from({ length: count }, () => [new Uint8Array(0), [], []])
  const hashes = (count: number): Cbor[] => Array.from({ length: count }, () => bytesOf('hash'))

  it('a frame has at most 1 MiB', async () => {
    expect(await fromRelay(new Uint8Array(MAX_FRAME_LENGTH + 1))).toBe('ERR_LIMIT')
    expect(await fromReplica(new Uint8Array(MAX_FRAME_LENGTH + 1))).toBe('ERR_LIMIT')
  })

  it.each<readonly [string, Uint8Array, Uint8Array]>([
    ['entries of a batch', sync(1, entries(MAX_BATCH_ENTRIES)), sync(1, entries(MAX_BATCH_ENTRIES + 1))],
    [
      'bytes of a header',
      sync(1, [[new Uint8Array(MAX_HEADER_LENGTH), [], []]]),
      sync(1, [[new Uint8Array(MAX_HEADER_LENGTH + 1), [], []]]),
    ],
    [
      'bytes of an inline body',
      sync(1, [[new Uint8Array(0), [], [new Uint8Array(INLINE_BODY_LENGTH)]]]),
      sync(1, [[new Uint8Array(0), [], [new Uint8Array(INLINE_BODY_LENGTH + 1)]]]),
    ],
    ['hashes of a proof', sync(4, hashes(128)), sync(4, hashes(129))],
    [
      'proofs of what was seen',
      sync(
        2,
        Array.from({ length: 4096 }, () => [1, []]),
      ),
      sync(
        2,
        Array.from({ length: 4097 }, () => [1, []]),
      ),
    ],
    ['bytes of a note', sync(3, new Uint8Array(16 * 1024)), sync(3, new Uint8Array(16 * 1024 + 1))],
    [
      'characters of a code',
      encodeCbor([2, 1, SPACE, 'C'.repeat(64), '', 0, 0]),
      encodeCbor([2, 1, SPACE, 'C'.repeat(65), '', 0, 0]),
    ],
    [
      'characters of an explanation',
      encodeCbor([2, 1, SPACE, '', 'm'.repeat(1024), 0, 0]),
      encodeCbor([2, 1, SPACE, '', 'm'.repeat(1025), 0, 0]),
    ],
    [
      'characters of a relay name',
      encodeCbor([0, 1, 'n'.repeat(255), SPACE, SPACE]),
      encodeCbor([0, 1, 'n'.repeat(256), SPACE, SPACE]),
    ],
    [
      'bytes of a part',
      encodeCbor([3, 1, SPACE, 0, new Uint8Array(INLINE_BODY_LENGTH)]),
      encodeCbor([3, 1, SPACE, 0, new Uint8Array(INLINE_BODY_LENGTH + 1)]),
    ],
    [
      'bytes in a mailbox',
      encodeCbor([20, 1, SPACE, 1, new Uint8Array(MAX_MAILBOX_LENGTH), SIGNATURE]),
      encodeCbor([20, 1, SPACE, 1, new Uint8Array(MAX_MAILBOX_LENGTH + 1), SIGNATURE]),
    ],
  ])('hold for %s', async (_, within, beyond) => {
    expect(await fromRelay(within)).toBe('accepted')
    expect(await fromRelay(beyond)).toBe('ERR_LIMIT')
  })

  it('hold for what replicas send', async () => {
    const { header, signature } = pushed()
    const push = (...list: Cbor[]): Uint8Array => encodeCbor([7, 1, SPACE, list, []])
    const put = (length: number, bytes: number): Uint8Array => {
      return encodeCbor([8, 1, SPACE, bytesOf('hash'), length, 0, new Uint8Array(bytes)])
    }
    expect(await fromReplica(push([header, signature, [new Uint8Array(INLINE_BODY_LENGTH + 1)], []]))).toBe('ERR_LIMIT')
    expect(await fromReplica(push([new Uint8Array(MAX_HEADER_LENGTH + 1), signature, [], []]))).toBe('ERR_LIMIT')
    expect(await fromReplica(push([header, signature.slice(1), [], []]))).toBe('ERR_MALFORMED')
    expect(await fromReplica(push(...Array.from({ length: MAX_BATCH_ENTRIES + 1 }, () => 0)))).toBe('ERR_LIMIT')
    const withToken = (length: number): Uint8Array => encodeCbor([7, 1, SPACE, [], ['t'.repeat(length)]])
    expect(await fromReplica(withToken(MAX_ADMISSION_LENGTH))).toBe('accepted')
    expect(await fromReplica(withToken(MAX_ADMISSION_LENGTH + 1))).toBe('ERR_LIMIT')
    expect(await fromReplica(put(MAX_BODY_LENGTH, 1))).toBe('accepted')
    expect(await fromReplica(put(MAX_BODY_LENGTH + 1, 1))).toBe('ERR_MALFORMED')
    expect(await fromReplica(put(MAX_BODY_LENGTH, INLINE_BODY_LENGTH + 1))).toBe('ERR_LIMIT')
  })
})

describe('what a device signs to open a space (R-OPEN-1)', () => {
  const relay = { name: 'relay.test', key: bytesOf('key') }

  it('is label, relay, challenge, space and its own key', () => {
    const input = concat(
      toUtf8('sealog/v1/authenticate\0'),
      sha256(toUtf8('relay.test')),
      relay.key,
      bytesOf('challenge'),
      SPACE,
      bytesOf('device'),
    )
    expect(authenticationInput(relay, bytesOf('challenge'), space, bytesOf('device'))).toEqual(input)
  })
})
