import { join } from 'node:path'
import type { Tell } from './events.ts'
import type { ReplicaReport } from './replica-orders.ts'
import { ReplicaProcess } from './replica-process.ts'
import { startProxy, type TcpProxy } from './tcp-proxy.ts'

/** For what happens before anything is killed, in milliseconds. */
const CALM = 30_000

export interface ReplicaGroupOptions {
  /** Of their stores. */
  readonly folder: string
  /** Processes of one relay. */
  readonly urls: readonly string[]
  readonly tell: Tell
  /** In [0, 1). */
  readonly fraction: () => number
}

/**
 * Whole replicas that write to one document, each in a process of its own: the first in memory, the others in stores on
 * disk, so that they can be killed. They reach whatever relay process is up through one address, as behind a balancer.
 */
export class ReplicaGroup {
  readonly #options: ReplicaGroupOptions
  readonly #replicas: ReplicaProcess[] = []
  /** Restarts under way. */
  readonly #restarts = new Map<ReplicaProcess, Promise<void>>()
  #proxy: TcpProxy | undefined
  #place: { readonly space: string; readonly document: string } | undefined
  #generation = 0

  constructor(options: ReplicaGroupOptions) {
    this.#options = options
  }

  /** Creates space and document, and lets everybody join. */
  async found(count: number): Promise<void> {
    const { folder, urls, tell } = this.#options
    this.#proxy = await startProxy(urls)
    for (let i = 0; i < count; i++) {
      const store = i === 0 ? undefined : join(folder, `${i}.db`)
      const log = join(folder, `${i}.log`)
      this.#replicas.push(new ReplicaProcess({ name: `replica ${i}`, store, relay: this.#proxy.url, log, tell }))
    }
    const [founder, ...others] = this.#replicas as [ReplicaProcess, ...ReplicaProcess[]]
    await founder.start()
    const place = await founder.ask('found', CALM)
    this.#place = place
    for (const other of others) {
      await other.start()
      await other.ask('join', await founder.ask('invite', CALM), place.document, CALM)
    }
  }

  async write(): Promise<void> {
    for (const replica of this.#replicas) await replica.ask('write', this.#prefixOf(replica))
  }

  /** Kills one that can be killed, and starts it again on its store; does not wait for that. */
  killOne(): void {
    const mortal = this.#replicas.filter(each => each.isDurable && !this.#restarts.has(each))
    const victim = mortal[Math.floor(this.#options.fraction() * mortal.length)]
    if (victim === undefined) return
    const restart = this.#restart(victim)
      .catch(error => this.#options.tell({ type: 'fault', what: `restart: ${String(error)}` }))
      .finally(() => this.#restarts.delete(victim))
    this.#restarts.set(victim, restart)
  }

  /**
   * Lets everybody get everything.
   * @param saved by replica: what must be there
   * @returns what is wrong, as text; nothing where all are equal and complete
   */
  async converge(saved: ReadonlyMap<string, ReadonlySet<string>>, patience: number): Promise<readonly string[]> {
    await Promise.all(this.#restarts.values())
    await Promise.all(this.#replicas.map(each => each.ask('rest')))
    // The second round brings everybody what the others had not sent in the first.
    for (let round = 0; round < 2; round++) {
      await Promise.all(this.#replicas.map(each => each.ask('sync', patience)))
    }
    const reports: ReplicaReport[] = []
    for (const replica of this.#replicas) reports.push(await replica.ask('report'))
    return findings(
      reports,
      [...saved.values()].flatMap(ids => [...ids]),
    )
  }

  async end(): Promise<void> {
    await Promise.all(this.#replicas.map(each => each.kill()))
    await this.#proxy?.close()
  }

  async #restart(victim: ReplicaProcess): Promise<void> {
    await victim.kill()
    await victim.start(this.#place)
    await victim.ask('write', this.#prefixOf(victim))
  }

  /** No two edits have the same id, whoever made them in whatever life. */
  #prefixOf({ name }: ReplicaProcess): string {
    return `${name}/${this.#generation++}`
  }
}

function findings(reports: readonly ReplicaReport[], saved: readonly string[]): readonly string[] {
  const found: string[] = []
  const [first] = reports
  for (const [i, { ids, heads, frozen, local }] of reports.entries()) {
    if (frozen) found.push(`replica ${i} is frozen`)
    if (local.unsaved + local.pending + local.sequenced > 0) found.push(`replica ${i} has not sent everything`)
    if (`${heads}` !== `${first?.heads}` || `${ids}` !== `${first?.ids}`)
      found.push(`replica ${i} differs from replica 0`)
    const once = new Set(ids)
    if (once.size !== ids.length) found.push(`replica ${i} has ${ids.length - once.size} edits twice`)
    const missing = saved.filter(id => !once.has(id))
    if (missing.length > 0) found.push(`replica ${i} lacks ${missing.length} saved edits, ${missing[0]} among them`)
  }
  return found
}
