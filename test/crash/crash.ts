import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { PinnedRelay } from 'sealog/protocol'
import { readFinalLog } from './final-log.ts'
import { fractionsFrom } from './fractions.ts'
import { Ledger } from './ledger.ts'
import { forgetfulPlace, type Place, postgresPlace, splitPlace, sqlitePlace } from './places.ts'
import { freePort, identityOf, RelayProcess } from './relay-process.ts'
import { ReplicaGroup } from './replica-group.ts'
import { createLightSpace, type LightSpace } from './setting.ts'
import { WritersProcess } from './writers-process.ts'

/** Share of cycles in which the relay is killed before it listens. */
const EARLY_SHARE = 0.2
/** Share of cycles in which it is killed while clients find their way back. */
const GREETING_SHARE = 0.2
/** Otherwise it is killed under load, at a moment within this time, in milliseconds: a push takes a few of them. */
const WINDOW = 150
/** That nothing is acknowledged for so long is no reason to let a relay live, in milliseconds. */
const LONGEST_WAIT = 5000
/** One of several relays is killed this long after the one before at the latest, in milliseconds. */
const FLEET_PAUSE = 1000
const SPACES = 3
const TOLD_EVERY = 50
const WRITER_PROCESSES = 2
/** Longest pause of a light client between an answer and its next request, in milliseconds. */
const WRITER_PAUSE = 12
/** Share of cycles in which a replica is killed too. */
const REPLICA_KILLS = 0.04

export interface CrashOptions {
  readonly cycles: number
  /** `forgetful` and `split` are stores that are wrong on purpose: the run must say so. */
  readonly store: 'sqlite' | 'postgres' | 'forgetful' | 'split'
  /** Processes of the relay. */
  readonly relays: number
  /** Whole replicas, besides the light clients. */
  readonly replicas: number
  /** Of the moments at which processes are killed. */
  readonly seed: number
  /** How long clients may take in the end to get everything acknowledged, in milliseconds. */
  readonly patience: number
  /** Data and logs stay where they are, and stderr says where. */
  readonly keep: boolean
  /** No more cycles when it aborts: what there is by then is judged. */
  readonly signal?: AbortSignal
  /** Told every fifty cycles what was found so far. */
  readonly progress?: (cycle: number, ledger: Ledger) => void
}

export interface CrashReport {
  readonly cycles: number
  /** Entries that their authors know to be in the log, edits of replicas not among them. */
  readonly acknowledged: number
  /** Of these, how many are not in their places in the end. */
  readonly lost: number
  /** Sizes of logs for which anybody was ever shown something else than the root that the log has in the end. */
  readonly conflictingHeads: number
  /** All clients have everything: replicas are equal, with every edit once that was ever saved on one of them. */
  readonly converged: boolean
  /** Everything else that must not happen, as text. */
  readonly faults: readonly string[]
  /** Edits of replicas that were saved. */
  readonly saved: number
  readonly refusals: Readonly<Record<string, number>>
  readonly seconds: number
  /** Of the cycles alone. */
  readonly cycleSeconds: number
}

/** Kills relays under writers, again and again, and holds what is there in the end against what was ever promised. */
export async function crash(options: CrashOptions): Promise<CrashReport> {
  const folder = mkdtempSync(join(tmpdir(), 'sealog-crash-'))
  // PostgreSQL may have to run as another user, who must be able to get to its own folder in this one.
  chmodSync(folder, 0o711)
  const remove = (): void => {
    if (!options.keep) rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  }
  process.once('exit', remove)
  const run = new CrashRun(options, folder)
  try {
    return await run.run()
  } finally {
    await run.end()
    process.off('exit', remove)
    remove()
    if (options.keep) console.error(`kept: ${folder}`)
  }
}

class CrashRun {
  readonly #options: CrashOptions
  readonly #folder: string
  readonly #fraction: () => number
  readonly #writers: WritersProcess[] = []
  readonly #relays: RelayProcess[] = []
  #place: Place | undefined
  #replicas: ReplicaGroup | undefined
  readonly #problems: string[] = []

  constructor(options: CrashOptions, folder: string) {
    this.#options = options
    this.#folder = folder
    this.#fraction = fractionsFrom(options.seed)
  }

  async run(): Promise<CrashReport> {
    const { cycles, signal } = this.#options
    const start = performance.now()
    await this.#prepareRelays()
    const [first] = this.#relays as [RelayProcess]
    this.#launch(0)
    await first.listens()
    const relay = await identityOf(first.url)
    const ledger = new Ledger(relay)
    const spaces = await createSpaces(first.url, relay)
    await this.#foundReplicas(ledger)
    // Copies of the data are taken while nobody writes to it.
    await first.kill()
    for (const number of this.#relays.keys()) this.#launch(number)
    await Promise.all(this.#relays.map(each => each.listens()))
    this.#startWriters(relay, spaces, ledger)
    await this.#replicas?.write()
    const ready = performance.now()
    let done = 0
    while (done < cycles && signal?.aborted !== true) {
      const isThrough = await this.#attempt(() => this.#cycle(ledger).then(() => true))
      if (isThrough !== true) break
      await ledger.settle()
      done++
      if (done % TOLD_EVERY === 0) this.#options.progress?.(done, ledger)
    }
    const cycleSeconds = secondsSince(ready)
    const judged = await this.#judge(relay, spaces, ledger)
    return {
      cycles: done,
      acknowledged: ledger.acknowledged,
      ...judged,
      faults: [...this.#problems, ...ledger.faults],
      saved: [...ledger.saved.values()].reduce((sum, ids) => sum + ids.size, 0),
      refusals: Object.fromEntries(ledger.refusals),
      seconds: secondsSince(start),
      cycleSeconds,
    }
  }

  /** Ends whatever runs, however far it came. */
  async end(): Promise<void> {
    await Promise.all([...this.#writers.map(each => each.kill()), this.#replicas?.end()])
    await Promise.all(this.#relays.map(each => each.end()))
    await this.#place?.close()
  }

  async #prepareRelays(): Promise<void> {
    const place = await placeFor(this.#options.store, this.#folder)
    this.#place = place
    for (let number = 0; number < this.#options.relays; number++) {
      const log = join(this.#folder, `relay-${number}.log`)
      this.#relays.push(
        new RelayProcess({ port: await freePort(), place: place.argumentsOf(number), log, isHeld: true }),
      )
    }
  }

  #launch(number: number): void {
    this.#place?.beforeStart(number)
    this.#relays[number]?.launch()
  }

  async #foundReplicas(ledger: Ledger): Promise<void> {
    const { replicas, seed } = this.#options
    if (replicas === 0) return
    const folder = join(this.#folder, 'replicas')
    mkdirSync(folder)
    const urls = this.#relays.map(each => each.url)
    this.#replicas = new ReplicaGroup({
      folder,
      urls,
      tell: event => ledger.take(event),
      fraction: fractionsFrom(~seed),
    })
    await this.#replicas.found(replicas)
  }

  #startWriters(relay: PinnedRelay, spaces: readonly LightSpace[], ledger: Ledger): void {
    const urls = this.#relays.map(each => each.url)
    for (let i = 0; i < WRITER_PROCESSES; i++) {
      const name = `writer ${i}`
      const seed = this.#options.seed + 1000 * (i + 1)
      const order = { type: 'start', name, urls, relay, spaces, seed, pause: WRITER_PAUSE } as const
      this.#writers.push(new WritersProcess(order, join(this.#folder, 'writers.log'), event => ledger.take(event)))
    }
  }

  async #cycle(ledger: Ledger): Promise<void> {
    if (this.#replicas !== undefined && this.#fraction() < REPLICA_KILLS) this.#replicas.killOne()
    if (this.#relays.length === 1) await this.#killOnly(ledger)
    else await this.#killOneOfMany()
  }

  async #killOnly(ledger: Ledger): Promise<void> {
    const [relay] = this.#relays as [RelayProcess]
    const moment = this.#fraction()
    if (moment < EARLY_SHARE) await sleep(this.#fraction() * relay.startTime)
    else if (await relay.listens()) {
      if (moment > EARLY_SHARE + GREETING_SHARE) await somethingAcknowledged(ledger)
      await sleep(this.#fraction() * WINDOW)
    }
    await relay.kill()
    this.#launch(0)
  }

  /** The others go on, and may be starting themselves: one at least listens. */
  async #killOneOfMany(): Promise<void> {
    await sleep(this.#fraction() * FLEET_PAUSE)
    const victim = Math.floor(this.#fraction() * this.#relays.length)
    await Promise.any(this.#relays.filter((_, number) => number !== victim).map(each => each.listens()))
    await this.#relays[victim]?.kill()
    this.#launch(victim)
  }

  async #judge(
    relay: PinnedRelay,
    spaces: readonly LightSpace[],
    ledger: Ledger,
  ): Promise<Pick<CrashReport, 'lost' | 'conflictingHeads' | 'converged'>> {
    const { patience } = this.#options
    for (const [number, each] of this.#relays.entries()) if (each.hasEnded) this.#launch(number)
    await Promise.all(this.#relays.map(each => each.listens()))
    const finished = this.#writers.map(each => this.#attempt(() => each.finish(patience).then(() => true)))
    const differences = await this.#attempt(async () => (await this.#replicas?.converge(ledger.saved, patience)) ?? [])
    if (differences !== undefined) this.#problems.push(...differences)
    const haveFinished = (await Promise.all(finished)).every(each => each === true)
    await ledger.settle()
    const sums = { lost: 0, conflictingHeads: 0, converged: haveFinished && differences?.length === 0 }
    for (const space of spaces) {
      let worst = { lost: 0, conflictingHeads: 0 }
      for (const { url } of this.#relays) {
        const log = await this.#attempt(() => readFinalLog(url, relay, space))
        if (log === undefined) sums.converged = false
        const { lost, conflictingHeads } =
          log === undefined ? { ...worst, lost: ledger.promisedOf(space.id) } : ledger.judge(space.id, log)
        worst = {
          lost: Math.max(worst.lost, lost),
          conflictingHeads: Math.max(worst.conflictingHeads, conflictingHeads),
        }
      }
      sums.lost += worst.lost
      sums.conflictingHeads += worst.conflictingHeads
      if (worst.lost + worst.conflictingHeads > 0) sums.converged = false
    }
    await ledger.settle()
    return sums
  }

  async #attempt<T>(run: () => T | Promise<T>): Promise<T | undefined> {
    try {
      return await run()
    } catch (error) {
      this.#problems.push(error instanceof Error ? error.message : String(error))
      return undefined
    }
  }
}

function secondsSince(start: number): number {
  return Math.round((performance.now() - start) / 100) / 10
}

async function somethingAcknowledged(ledger: Ledger): Promise<void> {
  const before = ledger.acknowledged
  const deadline = performance.now() + LONGEST_WAIT
  while (ledger.acknowledged === before && performance.now() < deadline) await sleep(2)
}

function placeFor(store: CrashOptions['store'], folder: string): Place | Promise<Place> {
  if (store === 'postgres') return postgresPlace(folder)
  if (store === 'forgetful') return forgetfulPlace(folder)
  if (store === 'split') return splitPlace(folder)
  return sqlitePlace(folder)
}

async function createSpaces(url: string, relay: PinnedRelay): Promise<readonly LightSpace[]> {
  const spaces: LightSpace[] = []
  while (spaces.length < SPACES) spaces.push(await createLightSpace(url, relay))
  return spaces
}
