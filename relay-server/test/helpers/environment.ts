import { type Environment, sha256 } from 'sealog/protocol'

export interface TestEnvironment extends Environment {
  /** Moves the clock and runs what is due, in order. */
  advance(ms: number): void
}

/** A clock that stands still until it is moved, timers that follow it, and randomness from a seed. */
export function testEnvironment(seed = 1): TestEnvironment {
  let now = 1_800_000_000_000
  let counter = 0
  const tasks = new Set<{ readonly at: number; readonly task: () => void }>()

  function random(length: number): Uint8Array {
    const out = new Uint8Array(length)
    for (let offset = 0; offset < length; offset += 32) {
      const block = sha256(new TextEncoder().encode(`${seed}/${counter++}`))
      out.set(block.subarray(0, length - offset), offset)
    }
    return out
  }

  return {
    now: () => now,
    random,
    schedule(ms, task) {
      const entry = { at: now + ms, task }
      tasks.add(entry)
      return () => void tasks.delete(entry)
    },
    advance(ms) {
      const end = now + ms
      for (;;) {
        const due = [...tasks].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0]
        if (due === undefined) break
        tasks.delete(due)
        now = Math.max(now, due.at)
        due.task()
      }
      now = end
    },
  }
}
