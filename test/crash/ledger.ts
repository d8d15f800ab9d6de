import {
  appendLeaf,
  defaultVerifier,
  emptyRange,
  originOf,
  type PinnedRelay,
  parseNote,
  relaySignature,
  rootOf,
  type SignatureCheck,
  type SpaceId,
  toBase64,
  toHex,
} from 'sealog/protocol'
import type { ClientEvent } from './events.ts'
import type { FinalLog } from './final-log.ts'

/** Different faults beyond so many are not kept: one is too many. */
const KEPT_FAULTS = 20

interface SpaceLedger {
  /** By size: what was shown as its root and state root, each once. */
  readonly heads: Map<number, Set<string>>
  /** By index: leaf hash in hex of what its author was told to be there. */
  readonly acknowledged: Map<number, string>
  /** What each reader was shown last. */
  readonly latest: Map<string, { readonly size: number; readonly time: number }>
}

/**
 * All that clients were ever shown and promised, kept apart from any relay: the memory that a relay's store is held
 * against. What contradicts itself is found as it comes; what is missing, at the end, against the final log.
 */
export class Ledger {
  /** What must never happen, and did; each once. */
  readonly faults: string[] = []
  /** Codes that clients were refused with, and how often. */
  readonly refusals: Map<string, number> = new Map()
  /** By replica: ids of edits that are durable in its store. */
  readonly saved: Map<string, Set<string>> = new Map()
  readonly #relay: PinnedRelay
  readonly #spaces = new Map<SpaceId, SpaceLedger>()
  readonly #checks: SignatureCheck[] = []
  #acknowledged = 0
  #contradictions = 0

  constructor(relay: PinnedRelay) {
    this.#relay = relay
  }

  /** Number of entries that their authors know to be in the log. */
  get acknowledged(): number {
    return this.#acknowledged
  }

  /** Number of sizes for which readers were shown more than one root or state root. */
  get contradictions(): number {
    return this.#contradictions
  }

  take(event: ClientEvent): void {
    if (event.type === 'fault') this.#fault(event.what)
    else if (event.type === 'refused') this.refusals.set(event.code, (this.refusals.get(event.code) ?? 0) + 1)
    else if (event.type === 'saved') this.#saved(event.replica, event.id)
    else if (event.type === 'shown') this.#shown(event)
    else this.#promised(event.space, event.index, toHex(event.hash))
  }

  /** Verifies the signatures of all notes shown since the last call. */
  async settle(): Promise<void> {
    const checks = this.#checks.splice(0)
    if (checks.length === 0) return
    const verdicts = await (await defaultVerifier()).verifyAll(checks)
    if (verdicts.includes(false)) this.#fault('a note that the relay did not sign')
  }

  /** Holds a space against its log as it is in the end. */
  judge(space: SpaceId, { hashes, note }: FinalLog): { readonly lost: number; readonly conflictingHeads: number } {
    const { heads, acknowledged } = this.#of(space)
    const kept = hashes.map(toHex)
    const lost = [...acknowledged].filter(([index, hash]) => kept[index] !== hash).length
    this.#remember(space, note)
    const roots = new Map<number, string>()
    let range = emptyRange
    for (const hash of hashes) {
      range = appendLeaf(range, hash)
      if (heads.has(range.size)) roots.set(range.size, toBase64(rootOf(range)))
    }
    const isOne = (size: number, shown: ReadonlySet<string>): boolean =>
      shown.size === 1 && [...shown].every(head => head.split(' ')[0] === roots.get(size))
    return { lost, conflictingHeads: [...heads].filter(([size, shown]) => !isOne(size, shown)).length }
  }

  /** All that was promised of a space whose log cannot be read any more. */
  promisedOf(space: SpaceId): number {
    return this.#of(space).acknowledged.size
  }

  #of(space: SpaceId): SpaceLedger {
    const known = this.#spaces.get(space) ?? { heads: new Map(), acknowledged: new Map(), latest: new Map() }
    this.#spaces.set(space, known)
    return known
  }

  #shown({ reader, space, note }: Extract<ClientEvent, { readonly type: 'shown' }>): void {
    try {
      const { size, time } = this.#remember(space, note)
      const { latest } = this.#of(space)
      const before = latest.get(reader)
      if (before !== undefined && size < before.size)
        this.#fault(`${reader}: back from ${before.size} to ${size} entries`)
      if (before !== undefined && time < before.time) this.#fault(`${reader}: time back by ${before.time - time} ms`)
      latest.set(reader, { size, time })
    } catch (error) {
      this.#fault(`${reader}: ${String(error)}`)
    }
  }

  /** @throws SealogError for what is no note of this relay about this space */
  #remember(space: SpaceId, bytes: Uint8Array): { readonly size: number; readonly time: number } {
    const note = parseNote(bytes)
    const { size, root, stateRoot, time } = note.checkpoint
    const key = { name: originOf(this.#relay.name, space), publicKey: this.#relay.key }
    this.#checks.push({ publicKey: key.publicKey, message: note.text, signature: relaySignature(note, key) })
    const { heads } = this.#of(space)
    const shown = heads.get(size) ?? new Set()
    heads.set(size, shown)
    const before = shown.size
    shown.add(`${toBase64(root)} ${toBase64(stateRoot)}`)
    if (before === 1 && shown.size === 2) this.#contradictions++
    return { size, time }
  }

  #promised(space: SpaceId, index: number, hash: string): void {
    const { acknowledged } = this.#of(space)
    const before = acknowledged.get(index)
    if (before !== undefined && before !== hash) this.#fault(`two entries acknowledged at ${index} of ${space}`)
    if (before === undefined) this.#acknowledged++
    acknowledged.set(index, hash)
  }

  #saved(replica: string, id: string): void {
    const ids = this.saved.get(replica) ?? new Set()
    this.saved.set(replica, ids)
    ids.add(id)
  }

  #fault(what: string): void {
    if (this.faults.length < KEPT_FAULTS && !this.faults.includes(what)) this.faults.push(what)
  }
}
