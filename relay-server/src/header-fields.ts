import { type Cbor, decodeCbor, decodeHeader, encodeCbor, entryHash, MAX_HEADER_LENGTH } from 'sealog/protocol'
import { flip } from './lie.ts'
import type { StoredEntry } from './log-store.ts'
import { encodeRaw, type RawCbor } from './raw-cbor.ts'

/** The fields of a header, in their order. */
export const HEADER_FIELDS = [
  'version',
  'space',
  'document',
  'device',
  'incarnation',
  'seq',
  'prev',
  'seenSize',
  'seenRoot',
  'epoch',
  'kind',
  'tag',
  'bodyHash',
  'bodyLength',
] as const
export type HeaderField = (typeof HEADER_FIELDS)[number]

export function withField(header: Uint8Array, field: HeaderField, value: RawCbor): Uint8Array {
  const at = HEADER_FIELDS.indexOf(field)
  return encodeRaw(fieldsOf(header).map((each, i): RawCbor => (i === at ? value : each)))
}

/** The header with the last bit of a number, or one of the first byte of a string, the other way round. */
export function withFlippedField(header: Uint8Array, field: HeaderField): Uint8Array {
  const at = HEADER_FIELDS.indexOf(field)
  return encodeCbor(fieldsOf(header).map((each, i) => (i === at ? flipped(each) : each)))
}

/** An entry with another header, as a relay would keep it. */
export function withHeader(entry: StoredEntry, header: Uint8Array): StoredEntry {
  let { seenSize, bodyLength } = entry
  try {
    ;({ seenSize, bodyLength } = decodeHeader(header))
  } catch {
    // Not even a header: it says nothing else about these.
  }
  return { ...entry, header, hash: entryHash(header), seenSize, bodyLength }
}

function flipped(field: Cbor): Cbor {
  if (typeof field === 'number') return field % 2 === 0 ? field + 1 : field - 1
  return field instanceof Uint8Array ? flip(field, 0) : field
}

function fieldsOf(header: Uint8Array): readonly Cbor[] {
  return decodeCbor(header, MAX_HEADER_LENGTH) as readonly Cbor[]
}
