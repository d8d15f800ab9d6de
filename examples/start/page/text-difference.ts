/** One stretch of a text, replaced; in UTF-16 units, as text fields and Automerge count. */
export interface Replacement {
  readonly from: number
  readonly to: number
  readonly text: string
}

/** The one stretch in which two texts differ; it never cuts a surrogate pair in two. */
export function difference(before: string, after: string): Replacement {
  const longest = Math.min(before.length, after.length)
  let head = 0
  while (head < longest && before[head] === after[head]) head++
  if (isHighSurrogate(before, head - 1)) head--
  let tail = 0
  while (tail < longest - head && before.at(-1 - tail) === after.at(-1 - tail)) tail++
  if (tail > 0 && isHighSurrogate(before, before.length - tail - 1)) tail--
  return { from: head, to: before.length - tail, text: after.slice(head, after.length - tail) }
}

/** Where the place at `offset` is after a replacement; a place inside of it moves to its end. */
export function moved(offset: number, { from, to, text }: Replacement): number {
  if (offset <= from) return offset
  return offset >= to ? offset + text.length - (to - from) : from + text.length
}

function isHighSurrogate(text: string, index: number): boolean {
  const unit = text.charCodeAt(index)
  return unit >= 0xd800 && unit < 0xdc00
}
