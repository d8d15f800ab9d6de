import type { PinnedRelay } from 'sealog/protocol'
import { onTestFinished } from 'vitest'
import { readFinalLog } from './final-log.ts'
import { Ledger } from './ledger.ts'
import { type LightCrew, startLightCrew, within } from './light-crew.ts'
import { createLightSpace, type LightSpace } from './setting.ts'

const SPACES = 2
const CREWS = 2
/** For what is bound to come, in milliseconds. */
const PATIENCE = 25_000

/** Writers in this process, and the memory that a relay is held against. */
export interface Scene {
  readonly ledger: Ledger
  /** Resolves when so many more entries are acknowledged. */
  acknowledges(more: number): Promise<void>
  /** Resolves when a client was refused with this code since the last call. */
  refuses(code: string): Promise<void>
  /**
   * No new entries; resolves when all are acknowledged.
   * @returns what each of these relays lacks of what was ever promised, and where it contradicts what was ever shown
   */
  verdict(): Promise<{ readonly lost: number; readonly conflictingHeads: number; readonly faults: readonly string[] }>
}

/** Several clients for each of several spaces, writing as fast as they are answered until the test is over. */
export async function writersAt(urls: readonly string[], relay: PinnedRelay): Promise<Scene> {
  const ledger = new Ledger(relay)
  const spaces: LightSpace[] = []
  while (spaces.length < SPACES) spaces.push(await createLightSpace(urls[0] as string, relay))
  const crews: LightCrew[] = Array.from({ length: CREWS }, (_, i) =>
    startLightCrew({ name: `crew ${i}`, urls, relay, spaces, seed: 100 * i, pause: 10 }, event => ledger.take(event)),
  )
  onTestFinished(() => {
    for (const crew of crews) crew.end()
  })

  return {
    ledger,
    async acknowledges(more) {
      const goal = ledger.acknowledged + more
      await until(() => ledger.acknowledged >= goal, `${more} more entries are not acknowledged`)
    },
    async refuses(code) {
      ledger.refusals.delete(code)
      await until(() => ledger.refusals.has(code), `nobody is refused with ${code}`)
    },
    async verdict() {
      for (const crew of crews) crew.stop()
      await within(PATIENCE, Promise.all(crews.map(crew => crew.done)), 'not everything is acknowledged')
      const sums = { lost: 0, conflictingHeads: 0 }
      for (const url of urls) {
        for (const space of spaces) {
          const { lost, conflictingHeads } = ledger.judge(space.id, await readFinalLog(url, relay, space))
          sums.lost += lost
          sums.conflictingHeads += conflictingHeads
        }
      }
      await ledger.settle()
      return { ...sums, faults: ledger.faults }
    },
  }
}

async function until(condition: () => boolean, otherwise: string): Promise<void> {
  const deadline = performance.now() + PATIENCE
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`${otherwise} after ${PATIENCE} ms`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}
