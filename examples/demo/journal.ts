import { closeSync, openSync, writeSync } from 'node:fs'

/** What the replicas reported as durable, kept by a process that nobody kills: one id per edit. */
export class EditJournal {
  readonly #file: number
  readonly #ids = new Set<string>()

  constructor(path: string) {
    this.#file = openSync(path, 'wx')
  }

  get size(): number {
    return this.#ids.size
  }

  record(id: string): void {
    writeSync(this.#file, `${id}\n`)
    this.#ids.add(id)
  }

  /** @param held the ids in one replica, each as often as it is there */
  compare(held: readonly string[]): { readonly lost: readonly string[]; readonly duplicated: readonly string[] } {
    const seen = new Set<string>()
    const duplicated = new Set<string>()
    for (const id of held) {
      if (seen.has(id)) duplicated.add(id)
      seen.add(id)
    }
    return { lost: [...this.#ids].filter(id => !seen.has(id)), duplicated: [...duplicated] }
  }

  close(): void {
    closeSync(this.#file)
  }
}
