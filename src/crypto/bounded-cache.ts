/** A map that forgets what was used longest ago, so that nobody can make it grow by showing it new keys. */
export interface BoundedCache<Value> {
  /** The value of `key`, made by `make` where it is not held. What `make` throws is thrown and not held. */
  get(key: string, make: () => Value): Value
  delete(key: string): void
}

/** @param limit how many values are held at most */
export function boundedCache<Value>(limit: number): BoundedCache<Value> {
  // A Map iterates in order of insertion; a value that is used is inserted again, so the first one is the oldest.
  const values = new Map<string, { readonly value: Value }>()
  let newest: string | undefined
  return {
    get(key, make) {
      const held = values.get(key)
      if (held !== undefined) {
        if (key !== newest) {
          values.delete(key)
          values.set(key, held)
          newest = key
        }
        return held.value
      }
      const value = make()
      values.set(key, { value })
      newest = key
      if (values.size > limit) values.delete(values.keys().next().value as string)
      return value
    },
    delete(key) {
      values.delete(key)
      if (key === newest) newest = undefined
    },
  }
}
