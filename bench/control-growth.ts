import {
  type ControlBody,
  type ControlRow,
  controlRows,
  documentIdOf,
  hashControl,
  type MemberRecord,
  readControlRows,
  stateRoot,
} from 'sealog/protocol'
import { type Figure, median, microseconds, timed } from './measure.ts'
import type { SyntheticCrew } from './synthetic-crew.ts'
import { bytesOf } from './synthetic-log.ts'

const CALLS = 20
const ROUNDS = 5

/**
 * What one more control entry costs in a space of so many devices, at every relay and replica: to reduce it and to
 * commit to the new state, against an entry of a document; rows that are written for it; and what reading the state back
 * takes after a start.
 */
export async function benchGrowth(devices: number, crew: SyntheticCrew): Promise<readonly Figure[]> {
  const { control } = crew.state
  const [founder] = [...control.members.values()] as [MemberRecord]
  const body: ControlBody = {
    type: 'rename',
    time: 0,
    what: 'member',
    member: founder.id,
    device: 0,
    name: new Uint8Array(72),
  }
  const document = documentIdOf(bytesOf('document').slice(0, 16))
  const each = microseconds(CALLS, () => stateRoot(crew.apply(body).state))
  const floor = microseconds(CALLS, () => stateRoot(crew.write(document).state))
  const { state, bytes } = crew.apply(body)
  const written = lengthOf(controlRows(state.control, control))
  const rows = controlRows(control)
  const starts: number[] = []
  for (let i = 0; i < ROUNDS; i++) starts.push(await timed(() => hashControl(readControlRows(rows))))
  const name = (what: string): string => `${devices} devices: ${what}`
  return [
    { case: name('control entry: reduce and commit'), value: each, unit: 'µs', floor },
    { case: name('control entry: rows written'), value: written, unit: 'bytes', floor: bytes },
    { case: name('control state: all rows'), value: lengthOf(rows), unit: 'bytes' },
    { case: name('control state: read back and commit'), value: median(starts), unit: 'ms' },
  ]
}

function lengthOf(rows: readonly ControlRow[]): number {
  return rows.reduce((sum, { name, value }) => sum + name.length + value.length, 0)
}
