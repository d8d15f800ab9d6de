// A process that holds one replica, and does what its parent asks for over the channel between them.
import { createHash } from 'node:crypto'
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import * as Automerge from '@automerge/automerge'
import { nodeStore, openReplica, type Replica, type ReplicaStore, type Space, type SpaceDocument } from 'sealog/node'
import type { Call, FromReplica, Journal, Note, ReplicaCommands, ReplicaEvent } from './commands.ts'

/** Keys that are typed before incoming messages and the disk get their turn. */
const KEYS_AT_A_TIME = 32
/** Longest wait for the relay in any one command, in milliseconds. */
const TIMEOUT = 120_000

let store: ReplicaStore
let replica: Replica
let space: Space
let writing: Promise<void> | undefined
let stopWriting = false
const documents = new Map<string, SpaceDocument<unknown>>()

const commands: ReplicaCommands = {
  async open(options) {
    store = nodeStore(options.store)
    replica = await openReplica({ store, relay: options.relay, profile: { name: options.name } })
  },
  async createSpace(name) {
    return use(await replica.createSpace({ name, timeout: TIMEOUT }))
  },
  async join(link) {
    return use(await replica.joinSpace(link, { timeout: TIMEOUT }))
  },
  async enter(id) {
    use(await replica.openSpace(id))
  },
  invite: () => space.invite({ role: 'writer', timeout: TIMEOUT }),
  async createNote(title, name) {
    return keep(await space.createDocument<Note>({ title, text: '' }, { name }))
  },
  async createJournal(name) {
    return keep(await space.createDocument<Journal>({ ids: [], text: '' }, { name }))
  },
  async type(document, edits) {
    const note = await open<Note>(document)
    const start = performance.now()
    for (const [i, [position, deleted, inserted]] of edits.entries()) {
      note.change(doc => Automerge.splice(doc, ['text'], position, deleted, inserted))
      if (i % KEYS_AT_A_TIME === 0) await nextTurn()
    }
    await note.saved()
    return performance.now() - start
  },
  async typeClamped(document, edits, exportTo) {
    const note = await open<Note>(document)
    const file = openSync(exportTo, 'w')
    const unsubscribe = note.on('change', ({ doc, patchInfo }) => {
      if (patchInfo.source === 'change') writeSync(file, Automerge.getLastLocalChange(doc) as Uint8Array)
    })
    const start = performance.now()
    for (const [i, [position, deleted, inserted]] of edits.entries()) {
      const { length } = note.doc().text
      const from = Math.min(position, length)
      const removed = Math.min(deleted, length - from)
      note.change(doc => Automerge.splice(doc, ['text'], from, removed, inserted))
      if (i % KEYS_AT_A_TIME === 0) await nextTurn()
    }
    await note.saved()
    unsubscribe()
    closeSync(file)
    return performance.now() - start
  },
  async keepJournal(document, prefix) {
    const journal = await open<Journal>(document)
    stopWriting = false
    writing = writeWithoutEnd(journal, prefix)
    writing.catch(fail)
  },
  async stopJournal() {
    stopWriting = true
    await writing
  },
  async writeEntries(document, count) {
    const note = await open<Note>(document)
    for (let line = 0; line < count; line++) {
      note.change(doc => Automerge.splice(doc, ['text'], doc.text.length, 0, `line ${line}\n`))
      await space.sync({ timeout: TIMEOUT })
    }
  },
  async sync() {
    const start = performance.now()
    await space.sync({ timeout: TIMEOUT })
    return performance.now() - start
  },
  async pause() {
    space.pause()
  },
  async resume() {
    space.resume()
  },
  async status() {
    const { connection, local, confirmed, storage } = space.status
    return { connection, local, confirmed, storage }
  },
  problems: async () => space.problems.map(problem => problem.code),
  text: async document => (await open<Note>(document)).doc().text,
  heads: async document => (await open(document)).heads(),
  ids: async document => [...(await open<Journal>(document)).doc().ids],
  async savePlainly(document, file) {
    const note = await open(document)
    writeFileSync(file, Automerge.getBackend(note.doc()).saveNoCompress())
  },
  async digest() {
    const hash = createHash('sha256')
    const rows = await store.scan(new Uint8Array(0))
    for (const row of rows) for (const part of row) hash.update(`${part.length}:`).update(part)
    return { sha256: hash.digest('hex'), rows: rows.length }
  },
  close: () => replica.close(),
}

function use(opened: Space): string {
  space = opened
  space.on('problem', ({ problem }) => say({ type: 'problem', code: problem.code }))
  return space.id
}

function keep<T>(document: SpaceDocument<T>): string {
  documents.set(document.id, document as SpaceDocument<unknown>)
  return document.id
}

async function open<T = unknown>(id: string): Promise<SpaceDocument<T>> {
  const document = documents.get(id) ?? (await space.openDocument<unknown>(id))
  keep(document)
  return document as SpaceDocument<T>
}

/** Each edit is one change with an id of its own. Its id is told when the change is in the local store, not before. */
async function writeWithoutEnd(journal: SpaceDocument<Journal>, prefix: string): Promise<void> {
  const unsubscribe = space.on('status', ({ status }) => say({ type: 'status', local: status.local }))
  for (let number = 0; !stopWriting; number++) {
    const id = `${prefix}-${number}`
    journal.change(doc => {
      doc.ids.push(id)
      Automerge.splice(doc, ['text'], 0, 0, `${id}\n`)
    })
    await journal.saved()
    say({ type: 'saved', id })
    await nextTurn()
  }
  unsubscribe()
}

function say(event: ReplicaEvent): void {
  send({ event })
}

function send(message: FromReplica): void {
  if (process.connected) process.send?.(message)
}

function fail(error: unknown): void {
  console.error(error)
  process.exitCode = 1
  process.disconnect()
}

process.on('message', async ({ ref, name, args }: Call) => {
  try {
    const command = commands[name] as (...args: readonly unknown[]) => Promise<unknown>
    send({ ref, result: await command(...args) })
  } catch (error) {
    console.error(error)
    send({ ref, failure: String(error) })
  }
})
// Nobody is left to ask for anything.
process.on('disconnect', () => process.exit())
