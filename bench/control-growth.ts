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
import { type Figure, inTurns, median, timed } from './measure.ts'
import type { SyntheticCrew } from './synthetic-crew.ts'
import { bytesOf } from './synthetic-keys.ts'

/** Calls that are timed one by one, so that what else the machine does meets few of them. */
const CALLS = 61
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
  const add = (): Promise<number> => timed(() => stateRoot(crew.apply(body).state))
  const write = (): Promise<number> => timed(() => stateRoot(crew.write(document).state))
  const [each, floor] = (await inTurns(CALLS, [add, write])).map(times => 1000 * median(times)) as [number, number]
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
