import { randomBytes } from 'node:crypto'
import { type LoopbackOptions, loopbackRelay, memoryLogStore } from 'sealog-relay/testing'
import { describe, expect, it, onTestFinished } from 'vitest'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import { defaultVerifier } from '../../src/crypto/sign-backend.ts'
import { platformEnvironment } from '../../src/environment-platform.ts'
import { Replica } from '../../src/replica.ts'
import type { ReplicaOptions } from '../../src/replica-options.ts'
import type { Space } from '../../src/space.ts'
import { initializeAutomerge } from '../helpers/automerge.ts'

const TOKEN = 'a token of sixteen bytes'
/** Of the replicas, whose time goes ten times as fast. */
const timeout = 100_000

interface Numbers {
  list: number[]
}

/**
 * Replicas, and a relay with these limits, which may be changed: they hold from its next restart on. Its clock moves by
 * `later` alone.
 */
async function limited(options: Omit<LoopbackOptions, 'environment'> = {}) {
  await initializeAutomerge()
  const environment = platformEnvironment()
  const verifier = await defaultVerifier()
  let now = environment.now()
  const relay = loopbackRelay({ environment: { ...environment, now: () => now }, verifier, ...options })
  // Waiting takes a tenth of the time, so that what is retried after 30 seconds is within a test.
  const hurried = { ...environment, schedule: (ms: number, task: () => void) => environment.schedule(ms / 10, task) }
  const open = async (name: string, more: Partial<ReplicaOptions> = {}): Promise<Replica> => {
    const replica = await Replica.open(
      { store: memoryStore(), relay: 'ws://relay.test', profile: { name }, ...more },
      { transport: relay, environment: hurried, verifier },
    )
    onTestFinished(() => replica.close())
    return replica
  }
  const later = (ms: number): void => {
    now += ms
  }
  return { relay, open, later }
}

const codesOf = (space: Space): readonly string[] => space.problems.map(problem => problem.code)

async function until(holds: () => boolean, what: string): Promise<void> {
  const end = Date.now() + timeout / 10
  while (!holds()) {
    if (Date.now() > end) throw new Error(`waiting for ${what}`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

describe('a replica that goes too fast for its relay (R-QUOTA-4)', () => {
  it('shows it, waits as long as it is told, and loses nothing', async () => {
    const limits: { entriesPerDevice?: number; burstTime: number } = { entriesPerDevice: 1, burstTime: 1000 }
    const { relay, open, later } = await limited({ limits })
    const ann = await open('Ann')
    const space = await ann.createSpace({ timeout })
    const note = await space.createDocument<Numbers>({ list: [] })
    // The relay's clock stands still, so its patience is used up at some point.
    while (!codesOf(space).includes('ERR_RATE_LIMITED')) {
      note.change(doc => {
        doc.list.push(doc.list.length)
      })
      await new Promise(resolve => setTimeout(resolve, 50))
    }
    const written = [...note.doc().list]
    expect(note.receipt.state).not.toBe('proven')
    later(60_000)
    await note.receipt.proven({ timeout })

    delete limits.entriesPerDevice
    relay.restart()
    await space.sync({ timeout })
    expect(codesOf(space)).toEqual([])
    const bob = await open('Bob')
    const theirs = await bob.joinSpace(await space.invite({ timeout }), { timeout })
    await theirs.sync({ timeout })
    expect((await theirs.openDocument<Numbers>(note.id)).doc().list).toEqual(written)
  })
})

describe('a relay that bounds what a device reads (R-QUOTA-5)', () => {
  it('serves keys when it said that it would; until then what they open waits, and all else is taken', async () => {
    const limits: { readBytesPerDevice?: number; burstTime: number } = { burstTime: 1000 }
    const { relay, open, later } = await limited({ limits })
    const space = await (await open('Ann')).createSpace({ timeout })
    const note = await space.createDocument<Numbers>({ list: [] })
    await note.receipt.proven({ timeout })
    const replica = await open('Late')
    const late = await replica.joinSpace(await space.invite({ history: 'from-join', timeout }), { timeout })
    await until(() => late.status.local.pending === 0, 'the join')
    await late.sync({ timeout })
    late.pause()
    // Each of these taints the epoch, so that another one starts.
    for (let i = 0; i < 3; i++) await space.revokeInvite(await space.invite({ timeout }), { timeout })
    const fresh = await space.createDocument<Numbers>({ list: [1] })
    await fresh.receipt.proven({ timeout })
    await space.sync({ timeout })
    // What catching up costs uses it up, and the relay's clock stands still.
    limits.readBytesPerDevice = 1
    relay.restart()
    late.resume()
    await until(() => codesOf(late).includes('ERR_RATE_LIMITED'), 'the refusal')
    await until(() => late.status.confirmed.size === space.status.confirmed.size, 'the entries')
    expect(late.documents().map(({ id }) => id)).not.toContain(fresh.id)
    // Other requests of the device take their share of what it may read.
    const hasKeys = (): boolean => {
      later(2000)
      return codesOf(late).length === 0 && late.documents().some(({ id }) => id === fresh.id)
    }
    await until(hasKeys, 'the keys')
    const opened = await late.openDocument<Numbers>(fresh.id)
    await until(() => {
      later(2000)
      return opened.doc().list?.join() === '1'
    }, 'the document')
  })
})

describe('a relay that has no room for uploads', () => {
  it('is asked again later; what else there is to say to it is said meanwhile', async () => {
    const limits: { stagedBytes?: number } = { stagedBytes: 100_000 }
    const { relay, open } = await limited({ limits })
    const space = await (await open('Ann')).createSpace({ timeout })
    const large = await space.createDocument({ bytes: new Uint8Array(randomBytes(400_000)) })
    await until(() => codesOf(space).includes('ERR_RATE_LIMITED'), 'the refusal')
    await space.invite({ timeout })
    expect(large.receipt.state).not.toBe('proven')
    limits.stagedBytes = 1e9
    relay.restart()
    await space.sync({ timeout })
    expect([codesOf(space), large.receipt.state]).toEqual([[], 'proven'])
  })
})

describe('a space that is full (R-QUOTA-4)', () => {
  it('keeps what does not fit on the device, says so until it fits, and still removes members at once', async () => {
    const limits: { spaceBytes?: number } = {}
    const store = memoryLogStore()
    const { relay, open } = await limited({ limits, store })
    const ann = await open('Ann')
    const space = await ann.createSpace({ timeout })
    const note = await space.createDocument<Numbers>({ list: [] })
    const bob = await open('Bob')
    const theirs = await bob.joinSpace(await space.invite({ timeout }), { timeout })
    await Promise.all([space.sync({ timeout }), theirs.sync({ timeout })])
    limits.spaceBytes = (await store.readSize(space.id)).bytes + 10
    relay.restart()
    note.change(doc => {
      doc.list.push(1)
    })
    await until(() => codesOf(space).includes('ERR_QUOTA'), 'the refusal')
    expect(note.doc().list).toEqual([1])
    expect(note.receipt.state).not.toBe('proven')
    await expect(space.invite({ timeout })).rejects.toMatchObject({ code: 'ERR_QUOTA' })

    const other = space.members().find(member => !member.me)
    await space.removeMember(other?.id ?? '', { timeout })
    expect(space.members().map(member => member.me)).toEqual([true])
    expect(theirs.id).toBe(space.id)
    await until(() => codesOf(space).includes('ERR_QUOTA'), 'the refusal, again')

    limits.spaceBytes = 0
    relay.restart()
    await space.sync({ timeout })
    expect([codesOf(space), note.receipt.state]).toEqual([[], 'proven'])
  })
})

describe('a relay that does not let everybody create spaces (R-GATE-3)', () => {
  const creation = { kind: 'tokens', tokens: [TOKEN] } as const

  it('lets in who has a token, by the space or by the address', async () => {
    const { open } = await limited({ creation })
    const ann = await open('Ann')
    const space = await ann.createSpace({ admission: TOKEN, timeout })
    await space.sync({ timeout })
    const bob = await open('Bob', { relay: { url: 'ws://relay.test', token: TOKEN } })
    await (await bob.createSpace({ timeout })).sync({ timeout })
    await expect(bob.createSpace({ admission: 'of no use to anybody', timeout })).resolves.toBeDefined()
  })

  it('is told apart from one that is away: sync says so, nothing is lost, and a token given later opens the door', async () => {
    const { open } = await limited({ creation })
    const store = memoryStore()
    const ann = await open('Ann', { store })
    const space = await ann.createSpace({ timeout })
    const note = await space.createDocument<Numbers>({ list: [] })
    note.change(doc => {
      doc.list.push(1)
    })
    await expect(space.sync({ timeout })).rejects.toMatchObject({ code: 'ERR_UNAUTHORIZED' })
    expect(codesOf(space)).toEqual(['ERR_UNAUTHORIZED'])
    await expect(space.invite({ timeout })).rejects.toMatchObject({ code: 'ERR_UNAUTHORIZED' })
    await space.setAdmission('a wrong token of many bytes')
    await expect(space.sync({ timeout })).rejects.toMatchObject({ code: 'ERR_UNAUTHORIZED' })

    note.change(doc => {
      doc.list.push(2)
    })
    await space.setAdmission(TOKEN)
    await space.sync({ timeout })
    expect([codesOf(space), note.receipt.state]).toEqual([[], 'proven'])
    await space.setAdmission('too late to matter, and harmless')
    const bob = await open('Bob')
    const theirs = await bob.joinSpace(await space.invite({ timeout }), { timeout })
    await theirs.sync({ timeout })
    expect((await theirs.openDocument<Numbers>(note.id)).doc().list).toEqual([1, 2])
  })

  it('is shown the token after a restart too, as long as it does not have the space', async () => {
    const { relay, open } = await limited({ creation })
    const store = memoryStore()
    const first = await open('Ann', { store })
    // First contact, so that the space can be made offline.
    await (await first.createSpace({ admission: TOKEN, timeout })).sync({ timeout })
    relay.stop()
    const space = await first.createSpace({ admission: TOKEN, timeout })
    await first.close()
    relay.restart()
    const again = await open('Ann', { store })
    await (await again.openSpace(space.id)).sync({ timeout })
  })

  it.each(['', 'x'.repeat(257), '\ud800', 7])('is not shown what is no token: %j', async token => {
    const { open } = await limited()
    const ann = await open('Ann')
    await expect(ann.createSpace({ admission: token as string, timeout })).rejects.toThrow(TypeError)
    await expect(open('Bob', { relay: { url: 'ws://relay.test', token: token as string } })).rejects.toThrow(TypeError)
  })

  it('never shows the token to who reads its problems', async () => {
    const { open } = await limited({ creation })
    const space = await (await open('Ann')).createSpace({ admission: 'the secret of somebody else', timeout })
    await expect(space.sync({ timeout })).rejects.toThrow()
    expect(JSON.stringify(space.problems)).not.toContain('secret')
  })
})
