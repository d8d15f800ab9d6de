import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encodeCbor } from '../../src/codec.ts'
import type { Delivery } from '../../src/verify/control.ts'
import {
  assertDelivered,
  assertWraps,
  type ProvenWrap,
  proveWrap,
  type Recipient,
  wrapLeaf,
  wrapsRootOf,
} from '../../src/verify/wraps.ts'
import { bytesOf, verdictOf } from '../helpers/log-builder.ts'
import { naiveRoot } from './naive-merkle.ts'

const kem = new Uint8Array(1216)

/** Wraps of as many devices, whose numbers have gaps as those of removed devices leave. */
function delivered(count: number) {
  const recipients = Array.from({ length: count }, (_, i): Recipient => ({ number: 3 * i + 1, kem, payloadKind: 0 }))
  const wraps = recipients.map(({ number }): Uint8Array => new Uint8Array(1168).fill(number))
  const leaves = recipients.map(({ number }, i) => wrapLeaf(number, wraps[i] as Uint8Array))
  const delivery: Delivery = {
    wrapsRoot: wrapsRootOf(leaves),
    wrapsCount: count,
    target: 0,
    link: new Uint8Array(72),
    namesLink: new Uint8Array(72),
  }
  const proven = (position: number): ProvenWrap => ({
    device: (recipients[position] as Recipient).number,
    position,
    wrap: wraps[position] as Uint8Array,
    proof: proveWrap(leaves, position),
  })
  return { recipients, wraps, leaves, delivery, proven }
}

describe('the wraps of an epoch', () => {
  it('prove themselves one by one, in a tree of any size (R-WRAP-4)', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 40 }), fc.nat(), async (count, at) => {
        const { delivery, proven } = delivered(count)
        const own = proven(at % count)
        assertDelivered(delivery, own)
        expect(own.proof.length).toBeLessThanOrEqual(Math.ceil(Math.log2(Math.max(2, count))))
        const others: readonly ProvenWrap[] = [
          { ...own, device: own.device + 3 },
          { ...own, wrap: own.wrap.with(9, 0xff) },
          { ...own, position: own.position + 1 },
          { ...own, proof: [...own.proof, bytesOf('x')] },
          { ...own, position: count },
        ]
        for (const other of others) {
          expect(await verdictOf(() => assertDelivered(delivery, other))).toBe('ERR_PROOF')
        }
      }),
      { numRuns: 60 },
    )
  })

  it('are leaves of an RFC 6962 tree, and one that is not of a wrap’s length is none (R-WRAP-4)', async () => {
    const { delivery, recipients, wraps, proven } = delivered(5)
    const data = recipients.map(({ number }, i) => encodeCbor([number, wraps[i] as Uint8Array]))
    expect(delivery.wrapsRoot).toEqual(naiveRoot(data))
    const own = proven(2)
    const short = { ...own, wrap: own.wrap.slice(1) }
    expect(await verdictOf(() => assertDelivered(delivery, short))).toBe('ERR_PROOF')
  })

  it('of another device are not one’s own, swapped or left out (R-WRAP-3)', async () => {
    const { delivery, recipients, wraps } = delivered(6)
    const check = (own: readonly Uint8Array[], to: readonly Recipient[] = recipients): Promise<string> =>
      verdictOf(() => assertWraps(delivery, to, own))
    expect(await check(wraps)).toBe('accepted')
    const [first, second, ...rest] = wraps as [Uint8Array, Uint8Array, ...Uint8Array[]]
    expect(await check([second, first, ...rest])).toBe('ERR_BODY')
    expect(await check(wraps.slice(1))).toBe('ERR_BODY')
    expect(await check([...wraps, first])).toBe('ERR_BODY')
    expect(await check(wraps.with(5, first))).toBe('ERR_BODY')
    expect(await check(wraps, recipients.slice(1))).toBe('ERR_BODY')
    expect(await check(wraps.slice(1), recipients.slice(1))).toBe('ERR_BODY')
    const other = recipients.with(3, { ...(recipients[3] as Recipient), number: 99 })
    expect(await check(wraps, other)).toBe('ERR_BODY')
    expect(await verdictOf(() => assertWraps({ ...delivery, wrapsCount: 7 }, recipients, wraps))).toBe('ERR_BODY')
  })
})
