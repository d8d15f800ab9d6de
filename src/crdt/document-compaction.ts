import { compact, compactRows } from './content.ts'
import type { DocumentCore } from './document-core.ts'
import type { DocumentLedger } from './document-ledger.ts'
import type { DocumentRows } from './document-rows.ts'
import { savedRow } from './file-row.ts'
import type { ReplicaStore } from './store.ts'

/** When saving a document anew is worth the while. */
export interface CompactionLimits {
  /** Fewest changes beyond the saved form. */
  readonly least: number
  /** The same as a share of what is saved. */
  readonly share: number
}

export const COMPACT_WHILE_OPEN: CompactionLimits = { least: 2048, share: 0.5 }
export const COMPACT_WHEN_IDLE: CompactionLimits = { least: 128, share: 0.05 }

/**
 * Puts one saved form in the place of the stored rows of a document, where that is due and loads again (DESIGN §6.3).
 * @throws SealogError ERR_STORE…; then everything is as it was
 */
export async function compactIfDue(
  core: DocumentCore,
  { least, share }: CompactionLimits,
  {
    ledger,
    rows,
    store,
  }: { readonly ledger: DocumentLedger; readonly rows: DocumentRows; readonly store: ReplicaStore },
): Promise<void> {
  const { document } = core
  if (ledger.meta(document).clonedAt !== undefined || !core.isCompactionDue(least, share)) return
  await ledger.pay(document)
  const compacted =
    core.locals.length === 0
      ? compact(core.doc)
      : compactRows(core.actor, (await rows.files(ledger.meta(document))).judged)
  if (compacted === undefined) return core.markUnsaveable()
  const { count, bytes } = compacted
  const deletes = await rows.fileKeys(document)
  const meta = ledger.meta(document)
  const next = { ...meta, nextFile: meta.nextFile + 1, judged: meta.nextFile + 1 }
  const puts = [rows.fileRow(document, meta.nextFile, savedRow(count, bytes)), rows.metaRow(next)]
  await store.commit({ puts, deletes })
  ledger.set(next)
  core.markCompacted(count)
}
