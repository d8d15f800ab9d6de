import { setTimeout as sleep } from 'node:timers/promises'
import { documentIdOf, type PinnedRelay, platformEnvironment } from 'sealog/protocol'
import type { Tell } from './events.ts'
import { fractionsFrom } from './fractions.ts'
import { LightChain } from './light-chain.ts'
import { LightClient } from './light-client.ts'
import { keyOf, type LightSpace } from './setting.ts'

export interface LightCrewOptions {
  /** Under which the checker keeps apart what each reader was shown. */
  readonly name: string
  readonly urls: readonly string[]
  readonly relay: PinnedRelay
  readonly spaces: readonly LightSpace[]
  readonly seed: number
  /** Longest pause of a client between an answer and the next request, in milliseconds. */
  readonly pause: number
}

/** One light client for each space, at work. */
export interface LightCrew {
  /** Resolves when it was told to stop and nothing is left to be acknowledged. */
  readonly done: Promise<void>
  /** No new entries from now on. */
  stop(): void
  /** At once, whatever is not acknowledged. */
  end(): void
}

export function startLightCrew({ name, urls, relay, spaces, seed, pause }: LightCrewOptions, tell: Tell): LightCrew {
  const { random } = platformEnvironment()
  const clients = spaces.map((space, i) => {
    const key = keyOf(space)
    const document = documentIdOf(random(16))
    return new LightClient({
      name: `${name}.${i}`,
      urls,
      relay,
      space: space.id,
      key,
      chain: new LightChain({ space: space.genesis, document, device: 0, key, random }),
      tell,
      fraction: fractionsFrom(seed + i),
      pause,
    })
  })
  const done = Promise.all(clients.map(client => client.run())).then(() => {})
  return {
    done,
    stop() {
      for (const client of clients) client.stop()
    },
    end() {
      for (const client of clients) client.end()
    },
  }
}

/** @throws Error where `done` takes longer than `patience`, in milliseconds */
export async function within(patience: number, done: Promise<unknown>, what: string): Promise<void> {
  const late = new AbortController()
  const isLate = await Promise.race([
    done.then(() => false),
    sleep(patience, true, { signal: late.signal }).catch(() => false),
  ])
  late.abort()
  if (isLate) throw new Error(`${what} after ${patience} ms`)
}
