import { sha256, toUtf8 } from 'sealog/protocol'

/** A stream of numbers that a seed and a name determine: the same in every run, whatever else happens in between. */
export interface SeededRandom {
  /** Even over 0 ≤ x < 1. */
  fraction(): number
  /** Whole, from 0 to `limit` − 1. */
  below(limit: number): number
}

/** @param stream streams of the same seed and different names have nothing to do with each other */
export function seededRandom(seed: number, stream: string): SeededRandom {
  let count = 0
  const fraction = (): number => {
    const block = sha256(toUtf8(`${seed}/${stream}/${count++}`))
    return new DataView(block.buffer, block.byteOffset).getUint32(0) / 2 ** 32
  }
  return { fraction, below: limit => Math.floor(fraction() * limit) }
}
