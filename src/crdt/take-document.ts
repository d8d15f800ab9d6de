import type { Environment } from '../environment.ts'
import type { DocumentId } from '../ids.ts'
import type { LogView } from '../verify/log.ts'
import { findDocument, type SpaceState } from '../verify/state.ts'
import { keepDocuments } from '../verify/tracer.ts'
import { type Adoption, SnapshotContradicted } from './adopt.ts'
import type { DocumentSet } from './document-set.ts'
import type { Holdings } from './holdings.ts'
import type { KeptLog } from './kept-log.ts'
import type { Problems } from './problems.ts'
import type { TagAudit } from './tag-audit.ts'
import { documentRows, replacedViewRows } from './view-rows.ts'

export interface TakeDocumentOptions {
  readonly log: KeptLog
  readonly holdings: Holdings
  readonly documents: DocumentSet
  readonly tags: TagAudit
  readonly problems: Problems
  readonly environment: Pick<Environment, 'now'>
  /** The own chain in a document is closed: own changes have yet to be carried over. */
  readonly onRetired: (document: DocumentId) => void
}

/**
 * Makes a document that came as a whole the one that is here: what the state says of it, its content, what of it has yet
 * to be checked, which own changes go with what it replaces, and that it is here become durable together, then visible.
 * A snapshot that contradicts what was replayed here, or on which own changes do not stand, is not taken: nothing has
 * changed then. Inside `DocumentSet.exclusive`.
 * @param adoption undefined where the log has nothing of the document; used up
 * @throws SnapshotContradicted; SealogError ERR_STORE…
 */
export async function takeDocument(
  document: DocumentId,
  state: SpaceState,
  adoption: Adoption | undefined,
  { log, holdings, documents, tags, problems, environment, onRetired }: TakeDocumentOptions,
): Promise<void> {
  // It may have what is here judged, which moves the rows that the plan is about.
  const taking = adoption && (await tags.taking(adoption))
  if (adoption !== undefined && taking?.contradicted !== undefined) {
    tags.contradicted(adoption, taking.contradicted)
    adoption.discard()
    throw new SnapshotContradicted()
  }
  const plan = adoption && (await documents.adopting(adoption, tags.due.has(document)))
  const check = plan?.isHeldBack === false ? taking : undefined
  const { view, note } = log
  const held = new Set(holdings.held).add(document)
  const next: LogView = { ...view, state: keepDocuments(state, held) }
  const record = findDocument(state, document)
  const puts = [
    ...replacedViewRows(next, note, held, view.state?.control),
    ...(record === undefined ? [] : documentRows(view.space, record)),
    ...(plan?.puts ?? []),
    ...(check?.puts ?? []),
  ]
  const deletes = [...(plan?.deletes ?? []), ...(check?.deletes ?? [])]
  await log.keep(next, note as Uint8Array, { puts, deletes }, undefined)
  holdings.hold(held)
  if (adoption === undefined || plan === undefined) return
  // What is to be checked counts first: whatever fails from here on, nobody says that it was.
  if (check !== undefined) tags.taken(adoption, check)
  const lost = await documents.adopted(adoption, plan)
  if (lost.length > 0) {
    // What turned out to be false is not there any more, and what was written on top of it cannot stand without.
    const message = `${lost.length} changes made here built on a snapshot that was refuted, and went with it`
    problems.add(`lost/${document}`, { code: 'ERR_CONTENT', message, since: environment.now(), document })
  }
  if (plan.isClosed) onRetired(document)
}
