import type { SpaceDocument } from 'sealog'
import { say } from './dom.ts'
import type { Note } from './text-binding.ts'

/** Says whether the notes that are open in the panes are the same down to their last change. */
export class Comparison {
  readonly #line: HTMLElement
  readonly #open: (SpaceDocument<Note> | undefined)[]

  constructor(line: HTMLElement, panes: number) {
    this.#line = line
    this.#open = Array(panes).fill(undefined)
  }

  /** The note in a pane changed, or is another one now. */
  update(pane: number, note: SpaceDocument<Note>): void {
    this.#open[pane] = note
    const notes = this.#open.filter(open => open !== undefined)
    const [first] = notes
    this.#line.hidden = notes.length < this.#open.length || notes.some(({ id }) => id !== first?.id)
    const heads = notes.map(open => open.heads().join())
    if (heads.every(head => head === heads[0])) say(this.#line, 'Both devices hold the same note.', 'good')
    else say(this.#line, 'The devices differ for now: what one of them wrote has not reached the other.', 'wait')
  }
}
