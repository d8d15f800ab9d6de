// A replica in a module service worker: no window, no dynamic import, the WASM from a file of its own. The browser may
// end and restart it between any two messages.
import wasm from '@automerge/automerge/automerge.wasm?url'
import { indexedDbStore } from 'sealog'
import { openReplica } from 'sealog/slim'
import { NoteSession } from './note-session.ts'
import type { WorkerCall } from './worker.ts'

/** The little of a service worker's surroundings that is used; TypeScript's types of pages do not know them. */
interface Surroundings {
  skipWaiting(): Promise<void>
  readonly clients: { claim(): Promise<void> }
  addEventListener(type: 'install' | 'activate' | 'message', listener: (event: WorkerEvent) => void): void
}
interface WorkerEvent extends MessageEvent<WorkerCall> {
  waitUntil(task: Promise<unknown>): void
}

const worker = globalThis as unknown as Surroundings
let session: NoteSession | undefined

worker.addEventListener('install', event => event.waitUntil(worker.skipWaiting()))
worker.addEventListener('activate', event => event.waitUntil(worker.clients.claim()))
worker.addEventListener('message', event => {
  const [port] = event.ports
  if (port === undefined) return
  event.waitUntil(
    answer(event.data).then(
      result => port.postMessage({ result }),
      error => port.postMessage({ error: String(error?.stack ?? error) }),
    ),
  )
})

async function answer({ relay, method, args }: WorkerCall): Promise<unknown> {
  session ??= new NoteSession(() =>
    openReplica({ store: indexedDbStore('worker'), relay, wasm, profile: { name: 'Worker' } }),
  )
  const call = session[method] as (...args: readonly unknown[]) => Promise<unknown>
  return call.call(session, ...args)
}
