import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { equalBytes, fromBase64Url, toBase64Url, toHex } from '../../src/bytes.ts'
import { type Cbor, encodeCbor } from '../../src/codec.ts'
import type { EpochSecret } from '../../src/crdt/epoch-secrets.ts'
import { decodeInviteLink, encodeInviteLink } from '../../src/crdt/invite-link.ts'
import { decodeMailboxList, encodeMailboxList } from '../../src/crdt/mailbox-list.ts'
import { decodeChangesPayload, encodeChangesPayload } from '../../src/crdt/payload.ts'
import { decodeSecrets, encodeSecrets } from '../../src/crdt/secrets.ts'
import { SealogError } from '../../src/errors.ts'
import { decodeRelayMessage, decodeReplicaMessage, encodeMessage } from '../../src/relay/message-codec.ts'
import type { RelayMessage, ReplicaMessage } from '../../src/relay/messages.ts'
import { encodeNote, parseNote } from '../../src/verify/checkpoint.ts'
import { appendLeaves, decodeRange, emptyRange, encodeRange } from '../../src/verify/compact-range.ts'
import { decodeControlBody, encodeControlBody } from '../../src/verify/control-codec.ts'
import { decodeControlState, encodeControlState } from '../../src/verify/control-rows.ts'
import type { DeviceRecord } from '../../src/verify/control-state.ts'
import { decodeHeader, encodeHeader } from '../../src/verify/entry.ts'
import {
  actorsOf,
  decodeActorRecord,
  decodeDocumentRecord,
  documentsOf,
  encodeActorRecord,
  encodeDocumentRecord,
  type SpaceState,
} from '../../src/verify/state.ts'
import { type BuiltEntry, bytesOf, LogBuilder, memberNamed, testDevice } from '../helpers/log-builder.ts'
import { listedSpace } from '../helpers/mailbox-spaces.ts'

interface Format {
  readonly samples: readonly Uint8Array[]
  /** Reads the bytes and writes what was read. */
  readonly again: (bytes: Uint8Array) => Uint8Array
  /** Maps have no order of their own on paper, so only that it reads and writes is asked. */
  readonly isLoose?: boolean
}

function sampleLog(): LogBuilder {
  const { log, writer } = LogBuilder.withWriter()
  log.append(log.changes(writer))
  log.append(log.changes(log.owner))
  const { owner, bodies } = log
  log.act(owner, log.inviteBody(testDevice('guest', log.nextNumber)))
  log.append(log.retire(writer))
  // One of everything else that a control entry can say.
  const { member } = log.controlState.devices.get(writer.number) as DeviceRecord
  const asking = testDevice('asking', log.nextNumber)
  log.act(owner, bodies.invite(asking, { kind: 'approved', history: 'from-join', role: 'reader' }))
  const asker = testDevice('asker', log.nextNumber)
  log.act(asking, bodies.join(asker))
  log.act(owner, bodies.deviceInvite(owner, testDevice('phone', log.nextNumber)))
  log.act(owner, bodies.addDevice(owner, testDevice('tablet', log.nextNumber)))
  log.act(owner, bodies.rotate())
  log.act(owner, bodies.repair(1))
  log.act(owner, bodies.approve(asker.number))
  log.act(owner, bodies.grant(asker.number, 0))
  log.act(owner, bodies.rename({ member }, 'Another name'))
  log.act(owner, bodies.setRole(member, 'admin'))
  log.act(owner, bodies.policy({ attestations: 2 }))
  log.act(owner, bodies.revoke(log.controlState.invites.keys().next().value as number))
  log.act(owner, bodies.removeDevice(asker.number))
  log.act(owner, bodies.removeMember(member))
  return log
}

const log = sampleLog()
const state = log.state as SpaceState
const [entry] = log.entries.slice(3) as [BuiltEntry]
const batch = log.batch(1, 4)
const space = log.space
const ref = 7

const fromRelay: readonly RelayMessage[] = [
  { type: 'welcome', version: 1, name: 'relay.test', key: bytesOf('key'), challenge: bytesOf('challenge') },
  { type: 'sync', ref, space, batch },
  { type: 'reject', ref, space, code: 'ERR_STALE_CHAIN', message: 'again', position: 1, retryAfter: 100 },
  { type: 'body-part', ref, space, offset: 1, bytes: bytesOf('part') },
  { type: 'received', ref, space },
  {
    type: 'mailbox',
    ref,
    address: bytesOf('address'),
    counter: 2,
    bytes: bytesOf('sealed'),
    signature: entry.signature,
  },
  {
    type: 'keys',
    ref,
    space,
    wraps: [
      { epoch: 1, index: 9, device: 0, position: 1, wrap: log.genesisBody().wrap, proof: [bytesOf('a'), bytesOf('b')] },
    ],
    to: 1,
  },
]
const fromReplica: readonly ReplicaMessage[] = [
  { type: 'open', ref, space, from: 3, device: bytesOf('device'), signature: entry.signature, wants: undefined },
  { type: 'pull', ref, space },
  { type: 'push', ref, space, entries: [entry, { ...entry, body: undefined }] },
  { type: 'put-body', ref, space, hash: bytesOf('hash'), length: 100, offset: 50, bytes: bytesOf('part') },
  { type: 'get-body', ref, space, index: 1, offset: 2 },
  { type: 'leave', space },
  {
    type: 'put-mailbox',
    ref,
    address: bytesOf('address'),
    counter: 2,
    bytes: bytesOf('sealed'),
    signature: entry.signature,
  },
  { type: 'get-mailbox', ref, address: bytesOf('address'), signature: entry.signature },
  { type: 'push', ref, space, entries: [{ ...entry, wraps: bytesOf('wraps') }] },
  { type: 'get-keys', ref, space, from: 1, to: 9 },
]
const invite = {
  relay: { ...log.relay, url: 'wss://relay.test' },
  space,
  seed: bytesOf('seed'),
  kind: 'approved',
  index: 2,
  member: memberNamed('member'),
  role: 'writer',
  history: 'from-join',
  expires: 5,
  note: log.note(),
  spaceName: 'Space',
  inviterName: 'Ann',
} as const
const secrets = {
  url: 'ws://relay.test',
  member: memberNamed('member'),
  device: { signing: bytesOf('signing'), kem: bytesOf('kem') },
  incarnation: bytesOf('incarnation').slice(0, 8),
  epochs: new Map<number, EpochSecret>([
    [0, { kind: 'names', secret: bytesOf('epoch') }],
    [3, { kind: 'all', secret: bytesOf('later epoch') }],
  ]),
  memberName: 'Ann',
  deviceName: 'Laptop',
} as const
const payload = {
  encoding: 'raw',
  latestHash: bytesOf('h'),
  latestSeq: 2,
  count: 1,
  chunks: bytesOf('chunks'),
} as const

const FORMATS: Readonly<Record<string, Format>> = {
  'messages from relays': {
    samples: fromRelay.map(encodeMessage),
    again: bytes => encodeMessage(decodeRelayMessage(bytes)),
  },
  'messages from replicas': {
    samples: fromReplica.map(encodeMessage),
    again: bytes => encodeMessage(decodeReplicaMessage(bytes)),
  },
  headers: { samples: log.entries.map(item => item.header), again: bytes => encodeHeader(decodeHeader(bytes)) },
  'control bodies': {
    samples: log.entries.filter(item => item.decoded.kind === 'control').map(item => item.body),
    again: bytes => encodeControlBody(decodeControlBody(bytes)),
  },
  notes: {
    samples: [log.note()],
    again: bytes => {
      const { checkpoint, signatures } = parseNote(bytes)
      return encodeNote(checkpoint, signatures)
    },
  },
  invites: {
    samples: [fromBase64Url(encodeInviteLink(invite).slice('sealog:'.length))],
    again: bytes =>
      fromBase64Url(encodeInviteLink(decodeInviteLink(`sealog:${toBase64Url(bytes)}`)).slice('sealog:'.length)),
  },
  'lists in mailboxes': {
    samples: [encodeMailboxList([listedSpace(1), listedSpace(2, 'other.test')])],
    again: bytes => encodeMailboxList(decodeMailboxList(bytes)),
  },
  ranges: {
    samples: [
      encodeRange(
        appendLeaves(
          emptyRange,
          [1, 2, 3, 4, 5].map(i => bytesOf(`${i}`)),
        ),
      ),
    ],
    again: bytes => encodeRange(decodeRange(bytes)),
  },
  'control states': {
    samples: [encodeControlState(state.control)],
    again: bytes => encodeControlState(decodeControlState(bytes)),
    isLoose: true,
  },
  'document records': {
    samples: [...documentsOf(state)].map(encodeDocumentRecord),
    again: bytes => encodeDocumentRecord(decodeDocumentRecord(bytes)),
  },
  'actor records': {
    samples: [...documentsOf(state)].flatMap(record => [...actorsOf(record)]).map(encodeActorRecord),
    again: bytes => encodeActorRecord(decodeActorRecord(bytes)),
  },
  secrets: {
    samples: [
      encodeSecrets({ ...secrets, admission: undefined }),
      encodeSecrets({ ...secrets, admission: { type: 'genesis', token: undefined, entry } }),
      encodeSecrets({ ...secrets, admission: { type: 'genesis', token: 'a token', entry } }),
      encodeSecrets({
        ...secrets,
        admission: {
          type: 'join',
          provisional: secrets.device,
          nameKey: bytesOf('name key'),
          body: bytesOf('body'),
        },
      }),
    ],
    again: bytes => encodeSecrets(decodeSecrets(bytes)),
    isLoose: true,
  },
  payloads: {
    samples: [encodeChangesPayload(payload)],
    again: bytes => encodeChangesPayload(decodeChangesPayload(bytes)),
  },
}

type Edit =
  | { readonly do: 'flip'; readonly at: number; readonly bit: number }
  | { readonly do: 'insert'; readonly at: number; readonly byte: number }
  | { readonly do: 'remove'; readonly at: number; readonly length: number }

const edits: fc.Arbitrary<readonly Edit[]> = fc.array(
  fc.oneof(
    fc.record({ do: fc.constant('flip' as const), at: fc.nat(), bit: fc.nat(7) }),
    fc.record({ do: fc.constant('insert' as const), at: fc.nat(), byte: fc.nat(255) }),
    fc.record({ do: fc.constant('remove' as const), at: fc.nat(), length: fc.integer({ min: 1, max: 9 }) }),
  ),
  { minLength: 1, maxLength: 4 },
)

function edited(bytes: Uint8Array, list: readonly Edit[]): Uint8Array {
  const out = [...bytes]
  for (const edit of list) {
    if (out.length === 0) break
    // Most of a message is hashes and keys; what decides is at the beginning of fields.
    const at = edit.at % out.length
    if (edit.do === 'flip') out[at] = (out[at] as number) ^ (1 << edit.bit)
    else if (edit.do === 'insert') out.splice(at, 0, edit.byte)
    else out.splice(at, edit.length)
  }
  return Uint8Array.from(out)
}

const { value: anyCbor } = fc.letrec<{ value: Cbor }>(tie => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.oneof(fc.nat(40), fc.maxSafeNat(), fc.constantFrom(2 ** 32, Number.MAX_SAFE_INTEGER)),
    fc.oneof(
      fc.uint8Array({ maxLength: 4 }),
      fc.constantFrom(16, 32, 64, 1168, 1216).map(length => new Uint8Array(length)),
    ),
    fc.string({ maxLength: 6 }),
    fc.array(tie('value'), { maxLength: 15 }),
  ),
}))

/** @returns what was written again, or the code of the refusal */
function read(format: Format, bytes: Uint8Array): Uint8Array | string {
  try {
    return format.again(bytes)
  } catch (error) {
    if (error instanceof SealogError) return error.code
    throw error
  }
}

describe('bytes of any kind are read as the one thing they spell, or refused with a code', () => {
  for (const [name, format] of Object.entries(FORMATS)) {
    const take = (bytes: Uint8Array): void => {
      const result = read(format, bytes)
      if (typeof result === 'string' || format.isLoose === true) return
      if (!equalBytes(result, bytes)) throw new Error(`${toHex(bytes)} is a second spelling of ${toHex(result)}`)
    }

    it(`${name}: samples are what they should be`, () => {
      expect(format.samples.length).toBeGreaterThan(0)
      for (const sample of format.samples) expect(read(format, sample)).toEqual(sample)
    })

    it(`${name}: cut off anywhere, or with bytes behind`, () => {
      for (const sample of format.samples) {
        const step = Math.max(1, Math.floor(sample.length / 400))
        for (let length = 0; length < sample.length; length += step) {
          expect(typeof read(format, sample.slice(0, length))).toBe('string')
        }
        expect(typeof read(format, Uint8Array.of(...sample, 0))).toBe('string')
      }
    })

    it(`${name}: with bits and bytes changed`, () => {
      const sample = fc.constantFrom(...format.samples)
      fc.assert(
        fc.property(sample, edits, (bytes, list) => take(edited(bytes, list))),
        { numRuns: 400 },
      )
    })

    it(`${name}: any CBOR, and any bytes`, () => {
      fc.assert(
        fc.property(anyCbor, value => take(encodeCbor(value))),
        { numRuns: 200 },
      )
      fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), take), { numRuns: 200 })
    })
  }
})

describe('a claim about a length is not believed', () => {
  const huge: readonly Uint8Array[] = [
    Uint8Array.of(0x5a, 0xff, 0xff, 0xff, 0xff),
    Uint8Array.of(0x9a, 0xff, 0xff, 0xff, 0xff),
    Uint8Array.of(0x7b, 0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
    Uint8Array.of(0x9b, 0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
  ]

  it('nothing is allocated for it, by any decoder', () => {
    for (const format of Object.values(FORMATS)) {
      for (const bytes of huge) expect(typeof read(format, bytes)).toBe('string')
    }
  })

  it('a frame of nested arrays, or of the most items there can be, is refused in time that grows with its length', () => {
    const deep = new Uint8Array(1024 * 1024).fill(0x81)
    const wide = new Uint8Array(1024 * 1024)
    wide.set([0x9a, 0, 0x0f, 0xff, 0xfb])
    const start = performance.now()
    for (const name of ['messages from relays', 'messages from replicas']) {
      for (const bytes of [deep, wide]) expect(typeof read(FORMATS[name] as Format, bytes)).toBe('string')
    }
    expect(performance.now() - start).toBeLessThan(5000)
  })
})
