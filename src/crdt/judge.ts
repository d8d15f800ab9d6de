import { fromHex, toHex } from '../bytes.ts'
import { SealogError } from '../errors.ts'
import type { ChangeTip } from './chain-place.ts'
import type { StopReason } from './document-meta.ts'
import type { FileRow } from './file-row.ts'
import type { CausalIndex } from './guard/causal-index.ts'
import { readChangeLinks } from './guard/change-chunk.ts'
import { inspectDocument } from './guard/document-chunk.ts'
import { type CausalPast, DEFAULT_LIMITS, type GuardReason } from './guard/rules.ts'
import { type InspectedOps, inspect } from './guard.ts'

export type Verdict =
  /** May be applied. Of an import there is nothing inspected: the index is built anew from the document. */
  | { readonly inspected: InspectedOps | undefined }
  | {
      readonly reason: StopReason
      readonly code: string
      /** Of `ERR_DEPENDENCY`: the first change that is missing, 32 bytes. */
      readonly needs: Uint8Array | undefined
    }

/**
 * Judges the content of one entry before Automerge sees it (DESIGN §6.3), by its bytes, its actor's latest change and
 * the causal past of its changes. All three are functions of the log: so is the verdict, whatever else is here.
 *
 * What is wrong in itself stops the actor, also where dependencies are missing. Otherwise, as long as one is missing,
 * what the changes refer to cannot be told, and the actor is parked.
 *
 * Whoever is stopped for good must be stopped everywhere: no replica may ever get from elsewhere what is refused here.
 * So the chain ends only where `isCommitted` proves that the tag stands for these very changes, and for what is wrong
 * with one of them, not with how they were put together. A snapshot with them is then refused as well, for the same
 * reason. All else parks the actor: its author may have put one thing into the tag and another into the body, and
 * have somebody bring what the tag commits to.
 * @param tip the actor's latest change in the document
 */
export function judgeRow(row: FileRow, index: CausalIndex, tip: ChangeTip | undefined): Verdict {
  try {
    return row.kind === 'import' ? judgeImport(row) : judgeChanges(row, index, tip)
  } catch (error) {
    if (!(error instanceof SealogError)) throw error
    const isFinal = !isAboutPayload(error) && isCommitted(row, tip)
    return { reason: isFinal ? 'refused' : 'parked', code: error.code, needs: undefined }
  }
}

/** Limits of one payload, which the same changes keep to in several, or in a snapshot. */
const PAYLOAD_REASONS: ReadonlySet<unknown> = new Set<GuardReason>([
  'too-large',
  'too-many-changes',
  'too-many-ops',
  'too-many-predecessors',
  'too-many-actors',
  'too-many-dependencies',
])

function isAboutPayload({ details }: SealogError): boolean {
  return PAYLOAD_REASONS.has(details?.reason)
}

/**
 * Is every change in this row one that the tag commits to? The tag is of the announced hash. It is the hash of the last
 * change, computed from its bytes; that names the change before as a dependency, by hash, and so on to the first one,
 * which names the change that the chain ended with. So whoever brings the announced change brings exactly these, at
 * exactly these places. What a bundle or an import stands for cannot be told from their bytes alone.
 */
function isCommitted({ kind, bytes, actor, count, tip: announced }: FileRow, tip: ChangeTip | undefined): boolean {
  if (kind !== 'raw' || announced === undefined) return false
  const links = linksOf(bytes)
  const last = links.at(-1)
  if (links.length !== count || last?.hash !== toHex(announced.hash) || last.seq !== announced.seq) return false
  const nextSeq = (tip?.seq ?? 0) + 1
  const first = tip === undefined ? undefined : toHex(tip.hash)
  return links.every((link, i) => {
    const previous = i === 0 ? first : links[i - 1]?.hash
    const isLinked = previous === undefined || link.dependencies.includes(previous)
    return link.actor === actor && link.seq === nextSeq + i && isLinked
  })
}

function linksOf(bytes: Uint8Array): ReturnType<typeof readChangeLinks> {
  try {
    return readChangeLinks(bytes, DEFAULT_LIMITS)
  } catch (error) {
    if (error instanceof SealogError) return []
    throw error
  }
}

function judgeChanges(row: FileRow, index: CausalIndex, tip: ChangeTip | undefined): Verdict {
  const { kind, actor, tip: announced } = row
  if (actor === undefined || announced === undefined || (kind !== 'raw' && kind !== 'bundle')) {
    throw new TypeError('row: not of an entry of changes')
  }
  // Its changes could not be told from those that came with the import.
  if (tip === undefined && index.seqOf(actor) > 0) throw new SealogError('ERR_CONTENT', 'an actor of the import')
  let missing: string | undefined
  const past = (dependencies: readonly string[]): CausalPast | undefined => {
    const found = index.past(dependencies)
    if (found === undefined) missing ??= dependencies.find(hash => index.past([hash]) === undefined)
    return found
  }
  const nextSeq = (tip?.seq ?? 0) + 1
  const inspected = inspect(row.bytes, { actor, nextSeq, previousHash: tip?.hash, encoding: kind, past })
  assertAnnounced(row, announced, inspected)
  if (missing !== undefined) return { reason: 'parked', code: 'ERR_DEPENDENCY', needs: fromHex(missing) }
  return { inspected }
}

/** Only Automerge can tell the hash of a change in a bundle: that is compared after it was applied. */
function assertAnnounced(row: FileRow, announced: ChangeTip, { changes }: InspectedOps): void {
  const last = changes.at(-1)
  const isWhole = changes.length === row.count && last?.seq === announced.seq
  if (!isWhole || (last.hash !== undefined && last.hash !== toHex(announced.hash))) {
    throw new SealogError('ERR_CONTENT', `entry ${row.index} does not hold the changes it announces`)
  }
}

function judgeImport(row: FileRow): Verdict {
  const { changeCount } = inspectDocument(row.bytes)
  if (changeCount !== row.count)
    throw new SealogError('ERR_CONTENT', `entry ${row.index} is not the import it announces`)
  return { inspected: undefined }
}
