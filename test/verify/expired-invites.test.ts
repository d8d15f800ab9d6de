import { describe, expect, it } from 'vitest'
import { accept, LogBuilder, type TestDevice, testDevice, verdictOf } from '../helpers/log-builder.ts'

const EXPIRES = 1_700_000_000_500

/** A log with an invite, and the join by it. */
function joining(): { readonly log: LogBuilder; readonly invited: number } {
  const log = new LogBuilder()
  log.append(log.genesis())
  const guest: TestDevice = testDevice('guest', log.nextNumber)
  log.act(log.owner, log.bodies.invite(guest, { expires: EXPIRES }))
  const invited = log.size
  log.append(log.changes(log.owner))
  log.act(guest, log.bodies.join(testDevice('joiner', log.nextNumber), guest.number))
  return { log, invited }
}

/** What a replica says of the join that has heard from the relay, at this time, that there is none so far. */
async function verdictAfter(time: number, size: number): Promise<string> {
  const { log } = joining()
  log.time = time
  const before = await accept(log.emptyView(), log.batch(0, size, { signedSize: size }))
  log.time = EXPIRES + 5000
  return verdictOf(() => accept(before, log.batch(size)))
}

describe('an invite that has expired (R-JOIN-3)', () => {
  it('admits nobody, where the relay has signed after its expiry that nobody had come', async () => {
    const { log, invited } = joining()
    for (const size of [1, invited, invited + 1]) {
      expect(await verdictAfter(EXPIRES + 1, size)).toBe('ERR_INVALID_ENTRY expired')
      expect(await verdictAfter(EXPIRES, size)).toBe('accepted')
    }
    expect(log.size).toBe(invited + 2)
  })

  it('admits whom it admitted in time, also for those who hear of it late', async () => {
    const { log, invited } = joining()
    log.time = EXPIRES + 10_000
    expect(await verdictOf(() => accept(log.emptyView(), log.batch(0)))).toBe('accepted')
    // The head is beyond the join already, so it says nothing about who was there before it.
    const middle = await accept(log.emptyView(), log.batch(0, invited))
    expect(await verdictOf(() => accept(middle, log.batch(invited)))).toBe('accepted')
  })
})
