import { describe, expect, it } from 'vitest'
import { EMPTY_ROOT } from '../../src/verify/merkle.ts'
import { prefixesOf } from '../../src/verify/prefixes.ts'
import { proofsTo } from '../helpers/log-answers.ts'
import { bytesOf, LogBuilder, verdictOf } from '../helpers/log-builder.ts'

const { log, writer } = LogBuilder.withWriter()
while (log.size < 21) log.append(log.changes(log.size % 2 === 0 ? writer : log.owner))
const SIZE = log.size
const SIZES = Array.from({ length: SIZE - 1 }, (_, i) => i + 1)
const HONEST = prefixesOf(SIZE, log.rootAt(SIZE), proofsTo(log, SIZE, SIZES))

const check = (size: number, root: Uint8Array, prefixes = HONEST): Promise<string> =>
  verdictOf(() => prefixes.assertPrefix(size, root))

describe('how a log begins (R-SKIP-3)', () => {
  it('is proven at every size, the first and the last included', async () => {
    for (const size of SIZES) expect(await check(size, log.rootAt(size))).toBe('accepted')
    expect(await check(0, EMPTY_ROOT)).toBe('accepted')
    expect(await check(SIZE, log.rootAt(SIZE))).toBe('accepted')
  })

  it('is not what another log began with, whether a proof was used before or not', async () => {
    const fresh = prefixesOf(SIZE, log.rootAt(SIZE), proofsTo(log, SIZE, SIZES))
    for (const size of [0, ...SIZES, SIZE]) {
      expect(await check(size, bytesOf('another log'), fresh)).toBe('ERR_PROOF')
      expect(await check(size, log.rootAt(size === SIZE ? 1 : size + 1), fresh)).toBe('ERR_PROOF')
      expect(await check(size, bytesOf('another log'))).toBe('ERR_PROOF')
    }
  })

  it('is not claimed without a proof, or beyond the log', async () => {
    const none = prefixesOf(SIZE, log.rootAt(SIZE), [])
    for (const size of SIZES) expect(await check(size, log.rootAt(size), none)).toBe('ERR_PROOF')
    const beyond = prefixesOf(9, log.rootAt(9), proofsTo(log, SIZE, SIZES))
    expect(await check(SIZE, log.rootAt(SIZE), beyond)).toBe('ERR_PROOF')
    expect(await check(12, log.rootAt(12), beyond)).toBe('ERR_PROOF')
  })

  it('is not shown by the proof of another size, one cut short, drawn out, or into another log', async () => {
    for (const { size, proof } of proofsTo(log, SIZE, SIZES)) {
      const root = log.rootAt(size)
      const others = [
        proof.slice(1),
        proof.slice(0, -1),
        [...proof, bytesOf('more')],
        [bytesOf('more'), ...proof],
        log.consistency(size === 1 ? 2 : size - 1, SIZE),
      ]
      for (const other of others) {
        const prefixes = prefixesOf(SIZE, log.rootAt(SIZE), [{ size, proof: other }])
        expect(await check(size, root, prefixes), `${size}`).toBe('ERR_PROOF')
      }
      const elsewhere = prefixesOf(SIZE, bytesOf('another log'), [{ size, proof }])
      expect(await check(size, root, elsewhere), `${size}`).toBe('ERR_PROOF')
    }
  })

  it('has one proof for each size', async () => {
    const [proof] = proofsTo(log, SIZE, [5])
    if (proof === undefined) throw new Error('no proof')
    expect(await verdictOf(() => prefixesOf(SIZE, log.rootAt(SIZE), [proof, proof]))).toBe('ERR_PROOF')
  })
})
