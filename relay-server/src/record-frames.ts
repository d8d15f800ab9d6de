import {
  encodeMessage,
  type LogRecord,
  MAX_BATCH_ENTRIES,
  MAX_FRAME_LENGTH,
  type Records,
  type SpaceId,
} from 'sealog/protocol'

/** Room for what a message holds besides its head and its records: type, reference, space, framing. */
const FRAME_OVERHEAD = 128
const ROOM: number = MAX_FRAME_LENGTH - FRAME_OVERHEAD
/** CBOR around one record: array, index, three byte strings and their optional fields, proof. */
const RECORD_OVERHEAD = 40
const HASH_IN_PROOF = 34

/** Which request is answered. */
export interface Answered {
  readonly ref: number
  readonly space: SpaceId
}

/**
 * An answer as `records` messages: the head over as many as it takes, then the records as many as fit into each. Only
 * the last says that there are no more.
 * @returns encoded frames of at most `MAX_FRAME_LENGTH` bytes, one at least, each composed when it is asked for
 */
export async function* recordFrames(
  answered: Answered,
  head: Uint8Array,
  records: AsyncIterable<LogRecord>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { ref, space } = answered
  const frame = (part: Pick<Records, 'head' | 'records' | 'more'>): Uint8Array =>
    encodeMessage({ type: 'records', ref, space, ...part })
  let start = 0
  while (head.length - start > ROOM) {
    yield frame({ head: head.subarray(start, start + ROOM), records: [], more: true })
    start += ROOM
  }
  let rest = head.subarray(start)
  let length = rest.length
  let pending: LogRecord[] = []
  for await (const record of records) {
    const added = lengthOf(record)
    if (length + added > ROOM || pending.length >= MAX_BATCH_ENTRIES) {
      yield frame({ head: rest, records: pending, more: true })
      rest = new Uint8Array(0)
      length = 0
      pending = []
    }
    pending.push(record)
    length += added
  }
  yield frame({ head: rest, records: pending, more: false })
}

/** At least what it takes in a message. */
function lengthOf({ header, signature, body, inclusion }: LogRecord): number {
  const bytes = header.length + (signature?.length ?? 0) + (body?.length ?? 0)
  return bytes + inclusion.length * HASH_IN_PROOF + RECORD_OVERHEAD
}
