import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { filler } from './helpers/authoring.ts'
import {
  affordable,
  bundlePrograms,
  type LoadPrograms,
  type LoadWorld,
  type LoadWriter,
  megabytes,
  patiently,
  startWorld,
} from './helpers/load-world.ts'

const MIB: number = 1024 * 1024
/** A busy machine takes its time; none of this waits for a clock. */
const PATIENCE = 180_000

let programs: LoadPrograms
let world: LoadWorld | undefined

beforeAll(async () => {
  programs = await bundlePrograms()
}, PATIENCE)

afterAll(async () => {
  await world?.stop()
  programs.remove()
})

async function fresh(limits: Parameters<typeof startWorld>[1] = {}): Promise<LoadWorld> {
  await world?.stop()
  world = await startWorld(programs, limits)
  return world
}

/** So many entries are under way at once: a reader that keeps up with the log must not look like a slow one. */
const AT_ONCE = 6

/** Entries of one owner, one push each. @returns the size of the log once all are acknowledged */
async function write(owner: LoadWriter, count: number, length: number): Promise<number> {
  const { replica, space } = owner
  for (let start = 0; start < count; start += AT_ONCE) {
    let last = 0
    for (let i = start; i < Math.min(count, start + AT_ONCE); i++) {
      last = replica.push(space, owner.write({ body: filler(length) }))
    }
    await patiently(
      () => replica.syncs.some(sync => sync.ref === last) || replica.rejects.length > 0 || replica.isClosed,
    )
    expect(replica.rejects).toEqual([])
    expect(replica.closed).toBeUndefined()
  }
  const sync = replica.syncs.at(-1)
  return (sync?.batch.from ?? 0) + (sync?.batch.entries.length ?? 0)
}

/** It is as good as new: whoever comes is let in, and what is written lands. */
async function assertServes(relay: LoadWorld): Promise<void> {
  const owner = await relay.space()
  expect(await write(owner, 3, 200)).toBe(4)
  await owner.replica.follow(owner.space)
  owner.replica.close()
}

const SOCKETS: number = affordable(10_000)

describe('a relay under load', () => {
  test(
    `keeps ${SOCKETS} authenticated sockets that do nothing, loses all of them, and has its memory back`,
    async () => {
      const relay = await fresh()
      const owners = await Promise.all(Array.from({ length: 10 }, () => relay.space()))
      const before = await relay.measure()
      const opened = await relay.clients({ do: 'open', port: relay.port, spaces: owners, count: SOCKETS, slow: 0 })
      expect(opened).toMatchObject({ open: SOCKETS, gaps: 0, refusals: 0 })
      const full = await relay.measure()
      const each = (full.held - before.held) / SOCKETS
      const resident = (full.resident - before.resident) / SOCKETS
      await relay.clients({ do: 'cut' })
      let after = await relay.measure()
      while (after.sockets > owners.length) after = await relay.measure()
      console.log(
        `${SOCKETS} idle sockets (${(opened.took / 1000).toFixed(1)} s to open): ${Math.round(each)} bytes each in objects and ` +
          `buffers, ${Math.round(resident)} of the process; held ${megabytes(before.held)} before, ${megabytes(full.held)} ` +
          `with them, ${megabytes(after.held)} after`,
      )
      expect(full.sockets).toBeGreaterThanOrEqual(SOCKETS)
      expect(each).toBeLessThan(32 * 1024)
      expect(resident).toBeLessThan(96 * 1024)
      expect(after.held - before.held).toBeLessThan(0.2 * (full.held - before.held) + 8 * MIB)
      await assertServes(relay)
    },
    PATIENCE,
  )

  test(
    'shows 1,000 subscribers of one space every entry, in order',
    async () => {
      const relay = await fresh()
      const owner = await relay.space()
      const opened = await relay.clients({ do: 'open', port: relay.port, spaces: [owner], count: 1000, slow: 0 })
      expect(opened.open).toBe(1000)
      const before = await relay.measure()
      const size = await write(owner, 60, 400)
      const reached = await relay.clients({ do: 'reach', size })
      const after = await relay.measure()
      console.log(
        `1,000 subscribers had 60 entries ${reached.took.toFixed(0)} ms after the last acknowledgement; the relay held at ` +
          `most ${megabytes(after.peak - before.resident)} more`,
      )
      expect(size).toBe(61)
      expect(reached).toMatchObject({ open: 1000, gaps: 0, refusals: 0, losses: 0 })
      expect(after.peak - before.resident).toBeLessThan(128 * MIB)
      // What they were sent is a log that verifies.
      await owner.replica.follow(owner.space)
    },
    PATIENCE,
  )

  test(
    'cuts off 100 slow readers with bounded memory, shows the others all, and lets the slow ones resume',
    async () => {
      const flood = 40
      const length = 200 * 1024
      const relay = await fresh({ sendBytesPerSocket: 2.25 * MIB })
      const owner = await relay.space()
      await relay.clients({ do: 'open', port: relay.port, spaces: [owner], count: 20, slow: 100 })
      const before = await relay.measure()
      const size = await write(owner, flood, length)
      const fast = await relay.clients({ do: 'reach', size })
      const full = await relay.measure()
      console.log(
        `100 slow readers of ${megabytes(flood * length)}: the relay held at most ${megabytes(full.peak - before.resident)} ` +
          `more, where all that they did not take is ${megabytes(100 * flood * length)}`,
      )
      expect(full.peak - before.resident).toBeLessThan(300 * MIB)
      const woken = await relay.clients({ do: 'wake', size })
      expect(woken).toMatchObject({ gaps: 0, refusals: 0 })
      // All of the slow ones, and none of the others, had to connect anew.
      expect(fast.losses).toBe(0)
      expect(woken.losses).toBeGreaterThanOrEqual(100)
      await assertServes(relay)
    },
    PATIENCE,
  )

  test(
    'survives that 2,000 sockets are cut at once and all come back at once, three times',
    async () => {
      const count = affordable(2000)
      const relay = await fresh()
      const owners = await Promise.all([relay.space(), relay.space()])
      await relay.clients({ do: 'open', port: relay.port, spaces: owners, count, slow: 0 })
      const before = await relay.measure()
      const took: number[] = []
      let peak = 0
      for (let storm = 0; storm < 3; storm++) {
        const back = await relay.clients({ do: 'storm' })
        expect(back).toMatchObject({ open: count, gaps: 0, refusals: 0 })
        took.push(back.took)
        peak = Math.max(peak, (await relay.measure()).peak)
      }
      const after = await relay.measure()
      console.log(
        `${count} sockets were back after ${took.map(ms => (ms / 1000).toFixed(1)).join(', ')} s; the relay held at most ` +
          `${megabytes(peak - before.resident)} more, and ${megabytes(after.held - before.held)} in the end`,
      )
      expect(peak - before.resident).toBeLessThan(256 * MIB)
      expect(after.held - before.held).toBeLessThan(32 * MIB)
      await assertServes(relay)
    },
    PATIENCE,
  )
})
