import { type Batch, type BatchEntry, concat, INLINE_BODY_LENGTH, type RelayMessage, sha256 } from 'sealog/protocol'
import { batchLie, flip, type Lie, type Teller, type Telling } from './lie.ts'
import { changeContent } from './lies-flips.ts'

/** Other bytes than those that a header commits to. */
export const BODY_LIES: readonly Lie[] = [
  {
    name: 'withhold-body',
    says: 'a body is withheld while its header is served, and whoever asks for it is told that there is none',
    expected: ['ERR_BODY'],
    isSigned: false,
    freezes: false,
    tell: async message => {
      if (message.type === 'body-part') {
        const { ref, space } = message
        return [{ type: 'reject', ref, space, code: 'ERR_BODY', message: 'there is none', position: 0, retryAfter: 0 }]
      }
      const batch = message.type === 'sync' ? withoutBody(message.batch) : undefined
      return message.type === 'sync' && batch ? [{ ...message, batch }] : undefined
    },
  },
  bodyLie('other-body', 'another body of the right length comes in its place', body => otherBytes(body)),
  bodyLie('shorter-body', 'the last byte of a body is missing', body => body.slice(0, -1)),
  bodyLie('longer-body', 'a byte follows a body', body => concat(body, Uint8Array.of(0))),
  bodyLie('empty-body', 'a body comes without a byte', () => new Uint8Array(0)),
  batchLie({
    name: 'body-of-another-entry',
    says: 'the body of an older entry comes in place of one',
    expected: ['ERR_BODY'],
    batch: (batch, { log }: Teller) => {
      const old = log[batch.from - 1]?.body
      return old && changeContent(batch, entry => ({ ...entry, body: old }))
    },
  }),
  partLie('flip-body-part', 'a bit is flipped in a part of a long body', part => ({
    ...part,
    bytes: flip(part.bytes, part.bytes.length - 1),
  })),
  partLie('empty-body-part', 'a part of a long body comes without a byte', part => ({
    ...part,
    bytes: new Uint8Array(0),
  })),
  partLie('other-body-part', 'a part of a long body is from another place of it', part => ({
    ...part,
    offset: part.offset + 1,
  })),
  partLie('longer-body-part', 'a byte follows the last part of a long body', part =>
    part.bytes.length < INLINE_BODY_LENGTH ? { ...part, bytes: concat(part.bytes, Uint8Array.of(0)) } : undefined,
  ),
]

function withoutBody(batch: Batch): Batch | undefined {
  return changeContent(batch, entry => (entry.body === undefined ? undefined : { ...entry, body: undefined }))
}

type BodyPart = Extract<RelayMessage, { type: 'body-part' }>

function bodyLie(name: string, says: string, change: (body: Uint8Array) => Uint8Array | undefined): Lie {
  const lied = (entry: BatchEntry): BatchEntry | undefined =>
    entry.body === undefined ? undefined : { ...entry, body: change(entry.body) }
  return batchLie({ name, says, expected: ['ERR_BODY'], batch: batch => changeContent(batch, lied) })
}

function partLie(name: string, says: string, change: (part: BodyPart) => BodyPart | undefined): Lie {
  const tell = async (message: RelayMessage): Promise<Telling | undefined> => {
    const part = message.type === 'body-part' ? change(message) : undefined
    return part && [part]
  }
  return { name, says, expected: ['ERR_BODY'], isSigned: false, freezes: false, tell }
}

/** As many bytes that look like any other ciphertext. */
function otherBytes(body: Uint8Array): Uint8Array {
  const blocks = Array.from({ length: Math.ceil(body.length / 32) }, (_, i) => sha256(body, Uint8Array.of(i % 256)))
  return concat(...blocks).subarray(0, body.length)
}
