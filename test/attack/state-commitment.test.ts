import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../src/bytes.ts'
import { controlKey, documentKey, spaceKey } from '../../src/crdt/rows.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import { encodeViewRow, loadView } from '../../src/crdt/view-rows.ts'
import { documentIdOf } from '../../src/ids.ts'
import { controlRows } from '../../src/verify/control-rows.ts'
import type { LogView } from '../../src/verify/log.ts'
import {
  actorsOf,
  documentsOf,
  encodeActorRecord,
  encodeDocumentRecord,
  type SpaceState,
  stateRoot,
} from '../../src/verify/state.ts'
import { accept, bytesOf, LogBuilder, type TestDevice, testDevice, verdictOf } from '../helpers/log-builder.ts'

type Step = readonly [
  what: 'changes' | 'retire' | 'invite' | 'join' | 'rotate' | 'remove',
  who: number,
  where: number,
  slot: number,
]

const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.tuple(
    fc.constantFrom('changes', 'changes', 'changes', 'retire', 'invite', 'join', 'rotate', 'remove'),
    fc.nat(5),
    fc.nat(3),
    fc.nat(2),
  ) as fc.Arbitrary<Step>,
  { maxLength: 25 },
)

/** A log in which many things happen; what the reducer refuses does not. */
async function play(list: readonly Step[]): Promise<LogBuilder> {
  const { log, writer } = LogBuilder.withWriter()
  const devices: TestDevice[] = [log.owner, writer]
  const guests: TestDevice[] = []
  for (const [what, who, where, slot] of list) {
    const author = devices[who % devices.length] as TestDevice
    const document = documentIdOf(bytesOf(`document ${where}`).slice(0, 16))
    const incarnation = bytesOf(`slot ${slot}`).slice(0, 8)
    await verdictOf(() => {
      const number = log.state?.control.count ?? 0
      if (what === 'changes') log.append(log.changes(author, { document, incarnation }))
      else if (what === 'retire') log.append(log.retire(author, { document, incarnation }))
      else if (what === 'invite') {
        const guest = testDevice(`guest ${number % 4}`, number)
        log.append(log.control(log.owner, log.inviteBody(guest)))
        guests.push(guest)
      } else if (what === 'rotate') log.act(author, log.bodies.rotate())
      else if (what === 'remove') log.act(log.owner, log.bodies.removeDevice(author.number))
      else {
        const guest = guests[who % Math.max(1, guests.length)]
        if (guest === undefined) return
        const own = testDevice(`own ${number % 4}`, number)
        log.append(log.control(guest, log.joinBody(own, guest.number)))
        devices.push(own)
      }
    })
  }
  return log
}

/** Writes a view as a replica does. */
async function stored(view: LogView, note: Uint8Array) {
  const store = memoryStore()
  await store.open()
  const state = view.state as SpaceState
  const puts: [Uint8Array, Uint8Array][] = [
    [spaceKey(view.space, 'view'), encodeViewRow(view, note)],
    ...controlRows(state.control).map(({ name, value }): [Uint8Array, Uint8Array] => [
      controlKey(view.space, name),
      value,
    ]),
  ]
  for (const record of documentsOf(state)) {
    puts.push([documentKey(view.space, 'state', record.document), encodeDocumentRecord(record)])
    for (const actor of actorsOf(record)) {
      puts.push([documentKey(view.space, 'state', record.document, actor.actor), encodeActorRecord(actor)])
    }
  }
  await store.commit({ puts, deletes: [] })
  return store
}

describe('a state that is stored and read again', () => {
  it('has the same root, and takes the next entries alike, whatever happened (R-BATCH-3)', async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.nat(), async (list, cut) => {
        const log = await play(list)
        const size = 1 + (cut % log.size)
        const view = await log.viewAt(size)
        const store = await stored(view, log.batch(0, size, { signedSize: size }).note)
        const again = (await loadView(store, log.space))?.view as LogView
        expect(toHex(stateRoot(again.state as SpaceState))).toBe(toHex(stateRoot(view.state as SpaceState)))
        expect(again.anchors).toEqual(view.anchors)
        expect(again.head).toEqual(view.head)
        const end = await accept(again, log.batch(size))
        expect(toHex(stateRoot(end.state as SpaceState))).toBe(toHex(log.checkpoint().stateRoot))
      }),
      { numRuns: 25 },
    )
  })

  it('has one root for each state: no two sizes of a log share one', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async list => {
        const log = await play(list)
        const roots = Array.from({ length: log.size }, (_, i) => toHex(log.checkpoint(i + 1).stateRoot))
        expect(new Set(roots).size).toBe(log.size)
      }),
      { numRuns: 15 },
    )
  })

  it('keeps what it must still meet: the head of a catch-up that was broken off binds after a restart', async () => {
    const log = await play([
      ['changes', 0, 0, 0],
      ['changes', 1, 1, 0],
      ['changes', 0, 0, 0],
    ])
    const view = await accept(log.emptyView(), log.batch(0, 3))
    const store = await stored(view, log.note())
    const again = (await loadView(store, log.space))?.view as LogView
    const fork = await play([
      ['changes', 0, 0, 1],
      ['changes', 1, 1, 1],
      ['changes', 0, 0, 1],
      ['changes', 0, 0, 1],
    ])
    expect(fork.space).toBe(log.space)
    expect(await verdictOf(() => accept(again, fork.batch(3)))).toBe('ERR_ROOT_MISMATCH')
    expect(await verdictOf(() => accept(again, log.batch(3)))).toBe('accepted')
  })
})
