import { afterEach, expect, it } from 'vitest'
import { isZero } from '../../src/bytes.ts'
import { DEFAULT_SYNC_LIMITS } from '../../src/crdt/sync-limits.ts'
import { decodeReplicaMessage } from '../../src/relay/message-codec.ts'
import type { Transport } from '../../src/relay/transport.ts'
import { decodeHeader } from '../../src/verify/entry.ts'
import { openPair, openWorld, settle, type World } from '../helpers/world.ts'

let world: World

afterEach(() => world.close())

/** A relay that no longer hears pushes on the connections that there are, and answers all else; new ones are sound. */
function deafNetwork() {
  let generation = 0
  let ignored = 0
  let connections = 0
  const network = (inner: Transport): Transport => ({
    connect: (url, events) => {
      const own = generation
      connections++
      const connection = inner.connect(url, events)
      return {
        ...connection,
        send: frame => {
          if (own !== generation && isPush(frame)) ignored++
          else connection.send(frame)
        },
      }
    },
  })
  return {
    network,
    deafen: () => {
      generation++
    },
    ignored: () => ignored,
    connections: () => connections,
  }
}

function isPush(frame: Uint8Array): boolean {
  const message = decodeReplicaMessage(frame)
  return message.type === 'push' && message.entries.some(({ header }) => !isZero(decodeHeader(header).space))
}

it('a push that is never answered does not keep an edit for ever on a connection that lives (R-RETRY-4)', async () => {
  const { network, deafen, ignored, connections } = deafNetwork()
  world = await openWorld({ hurry: 0.01, network, limits: DEFAULT_SYNC_LIMITS })
  const { annSpace, bobSpace, annNote, bobNote } = await openPair(world)
  await settle(annSpace, bobSpace)
  const before = connections()
  deafen()
  annNote.change(doc => {
    doc.body = 'heard after all'
  })
  // The relay answers everything but the push, for as long as it is given.
  await expect.poll(ignored, { interval: 2, timeout: 30_000 }).toBeGreaterThan(0)
  expect(annSpace.status.connection).toBe('online')
  await annSpace.sync({ timeout: world.patience(60_000) })
  await bobSpace.sync({ timeout: world.patience(60_000) })
  expect(bobNote.doc().body).toBe('heard after all')
  expect(annNote.receipt.state).toBe('proven')
  expect(connections()).toBeGreaterThan(before)
  expect(annSpace.problems).toEqual([])
})
