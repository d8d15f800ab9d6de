import type { NoteSession } from './note-session.ts'

export interface WorkerCall {
  readonly relay: string
  readonly method: keyof NoteSession
  readonly args: readonly unknown[]
}

export interface WorkerPage {
  /** Installs the service worker of this origin, and waits until it runs. */
  start(script: string): Promise<void>
  /** Has the worker call a method of its `NoteSession`. */
  call<Method extends keyof NoteSession>(
    relay: string,
    method: Method,
    ...args: Parameters<NoteSession[Method]>
  ): ReturnType<NoteSession[Method]>
}

declare global {
  /** What `worker.html` offers to its driver. */
  var workerPage: WorkerPage
}

async function start(script: string): Promise<void> {
  await navigator.serviceWorker.register(script, { type: 'module' })
  await navigator.serviceWorker.ready
}

async function call(relay: string, method: keyof NoteSession, ...args: readonly unknown[]): Promise<unknown> {
  const { active } = await navigator.serviceWorker.ready
  const { port1, port2 } = new MessageChannel()
  const message: WorkerCall = { relay, method, args }
  const reply = new Promise<unknown>((resolve, reject) => {
    port1.onmessage = ({ data }) => ('error' in data ? reject(new Error(data.error)) : resolve(data.result))
  })
  active?.postMessage(message, [port2])
  return reply
}

globalThis.workerPage = { start, call: call as WorkerPage['call'] }
