import {
  actorsOf,
  controlRows,
  documentsOf,
  encodeActorRecord,
  encodeDocumentRecord,
  equalBytes,
  type SpaceId,
  type SpaceState,
} from 'sealog/protocol'
import type { Report } from './fsck-finding.ts'
import type { StateRows } from './log-store.ts'

/** The rows of a state must be those that the log folds to: all of them, and no others. */
export function checkState(space: SpaceId, stored: StateRows, expected: SpaceState, report: Report): void {
  const rows = storedRows(stored)
  for (const [row, value] of expectedRows(expected)) {
    const found = rows.get(row)
    rows.delete(row)
    if (found !== undefined && equalBytes(found, value)) continue
    report({ checked: 'state', space, reason: `${row} is ${found === undefined ? 'missing' : 'another'}` })
  }
  for (const row of rows.keys()) report({ checked: 'state', space, reason: `${row} should not be there` })
}

function storedRows({ control, documents, actors }: StateRows): Map<string, Uint8Array> {
  const rows = new Map<string, Uint8Array>()
  for (const { name, value } of control) rows.set(controlKey(name), value)
  for (const { document, value } of documents) rows.set(`document ${document}`, value)
  for (const { document, actor, value } of actors) rows.set(`actor ${actor} of ${document}`, value)
  return rows
}

/** One at a time, as they may be as many as what is stored. */
function* expectedRows(state: SpaceState): Generator<readonly [row: string, value: Uint8Array]> {
  for (const { name, value } of controlRows(state.control)) yield [controlKey(name), value]
  for (const record of documentsOf(state)) {
    yield [`document ${record.document}`, encodeDocumentRecord(record)]
    for (const actor of actorsOf(record)) {
      yield [`actor ${actor.actor} of ${record.document}`, encodeActorRecord(actor)]
    }
  }
}

/** A name that is none is damage, and may be anything. */
function controlKey(name: string): string {
  return `control row ${JSON.stringify(name)}`
}
