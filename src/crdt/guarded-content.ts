import * as Automerge from '@automerge/automerge/slim'
import { toHex } from '../bytes.ts'
import type { ActorId } from '../ids.ts'
import type { ChangeTip } from './chain-place.ts'
import {
  type AnyDoc,
  applyRows,
  changeCount,
  compact,
  emptyDoc,
  type Patch,
  type PatchBatch,
  rebuildAt,
} from './content.ts'
import type { StopReason } from './document-meta.ts'
import type { FileRow } from './file-row.ts'
import { CausalIndex } from './guard/causal-index.ts'
import type { InspectedOps } from './guard.ts'
import { judgeRow, type Verdict } from './judge.ts'

/** A stretch of content that is not applied, and why; also one behind such a stretch of the same actor. */
export interface RefusedRow {
  readonly row: FileRow
  /** `parked`: what it builds on is missing. */
  readonly reason: StopReason
  readonly code: string
  /** The first change that is missing, 32 bytes. */
  readonly needs: Uint8Array | undefined
}

/** What became of some rows. */
export interface Taken extends PatchBatch {
  readonly taken: readonly FileRow[]
  readonly refused: readonly RefusedRow[]
  /** Latest change of each actor. */
  readonly tips: ReadonlyMap<ActorId, ChangeTip>
}

/**
 * An Automerge document that changes of others enter through the guard only (DESIGN §6.3). What their changes may
 * refer to is told by an index of the document, which is built when it is first needed, and grows from then on.
 */
export class GuardedContent {
  readonly #actor: ActorId
  #doc: AnyDoc
  /** Of what `#doc` holds, and of what is about to be applied. */
  #index: CausalIndex | undefined

  constructor(actor: ActorId, doc: AnyDoc = emptyDoc(actor)) {
    this.#actor = actor
    this.#doc = doc
  }

  get doc(): AnyDoc {
    return this.#doc
  }

  /** Who edits it. */
  get actor(): ActorId {
    return this.#actor
  }

  /**
   * Takes what the guard accepts, and leaves the rest: in one call of Automerge where all is as announced, else entry
   * by entry. The outcome is the same.
   * @param tips latest change of each actor that wrote entries
   */
  take(rows: readonly FileRow[], tips: ReadonlyMap<ActorId, ChangeTip>): Taken {
    const before = this.#doc
    const heads = Automerge.getHeads(before)
    const together = this.#takeTogether(rows, new Verdicts(tips))
    if (together !== undefined) return together
    this.restore(heads)
    const verdicts = this.#takeOneByOne(rows, new Verdicts(tips))
    const patches = Automerge.diff(this.#doc, heads, Automerge.getHeads(this.#doc))
    return { before, doc: this.#doc, patches, ...verdicts.result() }
  }

  /** @returns undefined where Automerge does not find in them what they announce; the document is a wreck then */
  #takeTogether(rows: readonly FileRow[], verdicts: Verdicts): Taken | undefined {
    const before = this.#doc
    const patches: Patch[] = []
    let waiting: FileRow[] = []
    let hasMarks = false
    const apply = (): boolean => {
      if (waiting.length === 0) return true
      const applied = applyRows(this.#doc, waiting)
      if (applied === undefined) return false
      this.#doc = applied.doc
      for (const patch of applied.patches) patches.push(patch)
      waiting = []
      return true
    }
    for (const row of rows) {
      if (verdicts.isBehind(row)) continue
      // Where a bundle before this is not applied yet, only Automerge knows the hashes of the changes in it.
      let verdict = this.#judge(row, verdicts)
      if ('reason' in verdict && verdict.reason === 'parked' && waiting.length > 0) {
        if (!apply()) return undefined
        verdict = this.#judge(row, verdicts)
      }
      if ('reason' in verdict) {
        verdicts.refuse(row, verdict)
        continue
      }
      waiting.push(row)
      verdicts.take(row)
      if (verdict.inspected !== undefined) {
        this.#learn(row, verdict.inspected)
        hasMarks ||= verdict.inspected.hasMarks
      } else {
        if (!apply()) return undefined
        this.#index = undefined
      }
    }
    if (!apply() || (hasMarks && compact(this.#doc) === undefined)) return undefined
    return { before, doc: this.#doc, patches, ...verdicts.result() }
  }

  #takeOneByOne(rows: readonly FileRow[], verdicts: Verdicts): Verdicts {
    for (const row of rows) {
      if (verdicts.isBehind(row)) continue
      const verdict = this.#judge(row, verdicts)
      const reason = 'reason' in verdict ? undefined : this.#takeOne(row, verdict.inspected)
      if ('reason' in verdict) verdicts.refuse(row, verdict)
      else if (reason === undefined) verdicts.take(row)
      else verdicts.refuse(row, { reason, code: 'ERR_CONTENT', needs: undefined })
    }
    return verdicts
  }

  /** @returns why not, where it is not taken */
  #takeOne(row: FileRow, inspected: InspectedOps | undefined): StopReason | undefined {
    const heads = Automerge.getHeads(this.#doc)
    // A mark that ends before it begins: the document works, but its file does not load. Only a try can tell.
    const isTried = inspected?.hasMarks === true && compact(this.#doc) !== undefined
    const applied = applyRows(this.#doc, [row])
    if (applied === undefined || (isTried && compact(applied.doc) === undefined)) {
      this.restore(heads)
      // Applied, it is what it announces: then no snapshot that loads can bring it. Otherwise it is something else.
      return applied === undefined ? 'parked' : 'refused'
    }
    this.#doc = applied.doc
    if (inspected === undefined) this.#index = undefined
    else this.#learn(row, inspected)
    return undefined
  }

  #judge(row: FileRow, verdicts: Verdicts): Verdict {
    this.#index ??= indexOf(this.#doc, () => this.#doc)
    return judgeRow(row, this.#index, row.actor === undefined ? undefined : verdicts.tips.get(row.actor))
  }

  #learn(row: FileRow, inspected: InspectedOps): void {
    if (row.tip !== undefined) this.#index?.add(inspected, toHex(row.tip.hash))
  }

  /** Applies own changes, and changes that were judged before. @returns undefined where they are not as announced */
  trust(rows: readonly FileRow[]): PatchBatch | undefined {
    if (rows.length === 0) return { before: this.#doc, doc: this.#doc, patches: [] }
    const heads = Automerge.getHeads(this.#doc)
    const applied = applyRows(this.#doc, rows)
    if (applied === undefined) {
      this.restore(heads)
      return undefined
    }
    this.#doc = applied.doc
    this.#index = undefined
    return applied
  }

  /** A local change was made. */
  edited(doc: AnyDoc, inspected: InspectedOps, hash: string): void {
    this.#doc = doc
    this.#index?.add(inspected, hash)
  }

  /** The document as it was at these heads, out of what it has become. */
  restore(heads: Automerge.Heads, from: AnyDoc = this.#doc): void {
    this.#doc = rebuildAt(from, heads, this.#actor)
    this.#index = undefined
  }
}

/** The outcome so far: behind what was not taken, nothing of the same actor is tried. */
class Verdicts {
  readonly tips: Map<ActorId, ChangeTip>
  readonly #taken: FileRow[] = []
  readonly #refused: RefusedRow[] = []
  readonly #stopped = new Map<ActorId | undefined, Omit<RefusedRow, 'row'>>()

  constructor(tips: ReadonlyMap<ActorId, ChangeTip>) {
    this.tips = new Map(tips)
  }

  isBehind(row: FileRow): boolean {
    const stop = this.#stopped.get(row.actor)
    if (stop !== undefined) this.#refused.push({ row, ...stop })
    return stop !== undefined
  }

  refuse(row: FileRow, { reason, code, needs }: Omit<RefusedRow, 'row'>): void {
    this.#stopped.set(row.actor, { reason, code, needs })
    this.#refused.push({ row, reason, code, needs })
  }

  take(row: FileRow): void {
    this.#taken.push(row)
    if (row.actor !== undefined && row.tip !== undefined) this.tips.set(row.actor, row.tip)
  }

  result(): Pick<Taken, 'taken' | 'refused' | 'tips'> {
    return { taken: this.#taken, refused: this.#refused, tips: this.tips }
  }
}

function indexOf(doc: AnyDoc, current: () => AnyDoc): CausalIndex {
  const locate = (hash: string): { actor: string; seq: number } | undefined =>
    Automerge.getBackend(current()).getChangeMetaByHash(hash) ?? undefined
  return changeCount(doc) === 0 ? new CausalIndex(locate) : CausalIndex.ofDocument(Automerge.save(doc), locate)
}
