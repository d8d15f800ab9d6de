import { indexedDbStore, openReplica } from 'sealog'
import { NoteSession } from './note-session.ts'

declare global {
  /** Opens the replica of this browser profile: `session('notes', url)`. */
  var session: (store: string, relay: string, name: string) => NoteSession
  /** The replica under test. */
  var notes: NoteSession
}

globalThis.session = (store, relay, name) => {
  globalThis.notes = new NoteSession(() => openReplica({ store: indexedDbStore(store), relay, profile: { name } }))
  return globalThis.notes
}
