/** What has to be undone at the end of the run, however it ends. */
export class Cleanup {
  readonly #tasks: (() => Promise<void> | void)[] = []

  defer(task: () => Promise<void> | void): void {
    this.#tasks.push(task)
  }

  /** Undoes everything, the latest first. What fails is reported, and the rest still happens. */
  async run(): Promise<void> {
    for (let task = this.#tasks.pop(); task !== undefined; task = this.#tasks.pop()) {
      try {
        await task()
      } catch (error) {
        console.error(error)
      }
    }
  }
}
