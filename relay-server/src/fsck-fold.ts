import {
  type ActorId,
  decodeHeader,
  emptyRange,
  entryHash,
  isZero,
  type SealogError,
  type SignatureCheck,
  type SignatureVerifier,
  type SpaceId,
} from 'sealog/protocol'
import { appendOf } from './append.ts'
import { type AcceptedEntry, judge, type SpaceView, seenSizesOf } from './judge.ts'
import type { Append } from './log-store.ts'
import type { PushedEntry } from './pushed-entry.ts'

/** Name and public checkpoint key (32 bytes) of a relay. */
export interface RelayName {
  readonly name: string
  readonly key: Uint8Array
}

/** Roots (32 bytes) of the first so many entries, for sizes that were folded already. */
export type RootsAt = (sizes: readonly number[]) => Promise<ReadonlyMap<number, Uint8Array>>

/** What is wrong with one entry. */
export interface EntryFault {
  readonly index: number
  readonly reason: string
}

/** What a stretch of the log brings about. */
export interface Folded {
  /** Of the entries up to the first that the reducer refused; undefined where that is the first of all. */
  readonly append: Append | undefined
  /** Signatures that do not verify. */
  readonly unsigned: readonly EntryFault[]
  /** The entry that cannot have been accepted, after which nothing can be said of the state. */
  readonly refused: (EntryFault & { readonly error: SealogError }) | undefined
}

/**
 * Goes through a log from its beginning as the relay once did, by the same reducer, and verifies all signatures: what
 * comes of it is what must be stored. What it has to be told is the entries alone, so nothing else that is stored counts
 * as evidence.
 */
export class LogFold {
  readonly #relay: RelayName
  readonly #verifier: SignatureVerifier
  readonly #rootsAt: RootsAt
  /** Actors whose latest entry lacks the signature that a later one of the chain makes up for, and its place. */
  readonly #uncovered = new Map<ActorId, number>()
  #view: SpaceView

  constructor(space: SpaceId, relay: RelayName, verifier: SignatureVerifier, rootsAt: RootsAt) {
    this.#relay = relay
    this.#verifier = verifier
    this.#rootsAt = rootsAt
    this.#view = { space, range: emptyRange, state: undefined }
  }

  /** After the entries taken so far, up to one that was refused. */
  get view(): SpaceView {
    return this.#view
  }

  /** Places of entries that no signature covers, if the log ends here (protocol.md R-COVER-1). */
  get uncovered(): readonly number[] {
    return [...this.#uncovered.values()]
  }

  /** @param entries those that follow; bodies matter of control entries only */
  async take(entries: readonly PushedEntry[]): Promise<Folded> {
    const base = this.#view
    const known = [...seenSizesOf([entries])].filter(size => size <= base.range.size)
    const judged = judge(base, [entries], {
      relay: this.#relay,
      // Whether an invite had expired was decided when its join came.
      now: 0,
      // After a recovery the relay may have none; those that are there must be right.
      lacksWraps: true,
      seenRoots: await this.#rootsAt(known),
      verdictOf: () => undefined,
    })
    const [refused] = judged.refused
    const index = base.range.size + (refused?.position ?? 0)
    this.#view = judged.view
    return {
      append: judged.accepted.length > 0 ? appendOf(base, judged) : undefined,
      unsigned: await this.#verify(judged.accepted),
      refused: refused && { index, reason: refused.error.message, error: refused.error },
    }
  }

  async #verify(accepted: readonly AcceptedEntry[]): Promise<readonly EntryFault[]> {
    const faults: EntryFault[] = []
    const due: { readonly index: number; readonly check: SignatureCheck }[] = []
    for (const { entry, actor, index, checks } of accepted) {
      const [own, ...possession] = checks
      const isSigned = !isZero(entry.signature)
      if (isSigned) this.#uncovered.delete(actor)
      else if (entry.header.kind === 'control') faults.push({ index, reason: 'a control entry without its signature' })
      else this.#uncovered.set(actor, index)
      for (const check of isSigned && own !== undefined ? [own, ...possession] : possession) due.push({ index, check })
    }
    const verdicts = await this.#verifier.verifyAll(due.map(({ check }) => check))
    for (const [i, { index }] of due.entries()) {
      if (verdicts[i] !== true) faults.push({ index, reason: 'a signature does not verify' })
    }
    return faults
  }
}

export const NO_BODY: Uint8Array = new Uint8Array(0)

/**
 * An entry as the fold takes it.
 * @param wraps all that it delivers, one after the other; undefined where there are none
 * @throws SealogError ERR_MALFORMED, ERR_LIMIT, ERR_UPGRADE for what is no header
 */
export function foldedEntry(
  encoded: Uint8Array,
  signature: Uint8Array,
  body: Uint8Array | undefined,
  wraps: Uint8Array | undefined,
): PushedEntry {
  return {
    encoded,
    header: decodeHeader(encoded),
    hash: entryHash(encoded),
    signature,
    body: body ?? NO_BODY,
    wraps: wraps && { hash: NO_BODY, bytes: wraps },
  }
}
