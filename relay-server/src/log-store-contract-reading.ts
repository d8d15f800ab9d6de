import type { EntryChoice } from './log-store.ts'
import { type Check, equal } from './log-store-contract-checks.ts'
import {
  actorId,
  authoredAppend,
  documentId,
  EVERYTHING,
  lengthOf,
  OTHER_SPACE,
  SPACE,
  sampleAppend,
  WHOLE,
} from './log-store-contract-samples.ts'

/** What of a log can be read at once. */
export const READING_CASES: Readonly<Record<string, Check>> = {
  'entries are read by range and by size, and at least one': async (_, opened) => {
    const store = await opened()
    const { entries, ...append } = sampleAppend({ from: 0, count: 5, bodyLength: 100 })
    await store.append({ ...append, entries })
    equal(await store.readEntries(SPACE, { ...EVERYTHING, from: 1, to: 3 }), entries.slice(1, 3))
    equal(await store.readEntries(SPACE, { ...EVERYTHING, from: 4, to: 3 }), [])
    equal(await store.readEntries(SPACE, { ...EVERYTHING, from: 9, to: 12 }), [])
    const withoutBodies = entries.map(entry => ({ ...entry, body: undefined }))
    equal(await store.readEntries(SPACE, { ...EVERYTHING, inlineLength: 99 }), withoutBodies)
    equal(await store.readEntries(SPACE, { ...EVERYTHING, inlineLength: 100 }), entries)
    const three = lengthOf(entries.slice(0, 3))
    equal(await store.readEntries(SPACE, { ...EVERYTHING, maxBytes: three }), entries.slice(0, 3))
    equal(await store.readEntries(SPACE, { ...EVERYTHING, maxBytes: three - 1 }), entries.slice(0, 2))
    equal(await store.readEntries(SPACE, { ...EVERYTHING, maxBytes: 0 }), entries.slice(0, 1))
    const twoBare = lengthOf(withoutBodies.slice(0, 2))
    equal((await store.readEntries(SPACE, { ...EVERYTHING, inlineLength: 0, maxBytes: twoBare })).length, 2)
  },

  'entries are chosen by document, by chain, and of each actor the latest': async (_, opened) => {
    const store = await opened()
    const first = authoredAppend(0, [
      { document: 0, actor: 9, seq: 0, isControl: true },
      { document: 1, actor: 1, seq: 0 },
      { document: 2, actor: 3, seq: 0 },
      { document: 1, actor: 2, seq: 0 },
    ])
    const second = authoredAppend(4, [
      { document: 1, actor: 1, seq: 1 },
      { document: 0, actor: 9, seq: 1, isControl: true },
      { document: 1, actor: 1, seq: 2 },
      { document: 2, actor: 3, seq: 1 },
    ])
    await store.append(first)
    await store.append(second)
    await store.append({ ...authoredAppend(0, [{ document: 1, actor: 1, seq: 0 }]), space: OTHER_SPACE })
    const all = [...first.entries, ...second.entries].map((entry, index) => ({ ...entry, index }))
    const choose = async (choice: EntryChoice, ...places: readonly number[]): Promise<void> =>
      equal(
        await store.readChoice(SPACE, choice, WHOLE),
        places.map(place => all[place]),
      )
    await choose({ kind: 'control', from: 0, to: 100 }, 0, 5)
    await choose({ kind: 'control', from: 1, to: 6 }, 5)
    await choose({ kind: 'control', from: 0, to: 5 }, 0)
    const document = documentId(1)
    await choose({ kind: 'document', document, from: 0, to: 100 }, 1, 3, 4, 6)
    await choose({ kind: 'document', document, from: 2, to: 6 }, 3, 4)
    await choose({ kind: 'document', document, from: 6, to: 2 })
    await choose({ kind: 'document', document: documentId(7), from: 0, to: 100 })
    await choose({ kind: 'latest', document, below: 100, from: 0 }, 3, 6)
    await choose({ kind: 'latest', document, below: 6, from: 0 }, 3, 4)
    await choose({ kind: 'latest', document, below: 6, from: 4 }, 4)
    await choose({ kind: 'latest', document, below: 3, from: 0 }, 1)
    await choose({ kind: 'latest', document, below: 1, from: 0 })
    await choose({ kind: 'chain', actor: actorId(1), from: 0, to: 100 }, 1, 4, 6)
    await choose({ kind: 'chain', actor: actorId(1), from: 1, to: 1 }, 4)
    await choose({ kind: 'chain', actor: actorId(1), from: 3, to: 9 })
    await choose({ kind: 'chain', actor: actorId(4), from: 0, to: 9 })
  },

  'a choice is limited by size, one entry at least, and leaves out long bodies': async (_, opened) => {
    const store = await opened()
    const authors = [0, 1, 2].map(seq => ({ document: 1, actor: 1, seq, isControl: true }))
    const append = authoredAppend(0, authors)
    await store.append(append)
    const document = documentId(1)
    const choices: readonly EntryChoice[] = [
      { kind: 'control', from: 0, to: 3 },
      { kind: 'document', document, from: 0, to: 3 },
      { kind: 'chain', actor: actorId(1), from: 0, to: 2 },
    ]
    const two = lengthOf(append.entries.slice(0, 2))
    for (const choice of choices) {
      const indices = async (inlineLength: number, maxBytes: number): Promise<readonly number[]> =>
        (await store.readChoice(SPACE, choice, { inlineLength, maxBytes })).map(entry => entry.index)
      equal(await indices(40, two), [0, 1])
      equal(await indices(40, two - 1), [0])
      equal(await indices(40, 0), [0])
      const bare = await store.readChoice(SPACE, choice, { ...WHOLE, inlineLength: 39 })
      equal(
        bare.map(entry => [entry.body, entry.bodyLength]),
        append.entries.map(() => [undefined, 40]),
      )
    }
    const latest: EntryChoice = { kind: 'latest', document, below: 3, from: 0 }
    const [last] = await store.readChoice(SPACE, latest, { inlineLength: 39, maxBytes: 0 })
    equal([last?.index, last?.body], [2, undefined])
  },
}
