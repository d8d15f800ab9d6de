import type { KnownWriters } from './crdt/attribution.ts'
import type { DocumentCore } from './crdt/document-core.ts'
import type { DocumentSet } from './crdt/document-set.ts'
import type { SpaceSync } from './crdt/space-sync.ts'
import { knownDocument } from './verify/state.ts'

/** Who has written in a document, by the verified log, and as whom this replica writes there. */
export function writersOf(core: DocumentCore, documents: DocumentSet, sync: SpaceSync): KnownWriters {
  const { tips, importing } = documents.meta(core.document)
  const { state } = sync.view
  const own = {
    actor: core.actor,
    member: sync.member,
    device: sync.device,
    hasUnsent: core.locals.length > 0,
    hasImported: importing !== undefined,
  }
  return { control: state?.control, record: knownDocument(state, core.document), tips, own }
}
