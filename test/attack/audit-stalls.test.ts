import { describe, expect, it } from 'vitest'
import { Audit } from '../../src/crdt/audit.ts'
import type { SpaceChannel } from '../../src/crdt/space-channel.ts'
import type { Vouched } from '../../src/crdt/trust.ts'
import { defaultVerifier } from '../../src/crypto/sign-backend.ts'
import { platformEnvironment } from '../../src/environment-platform.ts'
import type { SealogError } from '../../src/errors.ts'
import type { LogView } from '../../src/verify/log.ts'
import { LogBuilder } from '../helpers/log-builder.ts'

interface Outcome {
  readonly done: LogView | undefined
  readonly faults: readonly SealogError[]
  /** How far the audit had come each time that its progress was kept. */
  readonly kept: readonly number[]
}

/** Audits the first `target` entries, which come in stretches of `length`, by a relay that answers as given. */
async function audited(
  log: LogBuilder,
  target: number,
  length: number,
  answer: (from: number, to: number) => ReturnType<LogBuilder['batch']>,
): Promise<Outcome> {
  const note = log.note(log.checkpoint(target))
  const anchor = { size: target, root: log.rootAt(target), note }
  const vouched: Vouched = {
    target: { size: target, note },
    by: 'inviter',
    audited: { ...log.emptyView(), anchors: [anchor] },
    note: undefined,
  }
  const real = platformEnvironment()
  const environment = { ...real, schedule: (ms: number, task: () => void) => real.schedule(ms / 100, task) }
  const faults: SealogError[] = []
  const kept: number[] = []
  const channel = {
    isLive: true,
    read: async (from: number, to: number) => answer(from, Math.min(to, from + length)),
  } as unknown as SpaceChannel
  const verifier = await defaultVerifier()
  return new Promise(resolve => {
    const audit = new Audit(vouched, {
      channel,
      verifier,
      environment,
      keepsAll: true,
      onVerified: async () => {},
      onProgress: async ({ audited }) => {
        kept.push(audited.range.size)
      },
      onDone: done => resolve({ done, faults, kept }),
      onFault: error => {
        faults.push(error)
        audit.stop()
        resolve({ done: undefined, faults, kept })
      },
    })
    audit.resume()
  })
}

describe('the audit of a skipped log (R-AUDIT-1)', () => {
  it('ends although the log grows while it comes in several stretches', async () => {
    const { log, writer } = LogBuilder.withWriter()
    for (let i = 0; i < 20; i++) log.append(log.changes(writer))
    const target = log.size - 4
    const { done, faults } = await audited(log, target, 5, (from, to) => {
      log.append(log.changes(writer))
      log.time += 1
      return log.batch(from, to)
    })
    expect(faults).toEqual([])
    expect(done?.range.size).toBe(target)
  })

  it('does not write all that it knows with every stretch', async () => {
    const { log, writer } = LogBuilder.withWriter()
    for (let i = 0; i < 45; i++) log.append(log.changes(writer))
    const { done, kept } = await audited(log, log.size, 1, (from, to) => log.batch(from, to))
    expect(done?.range.size).toBe(log.size)
    expect(kept.length).toBeGreaterThan(8)
    expect(kept.length).toBeLessThan(20)
  })
})
