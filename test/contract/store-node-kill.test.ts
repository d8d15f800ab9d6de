import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { checkRows, everything } from '../../src/crdt/store-contract-check.ts'
import { nodeStore } from '../../src/crdt/store-node.ts'
import { bundleForNode } from '../helpers/bundle.ts'
import { testFolder } from '../helpers/folder.ts'
import { COUNTER_KEY, readNumber, rowsAfter } from '../helpers/numbered-batches.ts'

const CYCLES = 10

test('SIGKILL at any moment loses no acknowledged commit, halves none, and leaves no lock behind', async () => {
  const child = await bundleForNode('./store-child.ts')
  const file = join(testFolder(), 'replica.db')
  const random = fractions(20_260_105)
  let found = 0
  for (let cycle = 0; cycle < CYCLES; cycle++) {
    const acknowledged = await runAndKill(child, file, found, random() * 200)

    const store = nodeStore(file)
    await store.open()
    found = readNumber(await store.get(COUNTER_KEY))
    expect(found).toBeGreaterThanOrEqual(acknowledged)
    expect(found).toBeLessThanOrEqual(acknowledged + 1)
    checkRows(await everything(store), rowsAfter(found), 'every batch is there whole')
    await store.close()
  }
  expect(found).toBeGreaterThan(CYCLES)
}, 30_000)

/** @returns the number of the last batch that was acknowledged when the process died */
async function runAndKill(child: string, file: string, before: number, ms: number): Promise<number> {
  const running = spawn(process.execPath, [child, file], { stdio: ['ignore', 'pipe', 'inherit'] })
  running.stdout.setEncoding('utf8')
  let output = ''
  running.stdout.on('data', text => {
    output += text
  })
  const closed = once(running, 'close')
  await Promise.race([once(running.stdout, 'data'), closed])
  await expect(nodeStore(file).open()).rejects.toMatchObject({ code: 'ERR_STORE_LOCKED' })
  await delay(ms)
  running.kill('SIGKILL')
  expect(await closed).toEqual([null, 'SIGKILL'])
  // A number that was cut off was never read by anybody, but its commit may well be there.
  const lines = output
    .slice(0, output.lastIndexOf('\n') + 1)
    .split('\n')
    .filter(line => line !== '')
  expect(lines.map(Number)).toEqual(lines.map((_, i) => before + 1 + i))
  return before + lines.length
}

/** A reproducible source of fractions (mulberry32). */
function fractions(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
