import { type Batch, type BatchEntry, decodeHeader } from 'sealog/protocol'
import { batchLie, type Lie, replaceAt, type Teller } from './lie.ts'
import type { StoredEntry } from './log-store.ts'

/** Other entries than those of the log, or in another order, under the note over the true log. */
export const ENTRY_LIES: readonly Lie[] = [
  batchLie({
    name: 'drop-entry',
    says: 'an entry is dropped, and the later ones take the numbers before them',
    expected: ['ERR_ROOT_MISMATCH', 'ERR_PROOF'],
    batch: batch => alter(batch.entries.length > 0, batch, entries => entries.slice(1)),
  }),
  batchLie({
    name: 'drop-author',
    says: 'the entries of one author are withheld, those of others are not',
    expected: ['ERR_ROOT_MISMATCH', 'ERR_PROOF'],
    batch: batch =>
      alter(batch.entries.length > 0, batch, entries => {
        const device = deviceOf(entries[0] as BatchEntry)
        return entries.filter(entry => deviceOf(entry) !== device)
      }),
  }),
  batchLie({
    name: 'drop-last-entry',
    says: 'the end of a batch is cut off, under a note that counts it',
    expected: ['ERR_PROOF'],
    batch: batch => alter(batch.entries.length > 0, batch, entries => entries.slice(0, -1)),
  }),
  batchLie({
    name: 'repeat-entry',
    says: 'the last entry comes twice',
    expected: ['ERR_ROOT_MISMATCH'],
    batch: batch => alter(batch.entries.length > 0, batch, entries => [...entries, ...entries.slice(-1)]),
  }),
  batchLie({
    name: 'swap-entries',
    says: 'two entries change places',
    expected: ['ERR_ROOT_MISMATCH'],
    batch: batch =>
      alter(batch.entries.length > 1, batch, ([a, b, ...rest]) => [b as BatchEntry, a as BatchEntry, ...rest]),
  }),
  batchLie({
    name: 'reverse-entries',
    says: 'a batch comes from the last entry to the first',
    expected: ['ERR_ROOT_MISMATCH'],
    batch: batch => alter(batch.entries.length > 1, batch, entries => entries.toReversed()),
  }),
  batchLie({
    name: 'add-old-entry',
    says: 'an entry from further up in the log follows the last one',
    expected: ['ERR_ROOT_MISMATCH'],
    batch: (batch, { log }) => {
      const old = log[batch.from - 1]
      return alter(old !== undefined, batch, entries => [...entries, served(old as StoredEntry)])
    },
  }),
  batchLie({
    name: 'entry-of-another-space',
    says: 'an entry of another space stands in the place of one of this',
    expected: ['ERR_ROOT_MISMATCH'],
    batch: (batch, teller) => {
      const other = teller.otherSpace.at(-1)
      const isDue = other !== undefined && batch.entries.length > 0
      return alter(isDue, batch, entries => replaceAt(entries, 0, served(other as StoredEntry)))
    },
  }),
  batchLie({
    name: 'entry-of-another-document',
    says: 'an older entry, of another document, stands in the place of one',
    expected: ['ERR_ROOT_MISMATCH'],
    batch: (batch, teller) => {
      const other = batch.entries[0] && ofAnotherDocument(batch.entries[0], teller)
      return alter(other !== undefined, batch, entries => replaceAt(entries, 0, served(other as StoredEntry)))
    },
  }),
  batchLie({
    name: 'uncovered-entry',
    says: 'no signature covers the last entry of an author',
    expected: ['ERR_UNCOVERED'],
    batch: batch => unsigned(batch, batch.entries.length - 1),
  }),
  batchLie({
    name: 'uncovered-control-entry',
    says: 'a control entry comes without its signature',
    expected: ['ERR_UNCOVERED'],
    batch: batch =>
      unsigned(
        batch,
        batch.entries.findIndex(entry => decodeHeader(entry.header).kind === 'control'),
      ),
  }),
  batchLie({
    name: 'signature-of-another-entry',
    says: 'an entry comes with the signature of the one before',
    expected: ['ERR_SIGNATURE'],
    batch: (batch, { log }) => {
      const at = batch.entries.length - 1
      const before = log[batch.from + at - 1]
      const last = batch.entries[at]
      if (before === undefined || last === undefined) return undefined
      return { ...batch, entries: replaceAt(batch.entries, at, { ...last, signature: before.signature }) }
    },
  }),
  batchLie({
    name: 'later-batch',
    says: 'a batch says that it begins behind an entry that the replica does not have',
    expected: ['ERR_UNEXPECTED'],
    batch: batch => (batch.entries.length > 0 ? { ...batch, from: batch.from + 1 } : undefined),
  }),
  batchLie({
    name: 'earlier-batch',
    says: 'a batch begins with an entry that the replica has',
    expected: ['ERR_UNEXPECTED'],
    batch: (batch, { log }) => {
      const before = log[batch.from - 1]
      if (before === undefined || batch.entries.length === 0) return undefined
      return { ...batch, from: batch.from - 1, entries: [served(before), ...batch.entries] }
    },
  }),
]

/** How an entry travels. */
function served({ header, signature, body }: StoredEntry): BatchEntry {
  return { header, signature, body }
}

function alter(
  isDue: boolean,
  batch: Batch,
  change: (entries: readonly BatchEntry[]) => readonly BatchEntry[],
): Batch | undefined {
  return isDue ? { ...batch, entries: change(batch.entries) } : undefined
}

function unsigned(batch: Batch, at: number): Batch | undefined {
  const entry = batch.entries[at]
  if (entry?.signature === undefined) return undefined
  return { ...batch, entries: replaceAt(batch.entries, at, { ...entry, signature: undefined }) }
}

function deviceOf({ header }: BatchEntry): number {
  return decodeHeader(header).device
}

function ofAnotherDocument({ header }: BatchEntry, { log }: Teller): StoredEntry | undefined {
  const { document } = decodeHeader(header)
  return log.find(entry => !entry.isControl && decodeHeader(entry.header).document !== document)
}
