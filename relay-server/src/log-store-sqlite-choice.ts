import type { Database } from 'better-sqlite3'
import { idBytes } from 'sealog/protocol'
import type { EntryChoice, PlacedEntry, ReadLimits } from './log-store.ts'
import { type EntryRow, placedEntry, selectingEntries, takeEntries } from './log-store-sqlite-rows.ts'

/** Reads entries out of the order of the log's stretches, each kind of choice by an index of its own. */
export function choiceReader(
  db: Database,
): (space: number, choice: EntryChoice, limits: ReadLimits) => readonly PlacedEntry[] {
  const select = <P extends unknown[]>(rest: string, by?: string) =>
    db.prepare<P, EntryRow>(selectingEntries(`entries.space = ? AND ${rest}`, by)).raw()
  const selectControl = select<[number, number, number, number]>(
    'is_control = 1 AND entries.place >= ? AND entries.place < ? ORDER BY entries.place',
    'entries_of_control',
  )
  const selectOfDocument = select<[number, number, Uint8Array, number, number]>(
    'document = ? AND entries.place >= ? AND entries.place < ? ORDER BY entries.place',
    'entries_of_documents',
  )
  const selectChain = select<[number, number, Uint8Array, number, number]>(
    'actor = ? AND seq >= ? AND seq <= ? ORDER BY seq',
    'entries_of_actors',
  )
  const selectOne = select<[number, number, number]>('entries.place = ?')
  // One look-up for each actor, not one for each entry: from the end of the chain back to the first below the bound.
  const selectLatest = db
    .prepare<[number, number, Uint8Array], number | null>(
      `SELECT (SELECT place FROM entries
        WHERE entries.space = actors.space AND entries.actor = actors.actor AND place < ? ORDER BY seq DESC LIMIT 1)
       FROM actors WHERE space = ? AND document = ?`,
    )
    .pluck()

  function* latest(space: number, inlineLength: number, places: readonly number[]): Generator<EntryRow> {
    for (const place of places) {
      const row = selectOne.get(inlineLength, space, place)
      if (row !== undefined) yield row
    }
  }

  function rowsOf(space: number, choice: EntryChoice, inlineLength: number): Iterable<EntryRow> {
    const { from } = choice
    switch (choice.kind) {
      case 'control':
        return selectControl.iterate(inlineLength, space, from, choice.to)
      case 'document':
        return selectOfDocument.iterate(inlineLength, space, idBytes(choice.document), from, choice.to)
      case 'chain':
        return selectChain.iterate(inlineLength, space, idBytes(choice.actor), from, choice.to)
      case 'latest': {
        const places = selectLatest.all(choice.below, space, idBytes(choice.document))
        const wanted = places.filter(place => place !== null && place >= from) as number[]
        return latest(
          space,
          inlineLength,
          wanted.sort((a, b) => a - b),
        )
      }
    }
  }

  return (space, choice, { inlineLength, maxBytes }) =>
    takeEntries(rowsOf(space, choice, inlineLength), maxBytes, placedEntry)
}
