import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Push, SpaceView } from '../../relay-server/src/judge.ts'
import { judge } from '../../relay-server/src/judge.ts'
import { judgeVerified } from '../../relay-server/src/judge-verified.ts'
import { DEFAULT_LIMITS } from '../../relay-server/src/limits.ts'
import type { StoredEntry } from '../../relay-server/src/log-store.ts'
import { memoryLogStore } from '../../relay-server/src/log-store-memory.ts'
import type { Peer } from '../../relay-server/src/peer.ts'
import { type PushedEntry, readPush } from '../../relay-server/src/pushed-entry.ts'
import type { SignedHead } from '../../relay-server/src/signed-head.ts'
import type { SpaceSequencer } from '../../relay-server/src/space-sequencer.ts'
import { Staging } from '../../relay-server/src/staging.ts'
import { Subscription } from '../../relay-server/src/subscription.ts'
import { makePart } from '../../relay-server/src/sync-part.ts'
import { author, authorGenesis, makeDevice } from '../../relay-server/test/helpers/authoring.ts'
import { openWorld } from '../../relay-server/test/helpers/world.ts'
import { sha256 } from '../../src/crypto/hash.ts'
import { nobleVerifier, type SignatureCheck, verifySync } from '../../src/crypto/sign.ts'
import type { ActorId, DocumentId } from '../../src/ids.ts'
import { appendLeaves, emptyRange } from '../../src/verify/compact-range.ts'
import { actorsOf, findDocument, openActorsOf } from '../../src/verify/state.ts'
import { type BuiltEntry, bytesOf, DOCUMENT, LogBuilder, testDevice, verdictOf } from '../helpers/log-builder.ts'

function viewOf(log: LogBuilder): SpaceView {
  const hashes = log.entries.map(entry => entry.hash)
  return { space: log.space, range: appendLeaves(emptyRange, hashes), state: log.state }
}

function circumstancesOf(log: LogBuilder) {
  return { relay: log.relay, now: 0, seenRoots: new Map([[log.size, log.rootAt(log.size)]]) }
}

/** A push that counts how often somebody goes through it. */
class CountedPush extends Array<PushedEntry> {
  looks = 0
  override entries(): ReturnType<PushedEntry[]['entries']> {
    this.looks++
    return super.entries()
  }
}

function pushOf(entry: BuiltEntry, signature = entry.signature): CountedPush {
  const push = new CountedPush()
  for (const item of readPush([{ header: entry.header, body: entry.body, signature }], () => undefined)) {
    if ('header' in item) push[0] = item
  }
  return push
}

describe('pushes with signatures that do not hold', () => {
  it('are judged a few times each, not once for every other one in their group', async () => {
    const { log, writer } = LogBuilder.withWriter()
    // Each would be the next of one chain, so each is looked at only when the one before has turned out to be false.
    const count = 64
    const pushes = Array.from({ length: count }, (_, i) =>
      pushOf(log.changes(writer, { tag: bytesOf(`tag ${i}`) }), new Uint8Array(64)),
    )
    const judged = await judgeVerified(viewOf(log), pushes, circumstancesOf(log), nobleVerifier)
    expect(judged.refused.every(refusal => refusal?.error.code === 'ERR_SIGNATURE')).toBe(true)
    expect(pushes.reduce((sum, push) => sum + push.looks, 0)).toBeLessThan(6 * count)
  })

  it('change nothing about what becomes of the others: as if each push were judged and verified by itself', async () => {
    const { log, writer } = LogBuilder.withWriter()
    const view = viewOf(log)
    const circumstances = circumstancesOf(log)
    const pool = poolOf(log, writer)
    const isTrue = new Map<PushedEntry, boolean>()
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(pool.length - 1), fc.boolean()), { minLength: 1, maxLength: 14 }),
        async choices => {
          const pushes = choices.map(([i, good]) => {
            const entry = pool[i] as BuiltEntry
            const push = pushOf(entry, good ? entry.signature : new Uint8Array(64))
            isTrue.set(push[0] as PushedEntry, good)
            return push
          })
          const judged = await judgeVerified(view, pushes, circumstances, nobleVerifier)
          const expected = oneByOne(view, pushes, circumstances, isTrue)
          expect(judged.refused.map(item => item?.error.code)).toEqual(expected.codes)
          expect(judged.view.range).toEqual(expected.view.range)
          expect(judged.accepted.map(item => item.index)).toEqual(judged.accepted.map((_, i) => log.size + i))
        },
      ),
      { numRuns: 25 },
    )
  })

  /** A chain of the writer, alternatives to it, and an invite with its join. */
  function poolOf(log: LogBuilder, writer: ReturnType<typeof testDevice>): readonly BuiltEntry[] {
    const copy = LogBuilder.withWriter()
    expect(copy.log.space).toBe(log.space)
    const seen = { seenSize: log.size, seenRoot: log.rootAt(log.size) }
    const guest = testDevice('guest', copy.log.state?.control.count ?? 0)
    const own = testDevice('guest own', guest.number + 1)
    const chain = [0, 1, 2].map(() => copy.log.append(copy.log.changes(writer, seen)))
    const other = log.changes(writer, { ...seen, tag: bytesOf('another') })
    const invite = copy.log.append(copy.log.control(copy.log.owner, copy.log.inviteBody(guest), seen))
    const join = copy.log.append(copy.log.control(guest, copy.log.joinBody(own), seen))
    const first = copy.log.append(copy.log.changes(own, seen))
    return [...chain, other, invite, join, first]
  }

  function oneByOne(
    base: SpaceView,
    pushes: readonly Push[],
    circumstances: ReturnType<typeof circumstancesOf>,
    isTrue: ReadonlyMap<PushedEntry, boolean>,
  ): { view: SpaceView; codes: readonly (string | undefined)[] } {
    let view = base
    const codes = pushes.map(push => {
      const judged = judge(view, [push], { ...circumstances, verdictOf: entry => isTrue.get(entry) })
      view = judged.view
      return judged.refused[0]?.error.code
    })
    return { view, codes }
  }
})

describe('keys that nobody admitted', () => {
  it('are not even looked at: whether they may be keys is a question that costs milliseconds', async () => {
    const asked: SignatureCheck[] = []
    const verifier = {
      ...nobleVerifier,
      verify: async (check: SignatureCheck) => {
        asked.push(check)
        return verifySync(check)
      },
    }
    const world = await openWorld({ verifier })
    const replica = await world.connect()
    asked.length = 0
    for (let i = 0; i < 5; i++) replica.open(world.space, makeDevice(world.environment.random))
    replica.open('ab'.repeat(32) as typeof world.space, world.owner)
    await world.relay.deliverAll()
    expect(replica.rejects.map(reject => reject.code).sort()).toEqual([
      ...Array.from({ length: 5 }, () => 'ERR_UNAUTHORIZED'),
      'ERR_UNKNOWN_SPACE',
    ])
    expect(asked).toEqual([])
    replica.open(world.space, { ...world.owner, seed: bytesOf('somebody else') })
    await world.relay.deliverAll()
    expect(replica.rejects.at(-1)?.code).toBe('ERR_UNAUTHORIZED')
    expect(asked).toHaveLength(1)
  })
})

describe('a genesis of one space, pushed to another by somebody who is in neither', () => {
  it('does not make the relay look at that other space', async () => {
    let reads = 0
    const inner = memoryLogStore()
    const store = {
      ...inner,
      readSpace: (...args: Parameters<typeof inner.readSpace>) => {
        reads++
        return inner.readSpace(...args)
      },
    }
    const world = await openWorld({ store })
    const { random } = world.environment
    const stranger = makeDevice(random)
    const genesis = authorGenesis(random, stranger, world.relay)
    // After a restart nothing is in memory.
    world.relay.restart()
    const replica = await world.connect()
    reads = 0
    replica.push(world.space, genesis, author(random, stranger, world.genesis.hash, { header: { seenSize: 1 } }))
    await world.relay.deliverAll()
    expect(replica.rejects.map(reject => reject.code)).toEqual(['ERR_INVALID_ENTRY'])
    expect(reads).toBe(0)
  })
})

describe('a member who opens and retires actors without end', () => {
  it('does not make every new actor dearer: open ones are counted as they come and go', () => {
    const { log, writer } = LogBuilder.withWriter()
    const seen = { seenSize: 1, seenRoot: log.rootAt(1) }
    const incarnationOf = (i: number): Uint8Array => bytesOf(`incarnation ${i}`).slice(0, 8)
    let opened = 0
    const open = new Set<number>()
    fc.assert(
      fc.property(fc.array(fc.nat(20), { maxLength: 60 }), steps => {
        for (const step of steps) {
          const oldest = [...open][step % 20]
          if (oldest !== undefined && step < 8) {
            log.state = log.judge(log.retire(writer, { ...seen, incarnation: incarnationOf(oldest) })).state
            open.delete(oldest)
          } else if (open.size < 16) {
            log.state = log.judge(log.changes(writer, { ...seen, incarnation: incarnationOf(opened) })).state
            open.add(opened++)
          } else {
            const extra = log.changes(writer, { ...seen, incarnation: incarnationOf(opened) })
            expect(() => log.judge(extra)).toThrow('actors')
          }
          const record = log.state && findDocument(log.state, DOCUMENT)
          if (record === undefined) throw new Error('no document')
          const counted = [...actorsOf(record)].filter(actor => actor.device === writer.number && !actor.retired)
          expect(openActorsOf(record, writer.number)).toBe(counted.length)
          expect(openActorsOf({ ...record }, 99)).toBe(0)
        }
      }),
      { numRuns: 6 },
    )
  })
})

describe('uploads of next to nothing', () => {
  const SPACE = 'ab'.repeat(32) as LogBuilder['space']
  const put = (staging: Staging, hash: Uint8Array, length: number, offset: number, bytes: number): Promise<string> =>
    verdictOf(() =>
      staging.put({ type: 'put-body', ref: 1, space: SPACE, hash, length, offset, bytes: new Uint8Array(bytes) }),
    )

  it('leave nothing behind where they have no bytes', async () => {
    const total = { bytes: 0 }
    const staging = new Staging(DEFAULT_LIMITS, total)
    for (let i = 0; i < 3000; i++) expect(await put(staging, bytesOf(`${i}`), 5, 0, 0)).toBe('ERR_UNEXPECTED')
    // There is room for as many as before.
    for (let i = 0; i < 1024; i++) expect(await put(staging, bytesOf(`${i}`), 5, 0, 1)).toBe('accepted')
  })

  it('are at most 1,024 at a time, and a body has at most 1,024 parts', async () => {
    const total = { bytes: 0 }
    const staging = new Staging(DEFAULT_LIMITS, total)
    for (let i = 0; i < 1024; i++) await put(staging, bytesOf(`${i}`), 5, 0, 1)
    expect(await put(staging, bytesOf('one more'), 5, 0, 1)).toBe('ERR_LIMIT')
    staging.clear()
    expect(total.bytes).toBe(0)
    for (let i = 0; i < 1024; i++) expect(await put(staging, bytesOf('slow'), 1_000_000, i, 1)).toBe('accepted')
    expect(await put(staging, bytesOf('slow'), 1_000_000, 1024, 1)).toBe('ERR_LIMIT')
    expect(total.bytes).toBe(0)
  })
})

describe('a reader that asks without end and takes nothing', () => {
  it('is disconnected: what is owed to it does not grow for ever', () => {
    const closed: number[] = []
    const peer: Peer = {
      send: () => {},
      buffered: () => 0,
      drained: () => new Promise(() => {}),
      pause: () => {},
      resume: () => {},
      close: code => void closed.push(code),
    }
    const sequencer = { head: undefined, follow: () => {}, unfollow: () => {} } as unknown as SpaceSequencer
    let ended = 0
    const subscription = new Subscription({
      sequencer,
      device: 0,
      from: 0,
      wants: undefined,
      ref: 1,
      peer,
      onRead: () => {},
      onEnd: () => ended++,
    })
    subscription.start()
    for (let i = 0; i < 1024; i++) subscription.answer(i)
    expect(closed).toEqual([])
    subscription.refuse(new Uint8Array(1))
    expect(closed).toEqual([1013])
    expect(subscription.hasEnded).toBe(true)
    expect(ended).toBe(1)
  })
})

describe('a member who fills the log with large bodies', () => {
  it('does not make others hold more than one message leads to, 64 MiB, before they can apply any', async () => {
    const MIB = 1024 * 1024
    const entry: StoredEntry = {
      header: new Uint8Array(220),
      hash: sha256(),
      signature: new Uint8Array(64),
      document: 'd0'.repeat(16) as DocumentId,
      actor: 'ab'.repeat(16) as ActorId,
      seq: 0,
      isControl: false,
      isSnapshot: false,
      seenSize: 0,
      bodyLength: 16 * MIB,
      body: undefined,
      replaced: new Uint8Array(0),
    }
    const store = {
      ...memoryLogStore(),
      readNodes: async (_: string, places: readonly unknown[]) => places.map(() => sha256()),
    }
    const head = { note: new Uint8Array(500), checkpoint: { size: 100 } } as unknown as SignedHead
    const space = 'ab'.repeat(32) as LogBuilder['space']
    const entries = Array.from({ length: 100 }, () => entry)
    expect((await makePart(store, space, 0, entries, head)).end).toBe(4)
    const huge = entries.map(item => ({ ...item, bodyLength: 64 * MIB }))
    expect((await makePart(store, space, 0, huge, head)).end).toBe(1)
    const small = entries.map(item => ({ ...item, bodyLength: 100, body: new Uint8Array(100) }))
    expect((await makePart(store, space, 0, small, head)).end).toBe(100)
  })
})
