import type { LogStore, StateRows } from './log-store.ts'
import { type Check, equal, failingSteps, type LogStorePlace, rejects } from './log-store-contract-checks.ts'
import { COSIGNED_CASES } from './log-store-contract-cosigned.ts'
import { HEAD_CASES } from './log-store-contract-heads.ts'
import { MAILBOX_CASES } from './log-store-contract-mailboxes.ts'
import { READING_CASES } from './log-store-contract-reading.ts'
import {
  actorId,
  actorRow,
  bytes,
  documentId,
  EVERYTHING,
  head,
  kept,
  lengthOf,
  OTHER_SPACE,
  SPACE,
  sampleAppend,
  sortedRows,
  spaceAfter,
  WHOLE,
  withBody,
} from './log-store-contract-samples.ts'
import { SIZE_CASES } from './log-store-contract-sizes.ts'
import { UNDO_CASES } from './log-store-contract-undo.ts'
import { UPKEEP_CASES } from './log-store-contract-upkeep.ts'
import { WRAP_CASES } from './log-store-contract-wraps.ts'

export interface LogStoreContractCase {
  /** The promise that is checked. */
  readonly name: string
  /** Rejects with what was broken. */
  run(): Promise<void>
}

/** The acceptance suite of `LogStore`, for stores of any kind; it needs no test library. */
export function logStoreContract(makePlace: () => LogStorePlace): readonly LogStoreContractCase[] {
  return contractCases(makePlace, {
    ...CASES,
    ...SIZE_CASES,
    ...HEAD_CASES,
    ...READING_CASES,
    ...COSIGNED_CASES,
    ...WRAP_CASES,
    ...MAILBOX_CASES,
    ...UPKEEP_CASES,
    ...UNDO_CASES,
  })
}

/** Each check with a place of its own, at the end of which its stores are closed. */
export function contractCases(
  makePlace: () => LogStorePlace,
  checks: Readonly<Record<string, Check>>,
): readonly LogStoreContractCase[] {
  return Object.entries(checks).map(([name, check]) => ({
    name,
    async run() {
      const place = makePlace()
      const stores: LogStore[] = []
      try {
        await check(place, async onStatement => {
          const store = place.store(onStatement)
          stores.push(store)
          await store.open()
          return store
        })
      } finally {
        for (const store of stores) await store.close()
        await place.remove?.()
      }
    },
  }))
}

const CASES: Readonly<Record<string, Check>> = {
  'the identity is written once': async (_, opened) => {
    const store = await opened()
    equal(await store.readIdentity(), undefined)
    await store.writeIdentity({ name: 'relay.example', key: bytes(32, 1) })
    await rejects(store.writeIdentity({ name: 'relay.test', key: bytes(32, 2) }), 'ERR_STORE_LOCKED')
    equal(await store.readIdentity(), { name: 'relay.example', key: bytes(32, 1) })
  },

  'a space without entries is not there': async (_, opened) => {
    const store = await opened()
    equal(await store.readSpace(SPACE), undefined)
    equal(await store.readEntries(SPACE, EVERYTHING), [])
    equal(await store.readBody(SPACE, 0, 0, 10), undefined)
    equal(await store.readChoice(SPACE, { kind: 'control', from: 0, to: 10 }, WHOLE), [])
    equal(await store.readCosigned(SPACE), [])
    await rejects(store.readNodes(SPACE, [[0, 0]]), 'ERR_STORE_CORRUPT')
  },

  'what was appended is there, whole': async (_, opened) => {
    const store = await opened()
    const append = sampleAppend({ from: 0, count: 3 })
    await store.append(append)
    equal(await store.readSpace(SPACE), spaceAfter(append))
    equal(await store.readEntries(SPACE, EVERYTHING), append.entries)
    equal(
      await store.readNodes(SPACE, [
        [0, 2],
        [1, 0],
      ]),
      [append.entries[2]?.hash, append.nodes[0]?.[2]],
    )
    await rejects(store.readNodes(SPACE, [[1, 1]]), 'ERR_STORE_CORRUPT')
  },

  'a later append changes the rows that it has, and keeps the others': async (_, opened) => {
    const store = await opened()
    const sample = sampleAppend({ from: 0, count: 2 })
    const member = { name: 'member/1', value: bytes(50, 7) }
    const first = { ...sample, state: { ...sample.state, control: [...sample.state.control, member] } }
    await store.append(first)
    const state: StateRows = {
      control: [
        { name: 'core', value: bytes(30, 8) },
        { name: 'device/1', value: bytes(70, 9) },
      ],
      documents: [{ document: documentId(2), value: bytes(20, 9) }],
      actors: [actorRow(1, 1, 99), actorRow(2, 1, 3)],
    }
    const second = { ...sampleAppend({ from: 2, count: 1 }), state }
    await store.append(second)
    const third = { ...sampleAppend({ from: 3, count: 1 }), state: { control: [], documents: [], actors: [] } }
    await store.append(third)
    const stored = await store.readSpace(SPACE)
    equal(stored?.size, 4)
    equal(stored?.frontier, third.frontier)
    equal(sortedRows(stored?.state.control), sortedRows([member, ...state.control]))
    equal(sortedRows(stored?.state.documents), sortedRows([...first.state.documents, ...state.documents]))
    equal(sortedRows(stored?.state.actors), sortedRows(state.actors))
  },

  'an append that does not follow the last one is fenced off': async (_, opened) => {
    const store = await opened()
    await rejects(store.append(sampleAppend({ from: 1, count: 1 })), 'ERR_STORE_LOCKED')
    equal(await store.readSpace(SPACE), undefined)
    const append = sampleAppend({ from: 0, count: 2 })
    await store.append(append)
    for (const from of [0, 1, 3]) {
      await rejects(store.append(sampleAppend({ from, count: 1, seed: 50 })), 'ERR_STORE_LOCKED')
    }
    equal(await store.readSpace(SPACE), spaceAfter(append))
    equal(await store.readEntries(SPACE, EVERYTHING), append.entries)
  },

  'of two appends at one place, one stands': async (_, opened) => {
    const store = await opened()
    await store.append(sampleAppend({ from: 0, count: 1 }))
    const rivals = [sampleAppend({ from: 1, count: 1, seed: 20 }), sampleAppend({ from: 1, count: 1, seed: 40 })]
    const results = await Promise.allSettled(rivals.map(rival => store.append(rival)))
    const winners = rivals.filter((_rival, i) => results[i]?.status === 'fulfilled')
    equal(winners.length, 1)
    equal((await store.readEntries(SPACE, EVERYTHING)).slice(1), winners[0]?.entries)
  },

  'bodies that are dropped are gone, and nothing else is': async (_, opened) => {
    const store = await opened()
    const first = sampleAppend({ from: 0, count: 3 })
    await store.append(first)
    const second = { ...sampleAppend({ from: 3, count: 2 }), dropped: [1, 3] }
    await store.append(second)
    const expected = [...first.entries, ...second.entries].map((entry, i) =>
      second.dropped.includes(i) ? { ...entry, body: undefined } : entry,
    )
    equal(await store.readEntries(SPACE, EVERYTHING), expected)
    for (const index of second.dropped) equal(await store.readBody(SPACE, index, 0, 10), undefined)
    equal((await store.readSize(SPACE)).bytes, lengthOf(expected))
    equal(await store.readBody(SPACE, 2, 0, 100), first.entries[2]?.body)
    const [dropped] = await store.readChoice(SPACE, { kind: 'chain', actor: actorId(1), from: 1, to: 1 }, WHOLE)
    equal(dropped, { ...expected[1], index: 1 })
  },

  'bodies are read in parts, whatever their length': async (_, opened) => {
    const store = await opened()
    const long = bytes(3 * 1024 * 1024 + 17, 5)
    await store.append(sampleAppend({ from: 0, count: 1, bodyLength: 0 }))
    await store.append(withBody(sampleAppend({ from: 1, count: 1 }), long))
    equal(await store.readBody(SPACE, 0, 0, 10), new Uint8Array(0))
    equal((await store.readEntries(SPACE, { ...EVERYTHING, to: 1 }))[0]?.body, new Uint8Array(0))
    equal((await store.readEntries(SPACE, EVERYTHING))[1]?.body, undefined)
    for (const [offset, length] of [
      [0, 10],
      [1_000_000, 300_000],
      [long.length - 5, 100],
      [long.length, 100],
    ] as const) {
      equal(await store.readBody(SPACE, 1, offset, length), long.slice(offset, offset + length))
    }
    equal(await store.readBody(SPACE, 2, 0, 10), undefined)
  },

  'spaces do not mix': async (_, opened) => {
    const store = await opened()
    const mine = sampleAppend({ from: 0, count: 2 })
    const other = { ...sampleAppend({ from: 0, count: 3, seed: 70 }), space: OTHER_SPACE }
    await store.append(mine)
    await store.append(other)
    await store.putHead(OTHER_SPACE, head(3, 5))
    equal(await store.readSpace(SPACE), spaceAfter(mine))
    equal(await store.readSpace(OTHER_SPACE), spaceAfter(other))
    equal(await store.readHead(OTHER_SPACE), kept(head(3, 5)))
    equal(await store.readHead(SPACE), undefined)
    equal(await store.readEntries(OTHER_SPACE, EVERYTHING), other.entries)
    equal(await store.readNodes(SPACE, [[1, 0]]), [mine.nodes[0]?.[2]])
    equal(await store.readBody(OTHER_SPACE, 0, 0, 100), other.entries[0]?.body)
  },

  'an append that fails at any step leaves nothing behind': async (_, opened) => {
    const steps = failingSteps()
    const store = await opened(steps.take)
    const before = sampleAppend({ from: 0, count: 2 })
    await store.append(before)
    await store.putHead(SPACE, head(2, 10))
    const attempt = (): Promise<void> =>
      store.append({ ...sampleAppend({ from: 2, count: 2, seed: 30 }), dropped: [0] })
    for (let failAt = 1; await steps.fails(failAt, attempt); failAt++) {
      equal(await store.readSpace(SPACE), spaceAfter(before))
      equal(await store.readHead(SPACE), kept(head(2, 10)))
      equal(await store.readEntries(SPACE, EVERYTHING), before.entries)
      await rejects(store.readNodes(SPACE, [[0, 2]]), 'ERR_STORE_CORRUPT')
      equal(await store.readBody(SPACE, 2, 0, 10), undefined)
    }
    equal((await store.readSpace(SPACE))?.size, 4)
  },

  'a first append that fails at any step leaves no space': async (_, opened) => {
    const steps = failingSteps()
    const store = await opened(steps.take)
    const attempt = (): Promise<void> => store.append(sampleAppend({ from: 0, count: 1 }))
    for (let failAt = 1; await steps.fails(failAt, attempt); failAt++) {
      equal(await store.readSpace(SPACE), undefined)
    }
    equal((await store.readSpace(SPACE))?.size, 1)
  },

  'nothing works before open and after close, and close may be called again': async (place, opened) => {
    const unopened = place.store()
    await rejects(unopened.readSpace(SPACE), 'ERR_CLOSED')
    const store = await opened()
    await store.close()
    await store.close()
    const calls = [
      () => store.readIdentity(),
      () => store.readSpace(SPACE),
      () => store.readSize(SPACE),
      () => store.readSpaces(undefined, 1),
      () => store.putFloor(SPACE, 1),
      () => store.readHead(SPACE),
      () => store.raiseHead(SPACE, head(1, 1)),
      () => store.acceptRollback(SPACE),
      () => store.announce(SPACE),
      () => store.readMailboxes(undefined, 1),
      () => store.inspect(1),
      () => store.discard(SPACE, []),
      () => store.removeSpace(SPACE),
      () => store.compact(),
      () => store.append(sampleAppend({ from: 0, count: 1 })),
      () => store.putHead(SPACE, head(1, 1)),
      () => store.readEntries(SPACE, EVERYTHING),
      () => store.readChoice(SPACE, { kind: 'control', from: 0, to: 1 }, WHOLE),
      () => store.putCosigned(SPACE, 1, bytes(100, 1)),
      () => store.readCosigned(SPACE),
      () => store.readNodes(SPACE, []),
      () => store.readWrap(SPACE, 1, 1),
      () => store.readWraps(SPACE, 1),
      () => store.readBody(SPACE, 0, 0, 1),
      () => store.putMailbox(bytes(32, 1), { counter: 1, bytes: bytes(100, 1), signature: bytes(64, 1) }),
      () => store.readMailbox(bytes(32, 1)),
    ]
    for (const call of calls) await rejects(call(), 'ERR_CLOSED')
  },

  'a store is open once': async (place, opened) => {
    const store = await opened()
    await rejects(store.open(), 'ERR_STORE_LOCKED')
    if (place.isPersistent && !store.isShared) await rejects(place.store().open(), 'ERR_STORE_LOCKED')
    equal(await store.readSpace(SPACE), undefined)
  },

  'all of it is there for the next store over the same place': async (place, opened) => {
    if (!place.isPersistent) return
    const append = sampleAppend({ from: 0, count: 3 })
    const before = await opened()
    await before.writeIdentity({ name: 'relay.example', key: bytes(32, 1) })
    await before.append(append)
    await before.putHead(SPACE, head(2, 10))
    await before.putCosigned(SPACE, 3, bytes(100, 3))
    await before.close()
    const store = await opened()
    equal(await store.readIdentity(), { name: 'relay.example', key: bytes(32, 1) })
    equal(await store.readSpace(SPACE), spaceAfter(append))
    equal(await store.readHead(SPACE), kept(head(2, 10)))
    equal(await store.readEntries(SPACE, EVERYTHING), append.entries)
    equal(await store.readCosigned(SPACE), [bytes(100, 3)])
    await rejects(store.putHead(SPACE, head(1, 20)), 'ERR_STORE_LOCKED')
    await store.append(sampleAppend({ from: 3, count: 1 }))
  },
}
