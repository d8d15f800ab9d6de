import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import { nodeStore } from '../../src/crdt/store-node.ts'
import { ensureWasm } from '../../src/crdt/wasm.ts'
import { defaultVerifier } from '../../src/crypto/sign-backend.ts'
import { platformEnvironment } from '../../src/environment-platform.ts'
import { decodeRelayMessage } from '../../src/relay/message-codec.ts'
import type { Transport } from '../../src/relay/transport.ts'
import { nodeWebSocketTransport } from '../../src/relay/websocket-node.ts'
import { Replica } from '../../src/replica.ts'
import type { Space } from '../../src/space.ts'
import type { SpaceDocument } from '../../src/space-document.ts'
import type { ClientEvent } from './events.ts'
import type { ReplicaCall, ReplicaOrders } from './replica-orders.ts'

/** What every replica adds to: each edit is one id. */
interface Journal {
  ids: string[]
}

/** Longest pause between two edits, in milliseconds. */
const EDIT_PAUSE = 1000
/**
 * Delays of a replica, as a share of the real ones: a relay that is killed all the time is up for moments only, and a
 * back-off made for people would let most of them pass.
 */
const HURRY = 0.2

// A process that holds one whole replica, writes to one document of one space, and does what its parent asks for.

let name = ''
let replica: Replica
let space: Space
let journal: SpaceDocument<Journal>
let isWriting = false
let writing: Promise<void> = Promise.resolve()

/** What the relay shows to this replica is told to the checker before the replica sees it. */
function watched(inner: Transport): Transport {
  return {
    connect: (url, events) =>
      inner.connect(url, {
        onOpen: () => events.onOpen(),
        onClose: cause => events.onClose(cause),
        onFrame: frame => {
          const message = decodeRelayMessage(frame)
          if (message.type === 'sync') {
            tell({ type: 'shown', reader: name, space: message.space, note: message.batch.note })
          }
          events.onFrame(frame)
        },
      }),
  }
}

const orders: ReplicaOrders = {
  async open(options) {
    name = options.name
    await ensureWasm(() => readFile(createRequire(import.meta.url).resolve('@automerge/automerge/automerge.wasm')))
    const store = options.store === undefined ? memoryStore() : nodeStore(options.store)
    const environment = platformEnvironment()
    replica = await Replica.open(
      { store, relay: options.relay, profile: { name } },
      {
        transport: watched(nodeWebSocketTransport()),
        environment: { ...environment, schedule: (ms, task) => environment.schedule(ms * HURRY, task) },
        verifier: await defaultVerifier(),
      },
    )
    if (options.space === undefined || options.document === undefined) return
    use(await replica.openSpace(options.space))
    journal = await space.openDocument<Journal>(options.document)
  },
  async found(timeout) {
    use(await replica.createSpace({ name: 'Journal', timeout: timeout / HURRY }))
    journal = await space.createDocument<Journal>({ ids: [] }, { name: 'Journal' })
    await space.sync({ timeout: timeout / HURRY })
    return { space: space.id, document: journal.id }
  },
  invite: timeout => space.invite({ role: 'writer', timeout: timeout / HURRY }),
  async join(link, document, timeout) {
    use(await replica.joinSpace(link, { timeout: timeout / HURRY }))
    await space.sync({ timeout: timeout / HURRY })
    journal = await space.openDocument<Journal>(document)
  },
  async write(prefix) {
    isWriting = true
    writing = keepWriting(prefix)
    writing.catch(error => tell({ type: 'fault', what: `${name}: ${String(error)}` }))
  },
  async rest() {
    isWriting = false
    await writing
  },
  sync: timeout => space.sync({ timeout: timeout / HURRY }),
  async report() {
    const { frozen, local } = space.status
    return { ids: [...journal.doc().ids], heads: [...journal.heads()].sort(), frozen, local }
  },
  close: () => replica.close(),
}

function use(opened: Space): void {
  space = opened
  space.on('problem', ({ problem }) => tell({ type: 'refused', code: `replica:${problem.code}` }))
}

/** An id is told when the edit is in the local store, not before. */
async function keepWriting(prefix: string): Promise<void> {
  for (let number = 0; isWriting; number++) {
    const id = `${prefix}-${number}`
    journal.change(doc => {
      doc.ids.push(id)
    })
    await journal.saved()
    tell({ type: 'saved', replica: name, id })
    await sleep(Math.random() * EDIT_PAUSE)
  }
}

function tell(event: ClientEvent): void {
  if (process.connected) process.send?.(event)
}

process.on('message', async ({ ref, order, args }: ReplicaCall) => {
  const answer = (message: object): void => {
    if (process.connected) process.send?.({ type: 'answer', ref, ...message })
  }
  try {
    const run = orders[order] as (...args: readonly unknown[]) => Promise<unknown>
    answer({ result: await run(...args) })
  } catch (error) {
    answer({ failure: String(error) })
  }
})
// Nobody is left to ask for anything.
process.on('disconnect', () => process.exit())
