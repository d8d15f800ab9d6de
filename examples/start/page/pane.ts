import type { Space, SpaceDocument } from 'sealog'
import { enterSpace, type Way } from './admission.ts'
import { part } from './dom.ts'
import { explain } from './explain.ts'
import { showNotes } from './note-list.ts'
import { showStatus } from './status-lines.ts'
import { bindText, type Note } from './text-binding.ts'

/** Called when the note that is open in a pane changed, or another one was opened there. */
export type NoteListener = (note: SpaceDocument<Note>) => void

/** Adds one device to the page: a replica of its own, with its own keys and its own database. */
export async function addPane(parent: HTMLElement, way: Way, onNote: NoteListener): Promise<void> {
  const template = document.getElementById('pane') as HTMLTemplateElement
  parent.append(template.content.cloneNode(true))
  const root = parent.lastElementChild as HTMLElement
  const name = part(root, 'name', HTMLElement)
  name.textContent = way.name
  try {
    const space = await enterSpace(way, {
      form: part(root, 'join', HTMLFormElement),
      invitation: part(root, 'invitation', HTMLElement),
      progress: part(root, 'connection', HTMLElement),
    })
    name.textContent = space.me.name
    showSpace(root, space, way.device, onNote)
  } catch (error) {
    part(root, 'connection', HTMLElement).textContent = ''
    tell(root, error)
  }
}

function showSpace(root: HTMLElement, space: Space, device: string, onNote: NoteListener): void {
  const refused = (error: unknown): void => tell(root, error)
  const parts = {
    connection: part(root, 'connection', HTMLElement),
    own: part(root, 'own', HTMLElement),
    log: part(root, 'log', HTMLElement),
    members: part(root, 'members', HTMLElement),
    problems: part(root, 'problems', HTMLElement),
  }
  const status = (): void => showStatus(space, parts)
  space.on('status', status)
  space.on('members', status)
  space.on('problem', status)
  status()
  bindSwitch(part(root, 'online', HTMLButtonElement), space, device)

  const area = part(root, 'text', HTMLTextAreaElement)
  let leave = (): void => {}
  const lists = { list: part(root, 'notes', HTMLElement), create: part(root, 'create', HTMLFormElement) }
  showNotes(space, lists, refused, async id => {
    leave()
    area.disabled = true
    const note = await space.openDocument<Note>(id)
    const unbind = bindText(area, note, refused)
    note.on('change', () => onNote(note))
    leave = () => {
      unbind()
      note.close()
    }
    area.setAttribute('aria-label', note.info?.name ?? 'Note')
    area.disabled = false
    onNote(note)
  })
  part(root, 'space', HTMLElement).hidden = false
}

/** The switch stays as it is when the page is reloaded: a device that is offline does not come back by itself. */
function bindSwitch(button: HTMLButtonElement, space: Space, device: string): void {
  const key = `offline/${space.id}/${device}`
  const set = (online: boolean): void => {
    if (online) space.resume()
    else space.pause()
    if (online) sessionStorage.removeItem(key)
    else sessionStorage.setItem(key, 'yes')
    button.setAttribute('aria-checked', String(online))
  }
  button.addEventListener('click', () => set(space.status.connection === 'paused'))
  if (sessionStorage.getItem(key) !== null) set(false)
  button.hidden = false
}

function tell(root: HTMLElement, error: unknown): void {
  const message = part(root, 'message', HTMLElement)
  message.textContent = explain(error)
  message.hidden = false
}
