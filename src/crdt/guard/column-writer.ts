import { NULL } from './columns.ts'

/** Appends unsigned LEB128. */
export function pushUint(out: number[], value: number): void {
  let rest = value
  while (rest >= 0x80) {
    out.push((rest % 0x80) | 0x80)
    rest = Math.floor(rest / 0x80)
  }
  out.push(rest)
}

/** Appends signed LEB128. */
export function pushInt(out: number[], value: number): void {
  let rest = value
  for (;;) {
    const low = ((rest % 0x80) + 0x80) % 0x80
    rest = (rest - low) / 0x80
    if ((rest === 0 && low < 0x40) || (rest === -1 && low >= 0x40)) {
      out.push(low)
      return
    }
    out.push(low | 0x80)
  }
}

/**
 * The one encoding that `decodeNumbers` accepts: runs of equal numbers, literal runs of different ones, runs of null.
 * @returns no bytes for a column without rows or of nothing but null, which is left out
 */
export function encodeNumbers(values: ArrayLike<number>, delta: boolean): Uint8Array {
  const out: number[] = []
  const push = delta ? pushInt : pushUint
  const literal: number[] = []
  const flush = (): void => {
    if (literal.length === 0) return
    pushInt(out, -literal.length)
    for (const value of literal) push(out, value)
    literal.length = 0
  }
  let absolute = 0
  let hasValue = false
  for (let i = 0; i < values.length; ) {
    if (values[i] === NULL) {
      let end = i + 1
      while (end < values.length && values[end] === NULL) end++
      flush()
      out.push(0)
      pushUint(out, end - i)
      i = end
      continue
    }
    hasValue = true
    const first = values[i] as number
    const raw = delta ? first - absolute : first
    let end = i + 1
    let next = first + (delta ? raw : 0)
    while (end < values.length && values[end] === next && next !== NULL) {
      end++
      next += delta ? raw : 0
    }
    if (end - i === 1) literal.push(raw)
    else {
      flush()
      pushInt(out, end - i)
      push(out, raw)
    }
    absolute = values[end - 1] as number
    i = end
  }
  flush()
  return hasValue ? Uint8Array.from(out) : new Uint8Array(0)
}
