import * as Automerge from '@automerge/automerge/slim'
import { toHex } from '../bytes.ts'
import { sha256 } from '../crypto/hash.ts'
import { asSealogError, SealogError } from '../errors.ts'
import type { DocumentId } from '../ids.ts'
import { INLINE_BODY_LENGTH } from '../verify/entry.ts'
import { findActor, knownDocument } from '../verify/state.ts'
import type { DocumentCore } from './document-core.ts'
import type { DocumentSet } from './document-set.ts'
import { buildChangesPayloads } from './payload.ts'
import { type SealContext, type SealedEntry, sealChanges, sealControl, sealImport, sealRetire } from './seal.ts'

/** What one push carries at most, so that it stays in one frame with room for framing, in bytes. */
const PUSH_BUDGET: number = 700 * 1024
const PUSH_ENTRIES = 256
/** Bodies that travel ahead of the push, all together: what a relay stages is limited. In bytes. */
const PUSH_LARGE: number = 32 * 1024 * 1024
/** Own changes of one document that are packed at a time. */
const PUSH_CHANGES = 32_768

/** A control entry, ready to be sealed. */
export interface PreparedControl {
  /** In clear. */
  readonly body: Uint8Array
  /** What it delivers beside the log: all wraps, one after the other. */
  readonly wraps?: Uint8Array | undefined
}

/** A control entry that waits for its turn. */
export interface ControlRequest {
  /** Called anew for each attempt, on the log as it is then. @returns undefined where there is no need any more */
  readonly prepare: () => Promise<PreparedControl | undefined>
  readonly incarnation: Uint8Array
  /** Where it was too late, is it tried again at once? Otherwise whoever wants it looks anew. */
  readonly insists: boolean
  /** Hash of the body that was sent last, in hex: it tells the entry in the log, also when its acknowledgement was lost. */
  sent?: string
  readonly resolve: (index: number | undefined) => void
  readonly reject: (error: unknown) => void
}

export interface PushPlan {
  readonly entries: readonly OutgoingSealed[]
  /** The control request that the plan is about, if any. */
  readonly control: ControlRequest | undefined
}

/** A sealed entry, and what travels with it. */
export interface OutgoingSealed extends SealedEntry {
  readonly wraps?: Uint8Array | undefined
}

/** Documents that have to wait, so that the others need not. */
export interface PushObstacles {
  isHeld(document: DocumentId): boolean
  /** What is to be sent of this document cannot be sealed. */
  onUnsendable(document: DocumentId, error: SealogError): void
}

/** A control entry goes alone, for later entries may depend on it. */
export async function planControl(context: SealContext, request: ControlRequest): Promise<PushPlan> {
  const prepared = await request.prepare()
  if (prepared === undefined) return { entries: [], control: request }
  request.sent = toHex(sha256(prepared.body))
  const entry = await sealControl(context, request.incarnation, prepared.body)
  return { entries: [{ ...entry, wraps: prepared.wraps }], control: request }
}

/** Retirements and the stored own changes of all documents, sealed now. */
export async function planContent(
  context: SealContext,
  documents: DocumentSet,
  obstacles: PushObstacles,
): Promise<PushPlan> {
  const entries: SealedEntry[] = []
  let budget = PUSH_BUDGET
  let large = PUSH_LARGE
  const take = (sealed: readonly SealedEntry[]): boolean => {
    for (const { header, body, ...rest } of sealed) {
      const isInline = body.length <= INLINE_BODY_LENGTH
      budget -= header.length + 128 + (isInline ? body.length : 0)
      large -= isInline ? 0 : body.length
      const isFull = budget < 0 || large < 0 || entries.length >= PUSH_ENTRIES
      // However large: one alone has to go.
      if (isFull && entries.length > 0) return false
      entries.push({ header, body, ...rest })
    }
    return true
  }
  for (const core of [...documents.cores()]) {
    if (obstacles.isHeld(core.document)) continue
    try {
      if (!take(await sealDocument(context, documents, core))) break
    } catch (error) {
      obstacles.onUnsendable(core.document, asSealogError(error, 'ERR_CONTENT', 'own changes cannot be sealed'))
    }
  }
  return { entries, control: undefined }
}

/** Is there anything of this document that the log does not have yet and that may be sent now? */
export function hasPending(context: Pick<SealContext, 'view'>, documents: DocumentSet, core: DocumentCore): boolean {
  const { clonedAt, importer, importing } = documents.meta(core.document)
  if (clonedAt !== undefined) return !isRetired(context, core)
  // Whether the own actor may write there depends on the import that the document begins with.
  if (importer !== undefined) return false
  return core.pending().length > 0 || importing !== undefined
}

function isRetired({ view }: Pick<SealContext, 'view'>, core: DocumentCore): boolean {
  const record = knownDocument(view.state, core.document)
  return (record && findActor(record, core.actor))?.retired === true
}

async function sealDocument(
  context: SealContext,
  documents: DocumentSet,
  core: DocumentCore,
): Promise<readonly SealedEntry[]> {
  const document: DocumentId = core.document
  const { incarnation, clonedAt, importing } = documents.meta(document)
  if (incarnation === undefined || !hasPending(context, documents, core)) return []
  if (clonedAt !== undefined) return [await sealRetire(context, document, incarnation)]
  if (importing !== undefined) {
    const payload = await documents.importPayload(document)
    if (payload === undefined) throw new SealogError('ERR_STORE_CORRUPT', 'an own import is gone')
    // Alone: what comes behind it goes on from its place in the chain.
    return [await sealImport(context, document, incarnation, payload, importing)]
  }
  const payloads = buildChangesPayloads(Automerge.getBackend(core.doc), core.pending().slice(0, PUSH_CHANGES), {
    actor: core.actor,
    previousHash: core.tip?.hash,
  })
  return sealChanges(context, document, incarnation, payloads)
}
