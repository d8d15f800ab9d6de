import {
  type Cbor,
  decodeCbor,
  encodeMessage,
  fromUtf8,
  MAX_FRAME_LENGTH,
  type RelayMessage,
  toUtf8,
} from 'sealog/protocol'
import { type HeaderField, withField } from './header-fields.ts'
import type { Lie, Telling } from './lie.ts'
import { dashed } from './lies-flips.ts'
import { encodeRaw, type RawCbor } from './raw-cbor.ts'

/** Beyond 32 bits, beyond what our formats hold, and the largest that CBOR holds. */
const VALUES: readonly { readonly name: string; readonly value: bigint }[] = [
  { name: '2^31', value: 2n ** 31n },
  { name: '2^53', value: 2n ** 53n },
  { name: '2^64-1', value: 2n ** 64n - 1n },
]

const HEADER_NUMBERS: readonly HeaderField[] = ['version', 'device', 'seq', 'seenSize', 'epoch', 'kind', 'bodyLength']
/** Where the numbers of a `sync` stand: in the message, in its batch. */
const REF = 1
const BATCH = 3
const FROM = 0
const ENTRIES = 1
const SEEN_PROOFS = 2

/** Numbers that are too large, in the place of every number that a relay sends. */
export const INTEGER_LIES: readonly Lie[] = VALUES.flatMap(({ name, value }): readonly Lie[] => {
  const fits = value <= Number.MAX_SAFE_INTEGER
  const lie = (field: string, expected: Lie['expected'], tell: Lie['tell']): Lie => ({
    name: `${name}-${field}`,
    says: `${field} is ${name}`,
    expected,
    isSigned: false,
    freezes: false,
    tell,
  })
  const inSync = (field: string, code: Lie['expected'][number], edit: (fields: readonly Cbor[]) => RawCbor): Lie =>
    lie(field, [fits ? code : 'ERR_MALFORMED'], async message => withEntries(message) && [rawFrame(message, edit)])
  return [
    ...HEADER_NUMBERS.map(field => {
      // A header that does not decode is refused before its hash is looked at.
      const isReadable = fits && field !== 'bodyLength'
      return inHeader(lie, field, isReadable ? 'ERR_ROOT_MISMATCH' : 'ERR_MALFORMED', value)
    }),
    inSync('from', 'ERR_UNEXPECTED', fields => edited(fields, [BATCH, FROM], value)),
    inSync('seen-proof-size', 'ERR_PROOF', fields =>
      edited(fields, [BATCH, SEEN_PROOFS], [...at(fields, [BATCH, SEEN_PROOFS]), [value, []]]),
    ),
    // A smaller one is a request that was never made, and means nothing.
    ...(fits ? [] : [inSync('ref', 'ERR_MALFORMED', fields => edited(fields, [REF], value))]),
    lie('note-size', [fits ? 'ERR_PROOF' : 'ERR_CHECKPOINT'], async message => withNoteLine(message, 1, `${value}`)),
    lie('note-time', [fits ? 'ERR_TIME_BACKWARDS' : 'ERR_CHECKPOINT'], async message =>
      withNoteLine(message, 4, `time ${value}`),
    ),
    lie('reject-position', [fits ? 'ERR_LIMIT' : 'ERR_MALFORMED'], async message =>
      rejected(message, fields => edited(fields, [5], value)),
    ),
    lie('reject-retry-after', ['ERR_MALFORMED'], async message =>
      rejected(message, fields => edited(fields, [6], value)),
    ),
    lie('welcome-version', [fits ? 'ERR_UPGRADE' : 'ERR_MALFORMED'], async message =>
      message.type === 'welcome' ? [rawFrame(message, fields => edited(fields, [1], value))] : undefined,
    ),
    lie('body-part-offset', [fits ? 'ERR_BODY' : 'ERR_MALFORMED'], async message =>
      message.type === 'body-part' ? [rawFrame(message, fields => edited(fields, [3], value))] : undefined,
    ),
    lie(
      'message-type',
      [fits ? 'ERR_UPGRADE' : 'ERR_MALFORMED'],
      async message => withEntries(message) && [rawFrame(message, fields => edited(fields, [0], value))],
    ),
  ]
})

function inHeader(
  lie: (field: string, expected: Lie['expected'], tell: Lie['tell']) => Lie,
  field: HeaderField,
  code: Lie['expected'][number],
  value: bigint,
): Lie {
  return lie(`header-${dashed(field)}`, [code], async message => {
    if (!withEntries(message)) return undefined
    const change = (header: Uint8Array): Uint8Array => withField(header, field, value)
    return [rawFrame(message, fields => editedHeader(fields, change))]
  })
}

function editedHeader(fields: readonly Cbor[], change: (header: Uint8Array) => Uint8Array): RawCbor {
  const entries = at(fields, [BATCH, ENTRIES])
  const last = entries.length - 1
  const header = at(entries, [last])[0] as Uint8Array
  return edited(fields, [BATCH, ENTRIES, last, 0], change(header))
}

function withEntries(message: RelayMessage): true | undefined {
  return message.type === 'sync' && message.batch.entries.length > 0 ? true : undefined
}

function rawFrame(message: RelayMessage, edit: (fields: readonly Cbor[]) => RawCbor): Uint8Array {
  return encodeRaw(edit(decodeCbor(encodeMessage(message), MAX_FRAME_LENGTH) as readonly Cbor[]))
}

function rejected(message: RelayMessage, edit: (fields: readonly Cbor[]) => RawCbor): Telling | undefined {
  if (message.type !== 'sync') return undefined
  const { ref, space } = message
  const reject = { type: 'reject', ref, space, code: 'ERR_LIMIT', message: 'no', position: 0, retryAfter: 0 } as const
  return [rawFrame(reject, edit)]
}

function at(item: readonly Cbor[], path: readonly number[]): readonly Cbor[] {
  return path.reduce((each, index) => each[index] as readonly Cbor[], item)
}

/** The same item with another value at the end of `path`. */
function edited(item: RawCbor, path: readonly number[], value: RawCbor): RawCbor {
  const [first, ...rest] = path
  if (first === undefined) return value
  return (item as readonly RawCbor[]).map((each, i) => (i === first ? edited(each, rest, value) : each))
}

function withNoteLine(message: RelayMessage, number: number, line: string): Telling | undefined {
  if (message.type !== 'sync') return undefined
  const lines = fromUtf8(message.batch.note).split('\n')
  const note = toUtf8(lines.map((each, i) => (i === number ? line : each)).join('\n'))
  return [{ ...message, batch: { ...message.batch, note } }]
}
