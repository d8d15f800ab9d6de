/** The list elements that one actor inserted, by counter: a run of typed characters is one entry. */
export class ElementRuns {
  readonly #starts: number[] = []
  readonly #ends: number[] = []
  readonly #objects: number[] = []
  #isSorted = true

  /** @param object of which list; counters may come in any order if `sort` is called before `has` */
  add(counter: number, object: number): void {
    const last = this.#starts.length - 1
    if (this.#ends[last] === counter && this.#objects[last] === object) {
      this.#ends[last] = counter + 1
      return
    }
    if (last >= 0 && counter < (this.#ends[last] as number)) this.#isSorted = false
    this.#starts.push(counter)
    this.#ends.push(counter + 1)
    this.#objects.push(object)
  }

  sort(): void {
    if (this.#isSorted) return
    const order = this.#starts
      .map((_, i) => i)
      .sort((a, b) => (this.#starts[a] as number) - (this.#starts[b] as number))
    const runs = order.map(
      i => [this.#starts[i] as number, this.#ends[i] as number, this.#objects[i] as number] as const,
    )
    this.#starts.length = 0
    this.#ends.length = 0
    this.#objects.length = 0
    for (const [start, end, object] of runs) {
      const last = this.#starts.length - 1
      if (this.#ends[last] === start && this.#objects[last] === object) {
        this.#ends[last] = end
        continue
      }
      this.#starts.push(start)
      this.#ends.push(end)
      this.#objects.push(object)
    }
    this.#isSorted = true
  }

  has(counter: number, object: number): boolean {
    let low = 0
    let high = this.#starts.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#starts[middle] as number) <= counter) low = middle + 1
      else high = middle
    }
    return low > 0 && counter < (this.#ends[low - 1] as number) && this.#objects[low - 1] === object
  }
}
