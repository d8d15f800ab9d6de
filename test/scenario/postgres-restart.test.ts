import { setTimeout as sleep } from 'node:timers/promises'
import { type RelayServer, startRelay } from 'sealog-relay'
import { afterEach, beforeAll, expect, onTestFinished, test } from 'vitest'
import { postgresLogStore } from '../../relay-server/src/log-store-postgres.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import { openOnPlatform } from '../../src/open-replica.ts'
import { nodeWebSocketTransport } from '../../src/relay/websocket-node.ts'
import type { Replica } from '../../src/replica.ts'
import { writersAt } from '../crash/scene.ts'
import { startProxy } from '../crash/tcp-proxy.ts'
import { initializeAutomerge } from '../helpers/automerge.ts'
import { testFolder } from '../helpers/folder.ts'
import { describePostgres } from '../helpers/postgres.ts'

interface Journal {
  ids: string[]
}

const TIMEOUT = 30_000
const NONE = { lost: 0, conflictingHeads: 0, faults: [] }

let relay: RelayServer | undefined

beforeAll(() => initializeAutomerge())

afterEach(async () => {
  await relay?.close()
  relay = undefined
})

async function serving(url: string): Promise<RelayServer> {
  // A statement that gets no answer is given up early, as the tests wait for it.
  const store = postgresLogStore({ url, timeout: 1500, connectTimeout: 1500 })
  relay = await startRelay({ data: testFolder(), port: 0, name: 'relay.test', store })
  return relay
}

async function replicaAt(url: string, name: string): Promise<Replica> {
  const replica = await openOnPlatform(
    { store: memoryStore(), relay: url, profile: { name } },
    nodeWebSocketTransport(),
  )
  onTestFinished(() => replica.close())
  return replica
}

/** Two people with one journal, in which both write. */
async function journalAt(url: string) {
  const [ann, bob] = [await replicaAt(url, 'Ann'), await replicaAt(url, 'Bob')]
  const annSpace = await ann.createSpace({ name: 'Journal', timeout: TIMEOUT })
  const annJournal = await annSpace.createDocument<Journal>({ ids: [] }, { name: 'Journal' })
  const bobSpace = await bob.joinSpace(await annSpace.invite({ timeout: TIMEOUT }), { timeout: TIMEOUT })
  await bobSpace.sync({ timeout: TIMEOUT })
  const bobJournal = await bobSpace.openDocument<Journal>(annJournal.id)
  const codes = new Set<string>()
  for (const space of [annSpace, bobSpace]) {
    space.on('problem', ({ problem }) => void codes.add(problem.code))
  }
  let count = 0
  return {
    /** What was shown to either. */
    codes,
    write() {
      annJournal.change(doc => void doc.ids.push(`ann ${count}`))
      bobJournal.change(doc => void doc.ids.push(`bob ${count}`))
      count++
    },
    async expectWhole() {
      for (const space of [annSpace, bobSpace, annSpace, bobSpace]) await space.sync({ timeout: TIMEOUT })
      const expected = Array.from({ length: count }, (_, i) => [`ann ${i}`, `bob ${i}`]).flat()
      expect([...annJournal.doc().ids].sort()).toEqual(expected.sort())
      expect(bobJournal.doc()).toEqual(annJournal.doc())
      expect(bobJournal.heads()).toEqual(annJournal.heads())
    },
  }
}

describePostgres('a relay on PostgreSQL goes on by itself, and nothing acknowledged is lost (R-PUSH-7)', cluster => {
  test('when the server crashes under load and is started again', { timeout: 60_000 }, async () => {
    const { url } = await serving(await cluster.createDatabase())
    const scene = await writersAt([url], identity())
    const journal = await journalAt(url)
    for (let crash = 0; crash < 2; crash++) {
      await scene.acknowledges(10)
      const refused = scene.refuses('ERR_RELAY_STORAGE')
      await cluster.stop('immediate')
      journal.write()
      await refused
      journal.write()
      await cluster.start()
      await scene.acknowledges(10)
      journal.write()
    }
    await journal.expectWhole()
    expect([...journal.codes]).toEqual(['ERR_RELAY_STORAGE'])
    expect(await scene.verdict()).toEqual(NONE)
  })

  test('when nothing passes between relay and server, and then every connection breaks', {
    timeout: 60_000,
  }, async () => {
    const direct = new URL(await cluster.createDatabase())
    const proxy = await startProxy([direct.href])
    onTestFinished(() => proxy.close())
    direct.port = `${proxy.port}`
    const { url } = await serving(direct.href)
    const scene = await writersAt([url], identity())
    const journal = await journalAt(url)
    // Shorter than what the relay waits for an answer, and longer.
    for (const silence of [300, 8000]) {
      await scene.acknowledges(10)
      proxy.stall()
      journal.write()
      await sleep(silence)
      proxy.reset()
      await scene.acknowledges(10)
      journal.write()
    }
    expect(scene.ledger.refusals.get('ERR_RELAY_STORAGE')).toBeGreaterThan(0)
    await journal.expectWhole()
    expect([...journal.codes]).toEqual(['ERR_RELAY_STORAGE'])
    expect(await scene.verdict()).toEqual(NONE)
  })
})

function identity() {
  if (relay === undefined) throw new Error('no relay')
  return { name: relay.name, key: relay.key }
}
