/**
 * Lets tasks run side by side, and now and then one of them alone: it begins when all that were called before it have
 * ended, and those called after it begin, in the order of their calls, when it has.
 */
export class Turns {
  readonly #running = new Set<Promise<void>>()
  /** Of the latest task that runs alone: how others wait for it. Never rejects. */
  #alone: Promise<void> | undefined

  /** Where nothing runs alone, the task begins within this call. */
  shared<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#alone === undefined ? task() : this.#alone.then(task)
    const ended = settled(result)
    this.#running.add(ended)
    void ended.then(() => this.#running.delete(ended))
    return result
  }

  alone<T>(task: () => Promise<T>): Promise<T> {
    const result = Promise.all([this.#alone, ...this.#running]).then(task)
    const ended = settled(result)
    this.#alone = ended
    // First in the queue behind `ended`: whoever is called after this finds those who waited already begun.
    void ended.then(() => {
      if (this.#alone === ended) this.#alone = undefined
    })
    return result
  }
}

function settled(task: Promise<unknown>): Promise<void> {
  return task.then(noResult, noResult)
}

function noResult(): void {}
