import { updateText } from '@automerge/automerge/slim'
import type { SpaceDocument } from 'sealog'

export interface Note extends Record<string, unknown> {
  body: string
}

/**
 * Keeps a text area and the body of a note equal, until the returned function is called. What others write moves the
 * caret along with the text around it.
 * @param onRefused a change that the note did not take; the text area shows the note again
 */
export function bindText(
  area: HTMLTextAreaElement,
  note: SpaceDocument<Note>,
  onRefused: (error: unknown) => void,
): () => void {
  const stop = new AbortController()
  const { signal } = stop
  let composing = false

  function show(): void {
    // An input method loses what it is composing when the text changes under it.
    if (composing) return
    const body = bodyOf(note)
    if (area.value === body) return
    const [start, end] = [moved(area.selectionStart, area.value, body), moved(area.selectionEnd, area.value, body)]
    area.value = body
    area.setSelectionRange(start, end)
  }

  function take(): void {
    if (composing || area.value === bodyOf(note)) return
    const { value } = area
    try {
      note.change(draft => {
        if (typeof draft.body === 'string') updateText(draft, ['body'], value)
        else draft.body = value
      })
    } catch (error) {
      onRefused(error)
      show()
    }
  }

  area.addEventListener('input', take, { signal })
  area.addEventListener('compositionstart', () => (composing = true), { signal })
  area.addEventListener(
    'compositionend',
    () => {
      composing = false
      take()
    },
    { signal },
  )
  note.on('change', show, { signal })
  show()
  return () => stop.abort()
}

/** Any member can write anything there. */
function bodyOf(note: SpaceDocument<Note>): string {
  const { body } = note.doc()
  return typeof body === 'string' ? body : ''
}

/** Where a caret at `offset` of `before` belongs in `after`, which differs from it in one stretch. */
function moved(offset: number, before: string, after: string): number {
  const longest = Math.min(before.length, after.length)
  let head = 0
  while (head < longest && before[head] === after[head]) head++
  if (offset <= head) return offset
  let tail = 0
  while (tail < longest - head && before.at(-1 - tail) === after.at(-1 - tail)) tail++
  const fromEnd = before.length - offset
  return fromEnd <= tail ? after.length - fromEnd : head
}
