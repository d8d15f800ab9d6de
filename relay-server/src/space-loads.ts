import type { SpaceId } from 'sealog/protocol'
import { BucketTable } from './bucket-table.ts'
import { addressKey } from './client-address.ts'
import type { Limits } from './limits.ts'
import { rateOf } from './token-bucket.ts'
import { assertNoWait } from './write-quota.ts'

/** Spaces that are brought into memory at once for one address; what comes on top waits in line. */
const MAX_UNDER_WAY = 4

/** For whom a space is brought into memory. */
export interface Loader {
  /** Of the client, as text; undefined where there is none to be counted. */
  readonly address: string | undefined
  /** Who says to be asking, see `deviceKey`; undefined where nobody says so. */
  readonly device: string | undefined
}

/** One space on its way into memory. */
interface LoadPass {
  /** To be called once, whatever became of it. @param weight of the space, in bytes; 0: it was in memory after all */
  done(weight: number): void
}

interface Line {
  underWay: number
  readonly waiting: (() => void)[]
}

/**
 * How fast spaces are brought into memory, by address and by device: that takes time and memory in proportion to what
 * they hold, whether or not whoever asks has any right to them. A space that is there already costs nobody anything.
 *
 * What a space weighs is known only when it is there. So it is charged afterwards; and so that many which are asked for
 * together do not all pass before the first is charged, only a few are loaded for one address at once.
 *
 * A device is asked about by the key that it names, and charged only when it has shown that it holds it: nobody spends
 * another one's allowance.
 */
export class SpaceLoads {
  readonly #addresses: BucketTable
  readonly #devices: BucketTable
  readonly #lines = new Map<string, Line>()

  constructor({ loadBytesPerAddress, loadBytesPerDevice, burstTime }: Limits, now: () => number) {
    this.#addresses = new BucketTable(rateOf(loadBytesPerAddress, burstTime), now)
    this.#devices = new BucketTable(rateOf(loadBytesPerDevice, burstTime), now)
  }

  /** Waits for its turn. @throws SealogError ERR_RATE_LIMITED */
  async begin({ address, device }: Loader): Promise<LoadPass> {
    const key = addressKey(address)
    this.#assertMay(key, device)
    const line = key === undefined ? undefined : this.#lineOf(key)
    if (line !== undefined) await enter(line)
    const leave = (): void => {
      if (key !== undefined && line !== undefined) this.#leave(key, line)
    }
    try {
      // Those before it in line have been charged by now.
      this.#assertMay(key, device)
    } catch (error) {
      leave()
      throw error
    }
    return {
      done: weight => {
        this.#addresses.take(key, weight)
        leave()
      },
    }
  }

  /** A device has shown that it is the one for which a space of this weight was brought into memory. */
  charge(device: string, weight: number): void {
    this.#devices.take(device, weight)
  }

  #assertMay(key: string | undefined, device: string | undefined): void {
    assertNoWait(this.#addresses.wait(key), 'brought into memory for one address')
    assertNoWait(this.#devices.wait(device), 'brought into memory for one device')
  }

  #lineOf(key: string): Line {
    const known = this.#lines.get(key)
    if (known !== undefined) return known
    const line: Line = { underWay: 0, waiting: [] }
    this.#lines.set(key, line)
    return line
  }

  #leave(key: string, line: Line): void {
    const next = line.waiting.shift()
    if (next !== undefined) {
      next()
      return
    }
    line.underWay--
    if (line.underWay === 0) this.#lines.delete(key)
  }
}

/** A device as it is counted. @param signing its signing key, 32 bytes, in hex */
export function deviceKey(space: SpaceId, signing: string): string {
  return `${space}/${signing}`
}

async function enter(line: Line): Promise<void> {
  if (line.underWay < MAX_UNDER_WAY) {
    line.underWay++
    return
  }
  await new Promise<void>(resolve => line.waiting.push(resolve))
}
