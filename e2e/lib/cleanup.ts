type Task = () => Promise<void> | void

/** What has to be undone at the end of the run, however it ends. */
export class Cleanup {
  readonly #tasks: Task[] = []
  #begun = false
  #running: Promise<void> = Promise.resolve()

  /** Nothing more is to be started. */
  get hasBegun(): boolean {
    return this.#begun
  }

  defer(task: Task): void {
    this.#tasks.push(task)
  }

  /** Undoes everything, the latest first. What fails is reported, and the rest still happens. */
  run(): Promise<void> {
    this.#begun = true
    this.#running = this.#running.then(() => this.#undo())
    return this.#running
  }

  async #undo(): Promise<void> {
    for (let task = this.#tasks.pop(); task !== undefined; task = this.#tasks.pop()) {
      try {
        await task()
      } catch (error) {
        console.error(error)
      }
    }
  }
}
