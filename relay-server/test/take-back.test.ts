import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type DocumentId, generateSeed, nobleSigningKey, type PushEntry, parseNote, rootOf } from 'sealog/protocol'
import { describe, expect, test } from 'vitest'
import { testFolder } from '../../test/helpers/folder.ts'
import { visitBackup } from '../src/backup-visit.ts'
import { fsckCommand } from '../src/command-fsck.ts'
import { takeBackCommand } from '../src/command-take-back.ts'
import type { LogRecord } from '../src/log-record.ts'
import type { Append, KeptHead, LogStore, StoredHead } from '../src/log-store.ts'
import { failingLogStore } from '../src/log-store-failing.ts'
import { memoryContent, memoryLogStore } from '../src/log-store-memory.ts'
import type { MemorySpace } from '../src/log-store-memory-reading.ts'
import { sqliteLogStore } from '../src/log-store-sqlite.ts'
import { loopbackRelay } from '../src/loopback.ts'
import { type Authored, pushEntryOf } from './helpers/authoring.ts'
import { TestReplica } from './helpers/replica.ts'
import { runCommand } from './helpers/stored-world.ts'
import { admit, openWorld } from './helpers/world.ts'

const NOTES = 'd1'.repeat(16) as DocumentId

/** Where the standby keeps its copy: opened anew each time, as by another process. */
const STANDBYS: Readonly<Record<string, () => () => LogStore>> = {
  memory: () => {
    const content = memoryContent()
    return () => memoryLogStore(content)
  },
  SQLite: () => {
    const file = join(testFolder(), 'relay.db')
    return () => sqliteLogStore(file)
  },
}

interface FailoverOptions {
  /** Entries that were signed and are not in the copy. */
  readonly lost: number
  /** Entries that a process appended to the copy, and could not sign. */
  readonly unsigned: number
}

/**
 * A relay whose database fails over to a copy that lacks what came last. A process that did not know appends to the copy;
 * what it would sign is refused, as the heads are not in the copy and another note is kept there.
 */
async function failover(standby: () => LogStore, { lost, unsigned }: FailoverOptions) {
  const signingKey = nobleSigningKey(generateSeed(length => new Uint8Array(length).fill(7)))
  const records: LogRecord[] = []
  const log = (record: LogRecord): void => void records.push(record)
  const steps: (Append | StoredHead)[] = []
  const inner = memoryLogStore()
  const first: LogStore = {
    ...inner,
    async append(append) {
      await inner.append(append)
      steps.push(append)
    },
    async putHead(id, head, after) {
      await inner.putHead(id, head, after)
      steps.push(head)
    },
  }
  const world = await openWorld({ store: first, signingKey })
  const { space, owner, environment } = world
  const replica = await world.reader()
  const write = async (count: number): Promise<void> => {
    replica.push(space, ...Array.from({ length: count }, () => world.entry(replica, owner, { document: NOTES })))
    await world.relay.deliverAll()
    await replica.follow(space)
  }
  const anna = await admit(world, replica)
  await write(3)
  const copied = [...steps]
  const left = replica.view?.range.size as number
  const hers: readonly Authored[] = Array.from({ length: unsigned }, () =>
    world.entry(replica, anna, { document: NOTES }),
  )
  await write(lost)
  const head = (await inner.readHead(space)) as StoredHead
  await world.relay.close()

  // The copy, and what a process appended to it that died, or was refused, before it had signed.
  const copy = standby()
  await copy.open()
  for (const step of copied) await ('from' in step ? copy.append(step) : copy.putHead(space, step))
  await copy.close()
  const failing = failingLogStore(standby(), { counted: ['putHead'], failAt: 1, code: 'ERR_STORE' })
  const late = loopbackRelay({ environment, signingKey, store: failing })
  const author = new TestReplica(late)
  await late.deliverAll()
  author.open(space, anna, left)
  await late.deliverAll()
  author.push(space, ...hers)
  await late.deliverAll()
  expect(author.rejects.map(({ code }) => code)).toContain('ERR_RELAY_STORAGE')
  await late.close()

  const after = standby()
  await after.open()
  expect((await after.readSize(space)).size).toBe(left + unsigned)
  const identity = { name: world.relay.name, key: world.relay.key }
  await after.writeIdentity(identity)
  await after.raiseHead(space, head)
  await after.close()
  const open = async (): Promise<LogStore> => {
    const store = standby()
    await store.open()
    return store
  }
  const serve = async () => {
    const relay = loopbackRelay({ environment, signingKey, store: standby(), log })
    const member = new TestReplica(relay)
    await relay.deliverAll()
    member.open(space, owner, left)
    await relay.deliverAll()
    return { relay, member }
  }
  const takeBack = (given: Record<string, string | boolean>) =>
    runCommand(takeBackCommand, open, { space, ...given }, { key: identity.key })
  return { world, replica, left, head, hers, anna, records, open, serve, takeBack, identity }
}

type Failover = Awaited<ReturnType<typeof failover>>

/** The whole log that was signed, as a member has it. */
function signedEntries({ replica }: Failover): readonly PushEntry[] {
  return replica.syncs
    .flatMap(({ batch }) => batch.entries)
    .map(({ header, signature, body }) => ({ header, signature: signature ?? new Uint8Array(64), body }))
}

/** A member gives back what was signed, and everybody goes on with it; whoever was never answered pushes again. */
async function expectHealed(after: Failover): Promise<void> {
  const { world, left, head, hers, anna, serve } = after
  const { space } = world
  const { relay, member } = await serve()
  expect(member.rejects).toMatchObject([{ code: 'ERR_RELAY_BEHIND', position: left }])
  const ref = member.ref()
  const parts = signedEntries(after).slice(left, head.size)
  member.send({ type: 'restore', ref, space, note: head.note, from: left, entries: parts, more: false })
  await relay.deliverAll()
  expect(member.messages.some(message => message.type === 'received' && message.ref === ref)).toBe(true)
  const reader = new TestReplica(relay)
  await relay.deliverAll()
  reader.open(space, anna, 0)
  await relay.deliverAll()
  const view = await reader.follow(space)
  expect(rootOf(view.range)).toEqual(parseNote(head.note).checkpoint.root)
  reader.send({ type: 'push', ref: reader.ref(), space, entries: hers.map(pushEntryOf) })
  await relay.deliverAll()
  expect(reader.rejects).toEqual([])
  expect((await reader.follow(space)).range.size).toBe(head.size + hers.length)
  await relay.close()
}

describe.each(Object.entries(STANDBYS))('a failover to a copy in %s that lagged behind', (_name, standby) => {
  test('what was never signed stands in the way, is taken back by one command, and members give back the rest', async () => {
    const after = await failover(standby(), { lost: 2, unsigned: 2 })
    const { serve, records, takeBack, open, left, world, head } = after
    const { relay, member } = await serve()
    expect(member.rejects).toMatchObject([{ code: 'ERR_RELAY_STORAGE' }])
    expect(records).toMatchObject([{ event: 'space-refused', reason: expect.stringContaining('another root') }])
    await relay.close()

    const file = join(testFolder(), 'copy')
    const dry = await takeBack({ 'dry-run': true })
    expect(dry.code).toBe(0)
    expect(dry.lines[0]).toBe(
      `space ${world.space}: 2 entries from ${left} on are not those that were signed, which are ${head.size}`,
    )
    expect(dry.lines.slice(1)).toEqual([
      expect.stringMatching(
        new RegExp(`^entry ${left}: changes of document d1d1.*, by device \\d+, number 0 of its chain, \\d+ bytes$`),
      ),
      expect.stringMatching(new RegExp(`^entry ${left + 1}: changes of document d1d1.*, number 1 of its chain`)),
    ])
    const untouched = await open()
    expect((await untouched.readSize(world.space)).size).toBe(left + 2)
    await untouched.close()

    const done = await takeBack({ to: file })
    expect([done.code, done.errors]).toEqual([0, []])
    const copied: number[] = []
    await visitBackup(file, {
      begin: async () => {},
      async space({ size }) {
        copied.push(size)
        return undefined
      },
      ended: async () => {},
      refused: () => {},
      mailboxes: async () => {},
    })
    expect(copied).toEqual([left + 2])
    const findings = await runCommand(fsckCommand, open, {}, { key: after.identity.key })
    expect(findings.lines[0]).toMatch(/^behind: .* 2 of \d+ entries that were signed are lost$/)
    expect(findings.lines).toHaveLength(2)
    await expect(takeBack({ to: `${file}-2` })).rejects.toMatchObject({ code: 'ERR_STORE' })
    expect(existsSync(`${file}-2`)).toBe(false)
    await expectHealed(after)
  })

  test('where the copy is shorter than what was signed nobody can tell, and nothing is done without the word of the operator', async () => {
    const after = await failover(standby(), { lost: 3, unsigned: 1 })
    const { serve, takeBack, left, open, world } = after
    // The relay takes it for a beginning, and what members give back does not follow.
    const { relay, member } = await serve()
    expect(member.rejects).toMatchObject([{ code: 'ERR_RELAY_BEHIND', position: left + 1 }])
    const entries = signedEntries(after).slice(left + 1, after.head.size)
    member.send({
      type: 'restore',
      ref: member.ref(),
      space: world.space,
      note: after.head.note,
      from: left + 1,
      entries,
      more: false,
    })
    await relay.deliverAll()
    expect(after.records.map(({ event }) => event)).toContain('restore-refused')
    await relay.close()
    const file = join(testFolder(), 'copy')
    const refused = await takeBack({ to: file })
    expect([refused.code, refused.errors]).toEqual([1, [expect.stringMatching(/^nothing was changed: .*--unproven$/)]])
    expect(refused.lines[0]).toContain('whether these are among them is not known')
    const untouched = await open()
    expect((await untouched.readSize(world.space)).size).toBe(left + 1)
    await untouched.close()
    expect(existsSync(file)).toBe(false)
    expect((await takeBack({ to: file, unproven: true })).code).toBe(0)
    await expectHealed(after)
  })
})

describe('what was signed is never taken back (R-OPS-7)', () => {
  async function whole(content = memoryContent()) {
    const store = memoryLogStore(content)
    const world = await openWorld({ store })
    const replica = await world.reader()
    for (let i = 0; i < 2; i++) {
      replica.push(world.space, world.entry(replica, world.owner, { document: NOTES }))
      await world.relay.deliverAll()
      await replica.follow(world.space)
    }
    const { space, relay } = world
    await store.writeIdentity({ name: relay.name, key: relay.key })
    const run = (given: Record<string, string | boolean> = {}) => {
      const open = async (): Promise<LogStore> => {
        const other = memoryLogStore(content)
        await other.open()
        return other
      }
      const options = { space, 'dry-run': true, unproven: true, ...given }
      return runCommand(takeBackCommand, open, options, { key: relay.key })
    }
    return { content, store, world, replica, run, head: content.heads.get(space) as StoredHead }
  }

  const refusal = (message: RegExp) => ({ code: 'ERR_STORE', message: expect.stringMatching(message) })

  test('of a log that is as it was signed', async () => {
    const { run } = await whole()
    await expect(run()).rejects.toMatchObject(refusal(/it is the log that was signed for 3/))
  })

  test('of one that is not signed yet, as after a crash: the relay signs it at its next start', async () => {
    const { run, content, world } = await whole()
    content.heads.delete(world.space)
    await expect(run()).rejects.toMatchObject(refusal(/nothing is known to be signed/))
  })

  test('where the note is older than the last append', async () => {
    const { run, content, world, replica, head } = await whole()
    const note = replica.syncs.map(({ batch }) => batch.note).find(bytes => parseNote(bytes).checkpoint.size === 2)
    const { time } = parseNote(note as Uint8Array).checkpoint
    content.heads.set(world.space, { ...head, size: 2, time, latest: time, abandoned: 0, note: note as Uint8Array })
    await expect(run()).rejects.toMatchObject(refusal(/2 entries that were signed are older/))
  })

  test('where the note is not the relay’s, or what is to stay does not hold', async () => {
    const { run, content, world, head } = await whole()
    const note = head.note.with(-3, (head.note.at(-3) as number) ^ 1)
    content.heads.set(world.space, { ...head, note, latest: head.time, abandoned: 0 })
    await expect(run()).rejects.toMatchObject({ code: expect.stringMatching(/ERR_CHECKPOINT|ERR_MALFORMED/) })
    content.heads.set(world.space, { ...head, latest: head.time, abandoned: 0 })
    const entries = content.spaces.get(world.space)?.entries ?? []
    entries[1] = { ...(entries[1] as (typeof entries)[number]), signature: new Uint8Array(64).fill(1) }
    await expect(run()).rejects.toMatchObject({
      code: 'ERR_STORE_CORRUPT',
      message: expect.stringMatching(/entry 1, which is to stay/),
    })
  })

  test('where it is not known what came last, as in a store of a former version', async () => {
    const { run, content, world } = await whole()
    const space = content.spaces.get(world.space)
    if (space !== undefined) space.base = undefined
    await expect(run()).rejects.toMatchObject(refusal(/appended last is not known/))
  })

  test('where a part of the end was signed and acknowledged before a member showed the longer log of before', async () => {
    const content = memoryContent()
    const { run, world, replica, store } = await whole(content)
    const { space, owner, relay, environment } = world
    const anna = await admit(world, replica)
    const left = replica.view?.range.size as number
    const hers = world.entry(replica, anna, { document: NOTES })
    const standby = structuredClone(content.spaces.get(space)) as MemorySpace
    const copiedHead = content.heads.get(space) as KeptHead
    for (let i = 0; i < 3; i++) {
      replica.push(space, world.entry(replica, owner, { document: NOTES }))
      await relay.deliverAll()
      await replica.follow(space)
    }
    const { note } = content.heads.get(space) as KeptHead
    // Log and heads fail over together, and the relay takes and signs another entry.
    content.spaces.set(space, standby)
    content.heads.set(space, copiedHead)
    relay.restart()
    environment.advance(1000)
    const author = new TestReplica(relay)
    await relay.deliverAll()
    author.open(space, anna, left)
    await relay.deliverAll()
    author.push(space, hers)
    await relay.deliverAll()
    expect(author.rejects).toEqual([])
    expect(content.heads.get(space)?.size).toBe(left + 1)
    const member = new TestReplica(relay)
    await relay.deliverAll()
    const entries = replica.syncs
      .flatMap(({ batch }) => batch.entries)
      .map(({ header, signature, body }) => ({ header, signature: signature ?? new Uint8Array(64), body }))
      .slice(left + 1)
    member.send({ type: 'restore', ref: member.ref(), space, note, from: left + 1, entries, more: false })
    await relay.deliverAll()
    expect(member.rejects).toHaveLength(1)
    expect(content.heads.get(space)).toMatchObject({ size: left + 3, note })
    await expect(run()).rejects.toMatchObject(refusal(/signed later than the one that is kept/))
    await expect(run({ 'dry-run': false, to: join(testFolder(), 'copy') })).rejects.toMatchObject({ code: 'ERR_STORE' })
    expect((await store.readSize(space)).size).toBe(left + 1)
  })

  test('without a place for the copy nothing is done', async () => {
    const { run } = await whole()
    await expect(run({ 'dry-run': false })).rejects.toThrow(/^--to is missing/)
  })
})
