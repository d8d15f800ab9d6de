import type { Edit } from './traces.ts'

/**
 * Replays edits on a plain array of code points: what the text must be, worked out without anything that the
 * demonstration is about.
 * @throws RangeError where an edit lies outside the text
 */
export function replayPlainly(edits: readonly Edit[]): string {
  const text: string[] = []
  for (const [position, deleted, inserted] of edits) {
    if (position + deleted > text.length) throw new RangeError(`an edit at ${position} of ${text.length} characters`)
    text.splice(position, deleted, ...inserted)
  }
  return text.join('')
}

/**
 * The same edits counted in UTF-16 code units, as JavaScript strings and Automerge count. Only histories with characters
 * beyond the basic plane differ, and only they pay for it.
 */
export function toCodeUnits(edits: readonly Edit[]): readonly Edit[] {
  const firstAstral = edits.findIndex(([, , inserted]) => /[\u{10000}-\u{10ffff}]/u.test(inserted))
  if (firstAstral < 0) return edits
  const text: string[] = []
  return edits.map(([position, deleted, inserted], i): Edit => {
    const before = i <= firstAstral ? position : unitsOf(text, 0, position)
    const removed = i <= firstAstral ? deleted : unitsOf(text, position, position + deleted)
    text.splice(position, deleted, ...inserted)
    return [before, removed, inserted]
  })
}

function unitsOf(text: readonly string[], from: number, to: number): number {
  let units = 0
  for (let i = from; i < to; i++) units += text[i]?.length ?? 0
  return units
}
