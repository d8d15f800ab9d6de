import type { DocumentId, Space } from 'sealog'
import { fieldOf } from './dom.ts'
import type { Note } from './text-binding.ts'

export interface NoteListParts {
  readonly list: HTMLElement
  readonly create: HTMLFormElement
}

/** Shows the notes of a space and the form for a new one. @param onOpen a note was chosen, at first the oldest one */
export function showNotes(
  space: Space,
  parts: NoteListParts,
  onRefused: (error: unknown) => void,
  onOpen: (id: DocumentId) => void,
): void {
  let current: DocumentId | undefined

  function choose(id: DocumentId): void {
    if (id === current) return
    current = id
    onOpen(id)
    show()
  }

  function show(): void {
    const notes = space.documents().filter(({ archived }) => !archived)
    notes.sort((a, b) => a.created - b.created)
    const [first] = notes
    if (current === undefined && first !== undefined) choose(first.id)
    parts.list.replaceChildren(...notes.map(({ id, name }) => item(name, id === current, () => choose(id))))
  }

  parts.create.addEventListener('submit', async event => {
    event.preventDefault()
    const name = fieldOf(parts.create, 'name')
    if (name === '') return
    parts.create.reset()
    try {
      const note = await space.createDocument<Note>({ body: '' }, { name, type: 'note' })
      choose(note.id)
      note.close()
    } catch (error) {
      onRefused(error)
    }
  })
  space.on('documents', show)
  show()
}

function item(name: string, isCurrent: boolean, onClick: () => void): HTMLLIElement {
  const button = document.createElement('button')
  button.type = 'button'
  button.textContent = name === '' ? 'nameless' : name
  if (isCurrent) button.setAttribute('aria-current', 'true')
  button.addEventListener('click', onClick)
  const element = document.createElement('li')
  element.append(button)
  return element
}
