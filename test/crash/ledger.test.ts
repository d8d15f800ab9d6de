import { encodeNote, encodeNoteText, noteKeyHash, originOf, signSync } from 'sealog/protocol'
import { describe, expect, test } from 'vitest'
import { LogBuilder, RELAY_SEED } from '../helpers/log-builder.ts'
import type { FinalLog } from './final-log.ts'
import { Ledger } from './ledger.ts'

/** A log of its genesis and five entries, and what clients of it tell. */
function story() {
  const log = new LogBuilder()
  log.append(log.genesis())
  for (let i = 0; i < 5; i++) log.append(log.changes(log.owner))
  const ledger = new Ledger(log.relay)
  const { space } = log
  const show = (note: Uint8Array, reader = 'reader'): void => ledger.take({ type: 'shown', reader, space, note })
  const promise = (index: number): void => {
    ledger.take({ type: 'acknowledged', space, index, hash: log.entries[index]?.hash ?? new Uint8Array(32) })
  }
  const final = (from: LogBuilder = log): FinalLog => ({
    hashes: from.entries.map(({ hash }) => hash),
    note: from.note(),
  })
  return { log, ledger, space, show, promise, final }
}

describe('the checker of crash tests', () => {
  test('finds nothing where nothing is wrong', async () => {
    const { log, ledger, space, show, promise, final } = story()
    for (const size of [1, 3, 3, 6]) show(log.note(log.checkpoint(size)))
    promise(2)
    promise(5)
    await ledger.settle()
    expect(ledger.judge(space, final())).toEqual({ lost: 0, conflictingHeads: 0 })
    expect(ledger.acknowledged).toBe(2)
    expect(ledger.faults).toEqual([])
  })

  test('counts an acknowledged entry that the final log has not got', () => {
    const { log, ledger, space, promise, final } = story()
    promise(4)
    promise(5)
    const { hashes } = final()
    expect(ledger.judge(space, { hashes: hashes.slice(0, 5), note: log.note(log.checkpoint(5)) }).lost).toBe(1)
  })

  test('counts an acknowledged entry that has another place', () => {
    const { ledger, space, promise, final } = story()
    promise(3)
    const { hashes, note } = final()
    const swapped = [...hashes.slice(0, 3), hashes[4], hashes[3], hashes[5]] as Uint8Array[]
    expect(ledger.judge(space, { hashes: swapped, note }).lost).toBe(1)
  })

  test('counts two signed roots for one size, shown to whomever', () => {
    const { log, ledger, space, show, final } = story()
    const fork = log.fork()
    log.append(log.changes(log.owner))
    fork.append(fork.changes(fork.owner, { body: new Uint8Array([1]) }))
    show(log.note(), 'one')
    show(fork.note(), 'other')
    expect(ledger.contradictions).toBe(1)
    expect(ledger.judge(space, final()).conflictingHeads).toBe(1)
  })

  test('counts a head that the final log does not pass, though it is the only one of its size', () => {
    const { log, ledger, space, show, final } = story()
    const fork = log.fork()
    fork.append(fork.changes(fork.owner, { body: new Uint8Array([1]) }))
    show(fork.note())
    log.append(log.changes(log.owner))
    log.append(log.changes(log.owner))
    expect(ledger.judge(space, final()).conflictingHeads).toBe(1)
  })

  test('counts a head beyond the end of the final log', () => {
    const { log, ledger, space, show, final } = story()
    const before = final()
    log.append(log.changes(log.owner))
    show(log.note())
    expect(ledger.judge(space, before).conflictingHeads).toBe(1)
  })

  test('counts two state roots for one size', () => {
    const { log, ledger, space, show, final } = story()
    const checkpoint = { ...log.checkpoint(), stateRoot: new Uint8Array(32).fill(7) }
    show(log.note())
    show(log.note(checkpoint))
    expect(ledger.judge(space, final()).conflictingHeads).toBe(1)
  })

  test('finds a reader for whom size or time goes back, and leaves others be', () => {
    const { log, ledger, show } = story()
    show(log.note(log.checkpoint(4)))
    show(log.note(log.checkpoint(3)), 'another')
    show(log.note({ ...log.checkpoint(4), time: log.time - 1 }), 'another')
    expect(ledger.faults).toEqual(['another: time back by 1 ms'])
    show(log.note(log.checkpoint(3)))
    expect(ledger.faults.at(-1)).toBe('reader: back from 4 to 3 entries')
  })

  test('finds a note that the relay did not sign', async () => {
    const { log, ledger, show } = story()
    const checkpoint = log.checkpoint()
    const { origin } = checkpoint
    const signature = signSync(RELAY_SEED, encodeNoteText({ ...checkpoint, size: 5 }))
    show(encodeNote(checkpoint, [{ name: origin, keyHash: noteKeyHash(origin, log.relay.key), signature }]))
    expect(ledger.faults).toEqual([])
    await ledger.settle()
    expect(ledger.faults).toEqual(['a note that the relay did not sign'])
  })

  test('finds a note about another log', () => {
    const { log, ledger, show } = story()
    show(log.note({ ...log.checkpoint(), origin: originOf('elsewhere.test', log.space) }))
    expect(ledger.faults).toHaveLength(1)
  })

  test('finds two entries that were acknowledged for one place', () => {
    const { ledger, space, promise } = story()
    promise(3)
    ledger.take({ type: 'acknowledged', space, index: 3, hash: new Uint8Array(32) })
    expect(ledger.faults).toHaveLength(1)
  })
})
