/** Settles as `task` does, or rejects when `ms` milliseconds are over. */
export async function within<T>(ms: number, task: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${ms} ms`)), ms)
  })
  try {
    return await Promise.race([task, late])
  } finally {
    clearTimeout(timer)
  }
}

/** Tries until it succeeds. @throws what the last attempt threw, when `ms` milliseconds are over */
export async function eventually<T>(attempt: () => Promise<T>, ms = 15_000): Promise<T> {
  for (const end = performance.now() + ms; ; ) {
    try {
      return await attempt()
    } catch (error) {
      if (performance.now() > end) throw error
    }
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}
