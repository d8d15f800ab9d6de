import * as Automerge from '@automerge/automerge/slim'
import { beforeAll, describe, expect, it } from 'vitest'
import { absorb } from '../../src/crdt/absorb.ts'
import type { Adoption } from '../../src/crdt/adopt.ts'
import { type AnyDoc, changeCount } from '../../src/crdt/content.ts'
import { summaryOf } from '../../src/crdt/guarded-document.ts'
import { buildImport } from '../../src/crdt/import-payload.ts'
import { hasPending } from '../../src/crdt/outbox.ts'
import type { ChangesPayload } from '../../src/crdt/payload.ts'
import type { SnapshotPayload } from '../../src/crdt/snapshot-payload.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import { type ActorId, spaceIdOf } from '../../src/ids.ts'
import { emptyView, type LogView, type VerifiedEntry } from '../../src/verify/log.ts'
import { emptyDocument } from '../../src/verify/state.ts'
import { Author, actorOf, KEYS, Reader, withheld } from '../crdt/parking-support.ts'
import { initializeAutomerge } from '../helpers/automerge.ts'
import { bytesOf, DOCUMENT } from '../helpers/log-builder.ts'
import { copyOf } from '../scenario/controlled-store.ts'

beforeAll(initializeAutomerge)

const VIEW: LogView = emptyView(spaceIdOf(bytesOf('space')), { name: 'relay.test', key: bytesOf('relay') }, [])

/** What the import holds under the victim's actor. */
const IMPORTS = {
  'changes that the victim never made': (own: ActorId) =>
    Automerge.change(Automerge.init<Record<string, unknown>>({ actor: own }), { time: 0 }, doc => {
      doc.theirs = 1
    }),
  "the victim's first change": (own: ActorId, first: Uint8Array) =>
    Automerge.load<Record<string, unknown>>(first, { actor: own }),
  "the victim's first change, and another one behind it": (own: ActorId, first: Uint8Array) =>
    Automerge.change(Automerge.load<Record<string, unknown>>(first, { actor: own }), { time: 0 }, doc => {
      doc.theirs = 1
    }),
} as const

interface Attack {
  store: ReturnType<typeof memoryStore>
  victim: Reader
  readonly own: ActorId
  /** The import by a hostile member, which takes place 0 of the document. */
  readonly start: VerifiedEntry
  /** The victim's first push, which the relay kept back until then. */
  readonly released: VerifiedEntry
  /** An honest member's entry on top of the import. */
  readonly carl: VerifiedEntry
  /** Changes in the import and of Carl. */
  readonly foreign: number
  /** Changes of the victim that the import does not hold. */
  readonly carried: number
  readonly imported: AnyDoc
  readonly hostile: Author
}

function edit(reader: Reader, fn: (doc: Record<string, unknown>) => void): void {
  const core = reader.set.core(DOCUMENT)
  if (core === undefined) throw new Error('not open')
  reader.set.change(core, fn, 0)
}

/** A victim that made two changes, and pushed them; a hostile member and the relay make the attack of them. */
async function prepare(what: keyof typeof IMPORTS): Promise<Attack> {
  const store = memoryStore()
  const victim = await Reader.on(store)
  const core = await victim.set.open(DOCUMENT)
  const own = core.actor
  edit(victim, doc => {
    doc.list = ['x']
    doc.one = 1
  })
  const first = Automerge.save(core.doc)
  edit(victim, doc => {
    ;(doc.list as string[]).push('y')
    doc.two = 2
  })
  await victim.set.flush()
  const imported = IMPORTS[what](own, first)
  const hostile = new Author('a')
  const { payload, commitment } = buildImport(Automerge.save(imported))
  const start = hostile.entry(0, { kind: 'import', plain: payload, tagged: commitment })
  const pushed = new Author(own)
  pushed.doc = Automerge.load(Automerge.save(core.doc), { actor: own })
  const released = pushed.entry(1, pushed.next() as ChangesPayload)
  const carl = new Author('c')
  carl.doc = Automerge.load(Automerge.save(imported), { actor: actorOf('c') })
  carl.set('carl', 1)
  const entry = carl.entry(2, carl.next() as ChangesPayload)
  const carried = what === 'changes that the victim never made' ? 2 : 1
  const foreign = changeCount(carl.doc)
  return { store, victim, own, start, released, carl: entry, foreign, carried, imported, hostile }
}

/** The victim is where everybody is, has lost nothing, and what it sends next is taken by all. */
async function expectWhole(attack: Attack): Promise<void> {
  const { own, start, released, carl, foreign, carried } = attack
  for (const restarts of [false, true]) {
    if (restarts) {
      await attack.victim.close()
      attack.victim = await Reader.on(attack.store.twin())
    }
    const { victim } = attack
    const core = await victim.set.open(DOCUMENT)
    expect(core.actor).not.toBe(own)
    expect(core.doc).toMatchObject({ list: ['x', 'y'], one: 1, two: 2, carl: 1 })
    expect(changeCount(core.doc)).toBe(foreign + carried)
    expect(victim.set.meta(DOCUMENT).clonedAt).toBeUndefined()
    expect([...victim.set.meta(DOCUMENT).stopped]).toMatchObject([[own, { reason: 'refused', code: 'ERR_CONTENT' }]])
    await victim.set.flush()
    expect(core.pending().map(({ seq }) => seq)).toEqual([...Array(carried).keys()].map(i => i + 1))
  }
  const { victim } = attack
  const core = await victim.set.open(DOCUMENT)
  const moved = new Author(core.actor)
  moved.doc = Automerge.load(Automerge.save(core.doc), { actor: core.actor })
  const sent = moved.entry(3, moved.next() as ChangesPayload)
  await victim.receive(sent)
  expect(core.locals).toEqual([])
  const bystander = await Reader.on(memoryStore())
  await bystander.set.open(DOCUMENT)
  await bystander.receive(start, released, carl, sent)
  expect(await victim.outcome()).toEqual(await bystander.outcome())
  edit(victim, doc => {
    doc.three = 3
  })
  expect(core.lastOwnSeq).toBe(carried + 1)
  await victim.close()
}

/** The batch is in the store, and the process is gone before anything was made of it. */
async function dieAfterCommit(attack: Attack, ...entries: readonly VerifiedEntry[]): Promise<void> {
  const advanced = { view: VIEW, entries, checks: [] }
  const absorbed = absorb(advanced, new Uint8Array(0), attack.victim.set, KEYS, undefined, undefined)
  await attack.store.commit({ puts: absorbed.puts, deletes: absorbed.deletes })
  await restartAfterCrash(attack)
}

async function restartAfterCrash(attack: Attack): Promise<void> {
  await attack.store.close()
  attack.store = attack.store.twin()
  attack.victim = await Reader.on(attack.store)
}

/** The import as a snapshot has it, which covers nothing else. */
function snapshotOf({ imported, hostile }: Attack): SnapshotPayload {
  const { seq, hash } = hostile.end
  return {
    imported: summaryOf(Automerge.getHeads(imported), changeCount(imported)),
    covered: [{ actor: hostile.actor, seq, hash, latestSeq: 0, latestHash: new Uint8Array(32) }],
    saved: Automerge.save(imported),
  }
}

function adoptionOf(attack: Attack, entries: readonly VerifiedEntry[], isSaved: boolean): Adoption {
  const payload = snapshotOf(attack)
  const doc = Automerge.load<Record<string, unknown>>(payload.saved, { actor: attack.own })
  return {
    document: DOCUMENT,
    record: emptyDocument(DOCUMENT, 0),
    snapshot: isSaved ? { doc, payload, count: changeCount(doc), tips: new Map() } : undefined,
    entries,
    unchecked: undefined,
    keysOf: (document, epoch) => KEYS.forDocument(document, epoch, epoch),
    discard: () => {},
  }
}

/** Ways in which a victim learns of the import, of its own entry behind it, and of what others wrote there. */
const WAYS: Readonly<Record<string, (attack: Attack) => Promise<void>>> = {
  'all at once': async ({ victim, start, released, carl }) => victim.receive(start, released, carl),
  'one by one': async ({ victim, start, released, carl }) => {
    for (const entry of [start, released, carl]) await victim.receive(entry)
  },
  'the import last, as its body was withheld': async ({ victim, start, released, carl }) => {
    await victim.receive(withheld(start), released)
    const core = await victim.set.open(DOCUMENT)
    expect(core.doc).toMatchObject({ list: ['x', 'y'], one: 1, two: 2 })
    // What would go out now is what nobody may ever take.
    expect(core.pending()).toHaveLength(2)
    expect(hasPending({ view: VIEW }, victim.set, core)).toBe(false)
    await victim.receive(carl)
    await victim.serve(start)
  },
  'the body of the import after a restart': async attack => {
    const { start, released, carl } = attack
    await attack.victim.receive(withheld(start), released, carl)
    await attack.victim.close()
    attack.victim = await Reader.on(attack.store.twin())
    await attack.victim.serve(start)
  },
  'its own entry first without a body': async ({ victim, start, released, carl }) => {
    await victim.receive(start, withheld(released), carl)
    await victim.serve(released)
  },
  'a crash with the import unjudged': async attack => {
    await dieAfterCommit(attack, attack.start)
    await attack.victim.receive(attack.released, attack.carl)
  },
  'a crash with all of it unjudged': async attack => {
    await dieAfterCommit(attack, attack.start, attack.released, attack.carl)
  },
  'by fast-forward, entry by entry': async attack => {
    const { start, released, carl } = attack
    await attack.victim.adopt(adoptionOf(attack, [start, released, carl], false))
  },
  'by fast-forward, with a snapshot': async attack => {
    await attack.victim.adopt(adoptionOf(attack, [attack.released, attack.carl], true))
  },
  'by fast-forward, with a crash before it is shown': async attack => {
    const { victim, store, start, released, carl } = attack
    await victim.set.exclusive(async () => {
      const { puts, deletes } = await victim.set.adopting(adoptionOf(attack, [start, released, carl], false))
      await store.commit({ puts, deletes })
    })
    await restartAfterCrash(attack)
  },
  'by fast-forward with a snapshot, and a crash before it is shown': async attack => {
    const { victim, store, released, carl } = attack
    await victim.set.exclusive(async () => {
      const { puts, deletes } = await victim.set.adopting(adoptionOf(attack, [released, carl], true))
      await store.commit({ puts, deletes })
    })
    await restartAfterCrash(attack)
  },
  'from a snapshot, as the import is never served': async attack => {
    const { victim, start, released, carl } = attack
    await victim.receive(withheld(start), released, carl)
    await victim.set.supply(DOCUMENT, snapshotOf(attack))
  },
}

describe('an import that names an actor of somebody whose first entry was kept back (R-IMPORT-4, R-IMPORT-5)', () => {
  for (const [way, learn] of Object.entries(WAYS)) {
    for (const what of Object.keys(IMPORTS) as (keyof typeof IMPORTS)[]) {
      it(`with ${what}; learnt of ${way}`, async () => {
        const attack = await prepare(what)
        await learn(attack)
        await expectWhole(attack)
      })
    }
  }
})

describe('two copies of one replica that meet such an import (R-IMPORT-5, R-CLONE-1)', () => {
  it('move to the same actor, with the same changes', async () => {
    const attack = await prepare('changes that the victim never made')
    await attack.victim.close()
    const copy = await Reader.on(await copyOf(attack.store))
    const victim = await Reader.on(attack.store.twin())
    const cores = []
    for (const reader of [copy, victim]) {
      await reader.receive(attack.start)
      cores.push(await reader.set.open(DOCUMENT))
    }
    const [one, two] = cores
    expect(one?.locals.map(({ hash }) => hash)).toEqual(two?.locals.map(({ hash }) => hash))
    expect(one?.actor).toBe(two?.actor)
    expect(one?.actor).not.toBe(attack.own)
    expect(one?.locals).toHaveLength(2)
  })

  it('also where it holds the actor that they would move to', async () => {
    const before = await prepare('changes that the victim never made')
    await before.victim.receive(before.start)
    const next = before.victim.set.core(DOCUMENT)?.actor as ActorId
    const attack = await prepare('changes that the victim never made')
    const wider = new Author(next)
    wider.doc = Automerge.load(Automerge.save(attack.imported), { actor: next })
    wider.set('next', 1)
    const { payload, commitment } = buildImport(Automerge.save(wider.doc))
    await attack.victim.receive(new Author('a').entry(0, { kind: 'import', plain: payload, tagged: commitment }))
    const { actor, doc } = await attack.victim.set.open(DOCUMENT)
    expect([attack.own, next]).not.toContain(actor)
    expect(doc).toMatchObject({ list: ['x', 'y'], one: 1, two: 2, theirs: 1, next: 1 })
  })
})

describe('an import that has nothing to do with own changes on their way (R-PARK-5, R-OUTBOX-4)', () => {
  for (const isServed of [true, false]) {
    it(`takes the own entry behind it as their acknowledgement${isServed ? '' : ', also without its body'}`, async () => {
      const attack = await prepare('changes that the victim never made')
      const { victim, own, released } = attack
      const author = new Author('a')
      const foreign = new Author('b')
      foreign.set('theirs', 1)
      const { payload, commitment } = buildImport(Automerge.save(foreign.doc))
      const start = author.entry(0, { kind: 'import', plain: payload, tagged: commitment })
      await victim.receive(withheld(start), isServed ? released : withheld(released))
      const core = await victim.set.open(DOCUMENT)
      expect(victim.set.meta(DOCUMENT).clonedAt).toBeUndefined()
      await victim.serve(start)
      for (const isRestarted of [false, true]) {
        const reader = isRestarted ? await restarted(attack) : victim
        const { actor, doc, locals } = await reader.set.open(DOCUMENT)
        expect(actor).toBe(own)
        expect(locals).toEqual([])
        expect(doc).toMatchObject({ list: ['x', 'y'], one: 1, two: 2, theirs: 1 })
        expect(changeCount(doc)).toBe(3)
        expect([...reader.set.meta(DOCUMENT).stopped]).toEqual([])
      }
      edit(attack.victim, doc => {
        doc.three = 3
      })
      expect(core.lastOwnSeq).toBe(2)
      expect(attack.victim.set.core(DOCUMENT)?.lastOwnSeq).toBe(3)
    })
  }

  it('shows what a clone wrote behind it as such', async () => {
    const attack = await prepare('changes that the victim never made')
    const { victim, own } = attack
    const [author, foreign, clone] = [new Author('a'), new Author('b'), new Author(own)]
    foreign.set('theirs', 1)
    clone.set('clone', 1)
    const { payload, commitment } = buildImport(Automerge.save(foreign.doc))
    const start = author.entry(0, { kind: 'import', plain: payload, tagged: commitment })
    await victim.receive(withheld(start), clone.entry(1, clone.next() as ChangesPayload))
    await victim.serve(start)
    expect(victim.set.meta(DOCUMENT).clonedAt).toBe(1)
    // Until the chain is closed it is held back, with what this replica has to send.
    for (const isRestarted of [false, true]) {
      const reader = isRestarted ? await restarted(attack) : victim
      const { doc, locals } = await reader.set.open(DOCUMENT)
      expect(doc).toMatchObject({ list: ['x', 'y'], one: 1, two: 2, theirs: 1 })
      expect(doc).not.toHaveProperty('clone')
      expect(locals).toHaveLength(2)
      expect(reader.set.meta(DOCUMENT)).toMatchObject({ clonedAt: 1, judged: 1, nextFile: 2 })
    }
  })
})

async function restarted(attack: Attack): Promise<Reader> {
  await attack.victim.close()
  attack.victim = await Reader.on(attack.store.twin())
  return attack.victim
}
