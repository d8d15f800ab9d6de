import { describe, expect, it } from 'vitest'
import { type Cbor, decodeCbor, encodeCbor } from '../../src/codec.ts'
import {
  decodeMailboxList,
  encodeMailboxList,
  MAX_MAILBOX_SPACES,
  type MailboxSpace,
  mergeMailboxLists,
} from '../../src/crdt/mailbox-list.ts'
import { paddedLength } from '../../src/crypto/padding.ts'
import { MAX_MAILBOX_LENGTH } from '../../src/relay/message-limits.ts'
import { cosigned, listedSpace, noteAt } from '../helpers/mailbox-spaces.ts'

const LIMIT = 1024 * 1024
const unsigned = (): Uint8Array => new Uint8Array(64)
const [one, two, three] = [listedSpace(1), listedSpace(2), listedSpace(3, 'other.test')] as const
const fieldsOf = (list: readonly MailboxSpace[]): Cbor[] => decodeCbor(encodeMailboxList(list), LIMIT) as Cbor[]
const codeOf = (bytes: Uint8Array): string => {
  try {
    decodeMailboxList(bytes)
    return 'accepted'
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
}

describe('the list in a mailbox (R-MAILBOX-6)', () => {
  it('is there again, in the order of the ids, with its notes byte for byte', () => {
    expect(decodeMailboxList(encodeMailboxList([]))).toEqual([])
    expect(decodeMailboxList(encodeMailboxList([three, one, two]))).toEqual([one, two, three])
  })

  it('says the same in the same bytes, in whatever order it comes', () => {
    expect(encodeMailboxList([three, one, two])).toEqual(encodeMailboxList([one, two, three]))
  })

  it('takes of a note what the relay signed', () => {
    expect(decodeMailboxList(encodeMailboxList([{ ...one, note: cosigned(one) }]))).toEqual([one])
  })

  it('holds a thousand spaces of a few relays, and no more', () => {
    const many = Array.from({ length: MAX_MAILBOX_SPACES }, (_, i) => listedSpace(i, `relay-${i % 5}.test`, unsigned))
    const bytes = encodeMailboxList(many)
    expect(decodeMailboxList(bytes)).toHaveLength(MAX_MAILBOX_SPACES)
    expect(24 + paddedLength(bytes.length) + 16).toBeLessThan(MAX_MAILBOX_LENGTH)
    const tooMany = [...many, listedSpace(MAX_MAILBOX_SPACES)]
    expect(() => encodeMailboxList(tooMany)).toThrow(expect.objectContaining({ code: 'ERR_LIMIT' }))
  })

  it('takes no note about another space, or of another relay', () => {
    for (const [note, code] of [
      [two.note, 'ERR_CHECKPOINT'],
      [listedSpace(1, 'other.test').note, 'ERR_CHECKPOINT'],
      [noteAt(one, 5, new Uint8Array(32).fill(66)), 'ERR_CHECKPOINT_SIGNATURE'],
    ] as const) {
      expect(() => encodeMailboxList([{ ...one, note }])).toThrow(expect.objectContaining({ code }))
    }
  })

  const [version, relays, rows] = fieldsOf([one, two]) as [number, Cbor[], Cbor[][]]
  const [relay] = relays as [Cbor[]]
  const [first, second] = rows as [Cbor[], Cbor[]]

  it.each<readonly [string, string, Cbor]>([
    ['of a later version', 'ERR_UPGRADE', [2, relays, rows]],
    ['without relays', 'ERR_MALFORMED', [version, [], rows]],
    ['with a relay twice', 'ERR_MALFORMED', [version, [relay, relay], rows]],
    [
      'with a relay that no space has',
      'ERR_MALFORMED',
      [version, [relay, ['x.test', relay[1] as Cbor, relay[2] as Cbor]], rows],
    ],
    ['with a relay that nobody can reach', 'ERR_MALFORMED', [version, [relay.with(2, 'https://relay.test')], rows]],
    ['with a relay that no note can name', 'ERR_MALFORMED', [version, [relay.with(0, 'a relay')], rows]],
    ['with a space twice', 'ERR_MALFORMED', [version, relays, [first, first]]],
    ['in another order', 'ERR_MALFORMED', [version, relays, [second, first]]],
    ['with a short row', 'ERR_MALFORMED', [version, relays, [first.slice(0, -1)]]],
    ['with too many rows', 'ERR_LIMIT', [version, relays, Array.from({ length: 1001 }, () => first)]],
    ['with something behind', 'ERR_MALFORMED', [version, relays, rows, 0]],
    ['that is none', 'ERR_MALFORMED', 7],
  ])('%s is refused', (_, code, item) => {
    expect(codeOf(encodeCbor(item))).toBe(code)
  })

  it('that is too long is refused before it is read', () => {
    expect(codeOf(new Uint8Array(MAX_MAILBOX_LENGTH + 1))).toBe('ERR_LIMIT')
  })
})

describe('two lists as one', () => {
  it('have the spaces of both', () => {
    expect(new Set(mergeMailboxLists([one, two], [two, three]))).toEqual(new Set([one, two, three]))
  })

  it('keep of each space what knows more of its log, and of equals the own', () => {
    const later = { ...one, note: noteAt(one, 50) }
    expect(mergeMailboxLists([later], [one])).toEqual([later])
    expect(mergeMailboxLists([one], [later])).toEqual([later])
    const moved = { ...one, relay: { ...one.relay, url: 'wss://new.test' } }
    expect(mergeMailboxLists([one], [moved])).toEqual([moved])
  })
})
