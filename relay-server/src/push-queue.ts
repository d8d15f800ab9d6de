/** Something that waits for its turn in one space. */
export interface Waiting {
  /** Of a push: whose it is, as whoever pushes much must not keep others waiting. Undefined for what is no push. */
  readonly by: unknown
  readonly entries: number
  readonly bytes: number
  /** Of a push: has it control entries, so that it may decide what others may do? */
  readonly isControl: boolean
  /** Of what is no push: must it wait for this one, which came before it? Undefined: for all of them. */
  readonly waitsFor?: ((push: Waiting) => boolean) | undefined
}

/** What goes into the next group, and what goes on waiting, both in the order in which they came. */
export interface NextGroup<T> {
  readonly group: readonly T[]
  readonly rest: readonly T[]
}

/**
 * Chooses what makes up the next group: the first push of everyone who waits, then the second of everyone, and so on, as
 * far as the limits go, and one at least. So a push waits for as many groups as its author has others before it, and not
 * for those of others. Pushes of one author stay in order. What is no push (see `SpaceSequencer`) goes once all pushes
 * do that came before it and that it waits for; that later pushes may overtake it harms nobody, as it asks for nothing
 * but what was before.
 */
export function nextGroup<T extends Waiting>(
  queue: readonly T[],
  limits: { readonly entries: number; readonly bytes: number },
): NextGroup<T> {
  const chosen = choosePushes(queue, limits)
  const group: T[] = []
  const rest: T[] = []
  /** Pushes that go on waiting, as far as the queue was gone through. */
  const behind: T[] = []
  for (const item of queue) {
    const isPush = item.by !== undefined
    const goes = isPush ? chosen.has(item) : !behind.some(push => item.waitsFor?.(push) ?? true)
    if (goes) group.push(item)
    else rest.push(item)
    if (isPush && !goes) behind.push(item)
  }
  return { group, rest }
}

function choosePushes<T extends Waiting>(
  queue: readonly T[],
  limits: { readonly entries: number; readonly bytes: number },
): ReadonlySet<T> {
  const lines = new Map<unknown, T[]>()
  for (const item of queue) {
    if (item.by === undefined) continue
    const line = lines.get(item.by)
    if (line === undefined) lines.set(item.by, [item])
    else line.push(item)
  }
  const chosen = new Set<T>()
  let entries = 0
  let bytes = 0
  for (let round = 0; lines.size > 0; round++) {
    for (const [by, line] of lines) {
      const item = line[round]
      if (item === undefined) {
        lines.delete(by)
        continue
      }
      entries += item.entries
      bytes += item.bytes
      if (chosen.size > 0 && (entries > limits.entries || bytes > limits.bytes)) return chosen
      chosen.add(item)
    }
  }
  return chosen
}
