import { describe, expect, it } from 'vitest'
import { makeDelivery } from '../../src/crdt/delivery.ts'
import { DeliveryAuditor } from '../../src/crdt/delivery-auditor.ts'
import { type EpochSecret, SpaceKeys } from '../../src/crdt/epoch-secrets.ts'
import type { KeyKeeper } from '../../src/crdt/key-keeper.ts'
import { type Problem, Problems } from '../../src/crdt/problems.ts'
import { SealogError } from '../../src/errors.ts'
import type { VerifiedEntry } from '../../src/verify/log.ts'
import { recipientsOf } from '../../src/verify/wraps.ts'
import { crew, epochOf } from '../helpers/crew.ts'
import type { LogBuilder } from '../helpers/log-builder.ts'

/** Milliseconds and tasks, which come due when the clock is moved. */
function stoppedClock() {
  let now = 0
  let tasks: { at: number; task: () => void }[] = []
  return {
    environment: {
      random: (length: number) => new Uint8Array(length),
      now: () => now,
      schedule: (delay: number, task: () => void) => {
        const entry = { at: now + delay, task }
        tasks.push(entry)
        return () => {
          tasks = tasks.filter(each => each !== entry)
        }
      },
    },
    delays: () => tasks.map(({ at }) => at - now),
    /** Goes on until nothing more is due by then. */
    async advance(milliseconds: number): Promise<void> {
      now += milliseconds
      for (let i = 0; i < 50; i++) {
        const due = tasks.filter(({ at }) => at <= now)
        tasks = tasks.filter(({ at }) => at > now)
        for (const { task } of due) task()
        await new Promise(resolve => setImmediate(resolve))
      }
    },
  }
}

interface Auditing {
  readonly auditor: DeliveryAuditor
  readonly problems: Problems
  readonly told: readonly Problem[]
  /** Number of batches of rows that were taken off the record; and whether the disk is full. */
  readonly disk: { forgotten: number; attempts: number; isFull: boolean }
  readonly clock: ReturnType<typeof stoppedClock>
  /** How many deliveries were recomputed. */
  readonly recomputed: () => number
  /** The deliveries in the entries from here on are news. */
  readonly notice: (from: number) => void
}

/** The owner's auditor; it has the secrets of every epoch. */
function auditing(log: LogBuilder): Auditing {
  const told: Problem[] = []
  const problems = new Problems(problem => told.push(problem))
  const clock = stoppedClock()
  const disk = { forgotten: 0, attempts: 0, isFull: false }
  let recomputed = 0
  const keeper = {
    get keys() {
      const secrets = new Map<number, EpochSecret>()
      for (let epoch = 0; epoch <= epochOf(log); epoch++) {
        secrets.set(epoch, { kind: 'all', secret: log.bodies.secretOf(epoch) })
      }
      const keys = new SpaceKeys(secrets)
      return Object.assign(keys, {
        secret: (epoch: number) => {
          if (epoch === epochOf(log)) recomputed++
          return SpaceKeys.prototype.secret.call(keys, epoch)
        },
      })
    },
  } as unknown as KeyKeeper
  const auditor = new DeliveryAuditor({
    space: log.space,
    keeper,
    problems,
    environment: clock.environment,
    control: () => log.controlState,
    device: () => log.owner.number,
    forget: async () => {
      disk.attempts++
      if (disk.isFull) throw new SealogError('ERR_STORE_FULL', 'the disk is full')
      disk.forgotten++
    },
    audits: [],
    onWrong: () => {},
  })
  const notice = (from: number): void => {
    const { control } = log.state as NonNullable<LogBuilder['state']>
    const entries = log.entries.slice(from).map((_, i): VerifiedEntry => {
      const index = from + i
      const epoch = control.epochs.findIndex(({ deliveries }) => deliveries.some(each => each.index === index))
      const recipients = epoch < 0 ? undefined : recipientsOf(log.stateAt(index).control, epoch)
      return { index, recipients } as unknown as VerifiedEntry
    })
    auditor.noticed(control, entries)
  }
  return { auditor, problems, told, disk, clock, recomputed: () => recomputed, notice }
}

describe('the audit of a delivery', () => {
  it('is not made again where the disk is full: only the record is, less and less often', async () => {
    const { log, writer } = crew()
    const from = log.entries.length
    log.act(writer, log.bodies.rotate())
    const { auditor, problems, disk, clock, recomputed, notice } = auditing(log)
    disk.isFull = true
    notice(from)
    auditor.run()
    await clock.advance(0)
    expect(disk.attempts).toBe(1)
    expect(problems.list().map(({ code }) => code)).toEqual(['ERR_STORE_FULL'])
    const once = recomputed()
    const delays: (number | undefined)[] = []
    for (let i = 0; i < 9; i++) {
      const [delay] = clock.delays()
      delays.push(delay)
      // Batches that come in the meantime are no reason to try.
      auditor.run()
      await clock.advance(delay ?? 0)
      expect(disk.attempts).toBe(2 + i)
    }
    expect(delays).toEqual([5, 10, 20, 40, 80, 160, 320, 600, 600].map(seconds => seconds * 1000))
    expect(recomputed()).toBe(once)
    disk.isFull = false
    await clock.advance(clock.delays()[0] ?? 0)
    expect(disk.forgotten).toBe(1)
    expect(problems.list()).toEqual([])
    auditor.run()
    await clock.advance(0)
    expect(disk.attempts).toBe(11)
  })

  it('that finds it wrong shows until a repair is right, and no longer (R-WRAP-7)', async () => {
    const { log, owner, writer, admin } = crew()
    const from = log.entries.length
    const epoch = epochOf(log) + 1
    const made = log.bodies.rotate()
    log.act(writer, { ...made, delivery: { ...made.delivery, link: new Uint8Array(72) } })
    const audit = auditing(log)
    const step = async (next: number): Promise<readonly (number | undefined)[]> => {
      audit.notice(next)
      audit.auditor.run()
      await audit.clock.advance(0)
      return audit.problems.list().map(({ index }) => index)
    }
    expect(await step(from)).toEqual([from])
    expect(audit.auditor.toRepair(log.controlState, owner.number)).toMatchObject([{ index: from }])
    // What is wrong stays on record; a repair that is as wrong takes its place there, not in what is shown.
    expect(audit.disk.forgotten).toBe(0)
    log.act(writer, log.bodies.repair(epoch, { delivery: { link: new Uint8Array(72).fill(1) } }))
    expect(await step(from + 1)).toEqual([from, from + 1])
    expect(audit.auditor.toRepair(log.controlState, owner.number)).toMatchObject([{ index: from + 1 }])
    log.act(admin, log.bodies.repair(epoch))
    expect(await step(from + 2)).toEqual([])
    expect(audit.auditor.toRepair(log.controlState, owner.number)).toEqual([])
    expect(audit.told.map(({ index }) => index)).toEqual([from, from + 1])
    // All three rows are gone.
    audit.auditor.run()
    await audit.clock.advance(0)
    expect(audit.disk.forgotten).toBeGreaterThan(0)
    audit.auditor.close()
  })

  it('takes nothing as mended by a delivery that is yet to be audited', async () => {
    const { log, writer, admin } = crew()
    const from = log.entries.length
    const made = log.bodies.rotate()
    log.act(writer, { ...made, delivery: { ...made.delivery, link: new Uint8Array(72) } })
    const audit = auditing(log)
    audit.notice(from)
    audit.auditor.run()
    await audit.clock.advance(0)
    log.act(admin, log.bodies.repair(epochOf(log)))
    audit.notice(from + 1)
    audit.auditor.run()
    expect(audit.problems.list().map(({ index }) => index)).toEqual([from])
    await audit.clock.advance(0)
    expect(audit.problems.list()).toEqual([])
  })

  it('holds wraps against what the secrets determine, in slices', async () => {
    const { log, writer } = crew()
    log.act(writer, log.bodies.rotate())
    let turns = 0
    const epoch = epochOf(log)
    const secrets = new Map<number, EpochSecret>([[epoch - 1, { kind: 'all', secret: log.bodies.secretOf(epoch - 1) }]])
    const recipients = recipientsOf(log.controlState, epoch)
    await makeDelivery({
      space: log.spaceBytes,
      epoch,
      secret: log.bodies.secretOf(epoch),
      keys: new SpaceKeys(secrets),
      target: epoch - 1,
      recipients,
      breathe: async () => void turns++,
    })
    expect(turns).toBe(recipients.length - 1)
  })
})
