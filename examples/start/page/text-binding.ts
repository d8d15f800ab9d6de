import { splice } from '@automerge/automerge/slim'
import type { SpaceDocument } from 'sealog'
import { difference, moved } from './text-difference.ts'

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
  /** What the text area held when it and the note last were equal, but for what was typed since. */
  let shown = ''

  function show(): void {
    // An input method loses what it composes when the text changes under it; until it is done, the note runs ahead.
    if (composing) return
    shown = bodyOf(note)
    if (area.value === shown) return
    const edit = difference(area.value, shown)
    const [start, end] = [moved(area.selectionStart, edit), moved(area.selectionEnd, edit)]
    area.value = shown
    area.setSelectionRange(start, end)
  }

  function take(): void {
    if (area.value === shown) return
    const typed = difference(shown, area.value)
    const meanwhile = difference(shown, bodyOf(note))
    shown = area.value
    try {
      note.change(draft => replace(draft, moved(typed.from, meanwhile), moved(typed.to, meanwhile), typed.text))
    } catch (error) {
      onRefused(error)
    }
    show()
  }

  area.addEventListener('input', take, { signal })
  area.addEventListener('compositionstart', () => (composing = true), { signal })
  area.addEventListener(
    'compositionend',
    () => {
      composing = false
      take()
      show()
    },
    { signal },
  )
  note.on('change', show, { signal })
  show()
  return () => stop.abort()
}

function replace(draft: Note, from: number, to: number, text: string): void {
  if (typeof draft.body === 'string') splice(draft, ['body'], from, to - from, text)
  else draft.body = text
}

/** Any member can write anything there. */
function bodyOf(note: SpaceDocument<Note>): string {
  const { body } = note.doc()
  return typeof body === 'string' ? body : ''
}
