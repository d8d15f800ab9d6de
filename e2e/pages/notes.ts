import { indexedDbStore, openReplica } from 'sealog'
import { NoteSession } from './note-session.ts'

export interface NotesPage {
  /** The replica under test. */
  session: NoteSession
  /** Names the replica under test; it is opened when it is first used. */
  start(store: string, relay: string, name: string): void
}

declare global {
  /** What `notes.html` offers to its driver. */
  var notesPage: NotesPage
}

globalThis.notesPage = {
  session: new NoteSession(() => Promise.reject(new Error('not started'))),
  start(store, relay, name) {
    this.session = new NoteSession(() => openReplica({ store: indexedDbStore(store), relay, profile: { name } }))
  },
}
