import { describe, expect, it } from 'vitest'
import { toHex } from '../../src/bytes.ts'
import { type Cbor, decodeCbor, encodeCbor } from '../../src/codec.ts'
import { hashControl } from '../../src/verify/control-hash.ts'
import {
  type ControlRow,
  controlRows,
  decodeControlState,
  encodeControlState,
  readControlRows,
} from '../../src/verify/control-rows.ts'
import type { ControlState } from '../../src/verify/control-state.ts'
import { added, crew, goOn, invited, joined, memberOf } from '../helpers/crew.ts'
import { bytesOf, type LogBuilder, verdictOf } from '../helpers/log-builder.ts'

/** A space where everything that a state can hold is there. */
function eventful(): LogBuilder {
  const { log, owner, admin, writer, late, reader } = crew()
  invited(log, admin)
  joined(log, invited(log, admin, { kind: 'approved', history: 'from-join', role: 'reader' }))
  log.act(owner, log.bodies.approve(joined(log, invited(log, owner, { kind: 'approved' })).number))
  added(log, late)
  log.act(writer, log.bodies.repair(0))
  goOn(log, owner, 16)
  log.act(owner, log.bodies.rotate())
  log.act(owner, log.bodies.grant(late.number, 0))
  log.act(owner, log.bodies.rename({ member: memberOf(log, writer) }, 'Renamed'))
  log.act(owner, log.bodies.removeMember(memberOf(log, reader)))
  log.act(owner, log.bodies.policy({ rotateDays: 7 }))
  return log
}

const log = eventful()
const STATE = log.controlState
const rowsBy = (rows: readonly ControlRow[]): Map<string, Uint8Array> =>
  new Map(rows.map(({ name, value }) => [name, value]))

describe('a control state', () => {
  it('is what it was when it is read again, in one piece or from its rows (R-STATE-2)', () => {
    expect(decodeControlState(encodeControlState(STATE))).toEqual(STATE)
    expect(readControlRows(controlRows(STATE))).toEqual(STATE)
    // In which order a store gives its rows back is its own affair.
    expect(readControlRows(controlRows(STATE).toReversed())).toEqual(STATE)
    expect([...readControlRows(controlRows(STATE).toReversed()).members.keys()]).toEqual([...STATE.members.keys()])
  })

  it('has one commitment, however it was reached (R-STATE-1)', () => {
    const again = readControlRows(controlRows(STATE))
    expect(toHex(hashControl(again))).toBe(toHex(hashControl(STATE)))
    expect(toHex(hashControl(decodeControlState(encodeControlState(STATE))))).toBe(toHex(hashControl(STATE)))
  })

  it('that goes on takes rows for what changed only, and they are enough (R-STATE-3)', () => {
    const rows = new Map<string, Uint8Array>()
    let before: ControlState | undefined
    for (let size = 1; size <= log.size; size++) {
      const { control } = log.stateAt(size)
      if (control === before) continue
      const changed = controlRows(control, before)
      for (const { name, value } of changed) rows.set(name, value)
      const stored = [...rows].map(([name, value]) => ({ name, value }))
      expect(rowsBy(stored)).toEqual(rowsBy(controlRows(control)))
      expect(toHex(hashControl(readControlRows(stored)))).toBe(toHex(hashControl(control)))
      before = control
    }
    // A new name of one member: the core, and that member.
    const { log: copy, owner, writer } = crew()
    const from = copy.controlState
    copy.act(owner, copy.bodies.rename({ member: memberOf(copy, writer) }, 'Renamed'))
    expect(controlRows(copy.controlState, from).map(({ name }) => name.split('/')[0])).toEqual(['core', 'member'])
  })

  it('is another one when anything in any record is (R-STATE-1)', () => {
    const [device] = STATE.devices.values()
    const [member] = STATE.members.values()
    const [invite] = STATE.invites.values()
    const [, epoch] = STATE.epochs
    if (!device || !member || !invite || !epoch) throw new Error('the state lacks something')
    const moment = { number: 9, index: 9, epoch: 9 }
    const name = { epoch: 0, sealed: bytesOf('x') }
    const changes: Partial<ControlState>[] = [
      {},
      ...[
        { signing: bytesOf('x') },
        { kem: new Uint8Array(1216) },
        { member: memberOf(log, { ...log.owner, number: 2 }) },
        { standing: 'pending' as const },
        { standing: 'applicant' as const },
        { standing: 'provisional' as const },
        { name },
        { name: undefined },
        { since: moment },
        { removed: moment },
        { readsFrom: 9 },
      ].map(change => ({ devices: new Map([...STATE.devices, [device.number, { ...device, ...change }]]) })),
      ...[
        { role: 'reader' as const },
        { history: 'from-join' as const },
        { name },
        { since: moment },
        { removed: moment },
      ].map(change => ({ members: new Map([...STATE.members, [member.id, { ...member, ...change }]]) })),
      ...[
        { kind: 'device' as const },
        { member: member.id },
        { role: 'owner' as const },
        { history: 'from-join' as const },
        { expires: 1 },
        { inviter: invite.member },
        { device: 999 },
        { nameKey: name },
        { requested: { memberName: bytesOf('x'), deviceName: bytesOf('y') } },
      ].map(change => ({ invites: new Map([...STATE.invites, [invite.number, { ...invite, ...change }]]) })),
      ...[{ readCommit: bytesOf('x') }, { index: 0 }, { device: 9 }, { time: 9 }, { deliveries: [] }].map(change => ({
        epochs: STATE.epochs.with(1, { ...epoch, ...change }),
      })),
      ...(['settled', 'due'] as const).map(rotation => ({ rotation })),
      { count: 9 },
      { head: bytesOf('x') },
      { space: bytesOf('x') },
    ]
    const hashes = changes.map(change => toHex(hashControl({ ...STATE, ...change })))
    expect(new Set(hashes).size).toBe(changes.length)
  })

  it('keeps one record of another apart: what is moved between lists is another state (R-STATE-1)', () => {
    const [first, second] = STATE.epochs
    if (!first || !second) throw new Error('the state lacks epochs')
    const swapped = { ...STATE, epochs: [second, first, ...STATE.epochs.slice(2)] }
    expect(toHex(hashControl(swapped))).not.toBe(toHex(hashControl(STATE)))
    const devices = new Map([...STATE.devices].toReversed())
    expect(toHex(hashControl({ ...STATE, devices }))).not.toBe(toHex(hashControl(STATE)))
  })

  it('is refused in any other form', async () => {
    const parts = decodeCbor(encodeControlState(STATE), 1 << 20) as Cbor[]
    const core = decodeCbor(parts[0] as Uint8Array, 1 << 20) as Cbor[]
    const withCore = (at: number, item: Cbor): Promise<string> =>
      verdictOf(() => decodeControlState(encodeCbor(parts.with(0, encodeCbor(core.with(at, item))))))
    expect(await withCore(5, 3)).toBe('ERR_MALFORMED')
    expect(await withCore(4, [[1, 2]])).toBe('ERR_MALFORMED')
    expect(await withCore(7, new Uint8Array(31))).toBe('ERR_MALFORMED')
    for (const [at, field, item] of [
      [1, 4, 4],
      [1, 6, [1, 2]],
      [2, 1, 4],
      [2, 2, 2],
      [3, 4, 2],
    ] as const) {
      const rows = parts[at] as Uint8Array[]
      const row = decodeCbor(rows[0] as Uint8Array, 1 << 20) as Cbor[]
      const bad = parts.with(at, rows.with(0, encodeCbor(row.with(field, item))))
      expect(await verdictOf(() => decodeControlState(encodeCbor(bad))), `list ${at}, field ${field}`).toBe(
        'ERR_MALFORMED',
      )
    }
    expect(await verdictOf(() => readControlRows([]))).toBe('ERR_MALFORMED')
    const long = { name: 'device/0', value: new Uint8Array(4097) }
    expect(await verdictOf(() => readControlRows([...controlRows(STATE), long]))).toBe('ERR_LIMIT')
  })
})
