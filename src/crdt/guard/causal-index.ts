import type { InspectedOps } from '../guard.ts'
import { NULL } from './columns.ts'
import { readDocument } from './document-chunk.ts'
import { ElementRuns } from './element-runs.ts'
import type { OpSegment } from './op-rules.ts'
import { rowOf } from './op-rules.ts'
import type { OpTable } from './op-table.ts'
import { ACTION } from './op-table.ts'
import type {
  CausalPast,
  GuardLimits,
  KeyReference,
  ObjectKind,
  ObjectReference,
  OpReference,
  PastObject,
} from './rules.ts'
import { DOCUMENT_LIMITS } from './rules.ts'

/** Actor index in the low bits, counter above: below 2⁵³ for 2³¹ counters and 2²² actors, more than a log can name. */
const ACTORS = 4_194_304
const ROOT = -1
/** For documents that this replica saved itself: bounded by what it has in memory already. */
export const UNLIMITED: GuardLimits = {
  ...DOCUMENT_LIMITS,
  maxBytes: 2 ** 40,
  maxInflated: 2 ** 40,
  maxChanges: 2 ** 31 - 1,
  maxOps: 2 ** 31 - 1,
  maxPredecessors: 2 ** 31 - 1,
  maxActors: ACTORS,
  maxDependencies: 2 ** 31 - 1,
}

/** Where an op that did not insert an element stands: in which object, on which key or element. */
interface Target {
  readonly object: number
  readonly key: string | number
}

/** The largest counter seen of each actor, by index; actors beyond the end were not seen. */
type Clock = readonly number[]

/** What some changes and their past contain. */
interface Found {
  readonly clock: Clock
  readonly maxOp: number
}

interface ActorChain {
  /** Largest op counter after each change, by seq − 1. */
  readonly maxOps: number[]
  /** What others had done: in force from this seq on. */
  readonly merges: { readonly seq: number; readonly others: Clock }[]
  readonly elements: ElementRuns
}

/** Which change a hash names, for hashes that the index was not told. */
export type LocateChange = (hash: string) => { readonly actor: string; readonly seq: number } | undefined

/**
 * What the changes of one document did, as far as later changes may refer to it: the guard's answer to whether a
 * reference lies in the causal past and is of the right kind (DESIGN §6.3).
 *
 * It answers for the past of given changes, not for what happens to be there, so that all replicas answer alike,
 * whatever else they hold. Typed text costs a few bytes a run of characters; keys and objects one entry each.
 * Bundles do not tell the hashes of their changes but the last: the others are asked from `locate`, which Automerge
 * can answer once it has them.
 */
export class CausalIndex {
  readonly #locate: LocateChange
  readonly #actors: string[] = []
  readonly #actorIndex = new Map<string, number>()
  readonly #chains: ActorChain[] = []
  readonly #objects = new Map<number, PastObject>()
  readonly #targets = new Map<number, Target>()
  readonly #hashes = new Map<string, { readonly actor: number; readonly seq: number }>()

  /** @param locate answers for hashes of changes that the index holds but was not given the hash of */
  constructor(locate: LocateChange = () => undefined) {
    this.#locate = locate
  }

  /**
   * The index of a document that this replica saved itself: however large it has become, it has to be read.
   * @throws SealogError ERR_GUARD for what Automerge would not write
   */
  static ofDocument(saved: Uint8Array, locate?: LocateChange): CausalIndex {
    const index = new CausalIndex(locate)
    index.#load(saved)
    return index
  }

  /** Seq of the actor's last change in the index; 0 where there is none. */
  seqOf(actor: string): number {
    const index = this.#actorIndex.get(actor)
    return index === undefined ? 0 : (this.#chains[index] as ActorChain).maxOps.length
  }

  /** The past of these changes and they themselves; `undefined` where one of them is not known. */
  past(dependencies: readonly string[]): CausalPast | undefined {
    const found = this.#find(dependencies)
    return found === undefined ? undefined : this.#view(found.clock, found.maxOp)
  }

  /**
   * Takes in what the guard accepted.
   * @param latestHash of its last change, in hex
   * @throws TypeError for changes that are not the actor's next ones, or whose dependencies are not known
   */
  add(inspected: InspectedOps, latestHash: string): void {
    const { changes, segments } = inspected
    const [first] = changes
    if (first === undefined) return
    const author = this.#actor(first.actor)
    const chain = this.#chains[author] as ActorChain
    if (first.seq !== chain.maxOps.length + 1) throw new TypeError('inspected: not the next changes of the actor')
    const members = new Set(changes.map(change => change.hash))
    const pasts = changes.map(change => this.#find(change.deps.filter(hash => !members.has(hash))))
    if (pasts.includes(undefined)) throw new TypeError('inspected: a dependency is not known')

    let others: Clock = chain.merges.at(-1)?.others ?? []
    changes.forEach((change, i) => {
      const { clock } = pasts[i] as Found
      if (addsTo(clock, others, author)) {
        others = maximum(others, clock)
        chain.merges.push({ seq: change.seq, others })
      }
      chain.maxOps.push(change.startOp + change.opCount - 1)
      const segment = segments[i] as OpSegment
      const actors = segment.table.actors.map(actor => this.#actor(actor))
      for (let counter = segment.start; counter < segment.end; counter++) {
        this.#addOp(segment.table, rowOf(segment, counter), actors, counter, author)
      }
      const hash = i === changes.length - 1 ? latestHash : change.hash
      if (hash !== undefined) this.#hashes.set(hash, { actor: author, seq: change.seq })
    })
  }

  #load(saved: Uint8Array): void {
    const { actors, heads, headIndices, changes, ops, idActor, idCounter } = readDocument(saved, UNLIMITED)
    const indices = actors.map(actor => this.#actor(actor))
    for (let i = 0; i < changes.count; i++) {
      const author = changes.actor[i] as number
      const chain = this.#chains[author] as ActorChain
      const before = chain.merges.at(-1)?.others ?? []
      let others: Clock = before
      for (let at = changes.dependencyStart[i] as number; at < (changes.dependencyStart[i + 1] as number); at++) {
        const position = changes.dependency[at] as number
        const clock = this.#clock(changes.actor[position] as number, changes.seq[position] as number)
        if (addsTo(clock, others, author)) others = maximum(others, clock)
      }
      const seq = changes.seq[i] as number
      if (others !== before) chain.merges.push({ seq, others })
      chain.maxOps.push(changes.maxOp[i] as number)
    }
    // Objects before what is in them, which a document does not promise; their counters do.
    const makes: number[] = []
    for (let row = 0; row < ops.rows; row++) if (MADE_BY[ops.action[row] as number] !== undefined) makes.push(row)
    makes.sort((a, b) => (idCounter[a] as number) - (idCounter[b] as number))
    for (const row of makes) this.#addObject(ops, row, indices, idOf(idActor[row] as number, idCounter[row] as number))
    for (let row = 0; row < ops.rows; row++) {
      this.#addOp(ops, row, indices, idCounter[row] as number, idActor[row] as number)
    }
    for (const chain of this.#chains) chain.elements.sort()
    heads.forEach((hash, i) => {
      const at = headIndices[i] as number
      this.#hashes.set(hash, { actor: changes.actor[at] as number, seq: changes.seq[at] as number })
    })
  }

  #addOp(table: OpTable, row: number, actors: readonly number[], counter: number, author: number): void {
    const action = table.action[row] as number
    if (action === ACTION.delete || action === ACTION.increment) return
    const id = idOf(author, counter)
    if (MADE_BY[action] !== undefined) this.#addObject(table, row, actors, id)
    const object = objectId(table, row, actors)
    if (table.insert[row] === 1) (this.#chains[author] as ActorChain).elements.add(counter, object)
    else this.#targets.set(id, { object, key: keyId(table, row, actors) })
  }

  #addObject(table: OpTable, row: number, actors: readonly number[], id: number): void {
    const parent = objectId(table, row, actors)
    const depth = parent === ROOT ? 0 : (this.#objects.get(parent)?.depth ?? 0)
    this.#objects.set(id, { kind: MADE_BY[table.action[row] as number] as ObjectKind, depth: depth + 1 })
  }

  #actor(actor: string): number {
    const known = this.#actorIndex.get(actor)
    if (known !== undefined) return known
    const index = this.#actors.length
    if (index >= ACTORS) throw new RangeError('more actors than an index can hold')
    this.#actors.push(actor)
    this.#actorIndex.set(actor, index)
    this.#chains.push({ maxOps: [], merges: [], elements: new ElementRuns() })
    return index
  }

  #find(dependencies: readonly string[]): Found | undefined {
    let clock: Clock = []
    let maxOp = 0
    for (const hash of dependencies) {
      const change = this.#hashes.get(hash) ?? this.#located(hash)
      if (change === undefined) return undefined
      const chain = this.#chains[change.actor] as ActorChain
      maxOp = Math.max(maxOp, chain.maxOps[change.seq - 1] as number)
      const own = this.#clock(change.actor, change.seq)
      clock = clock.length === 0 ? own : maximum(clock, own)
    }
    return { clock, maxOp }
  }

  #located(hash: string): { actor: number; seq: number } | undefined {
    const change = this.#locate(hash)
    const actor = change === undefined ? undefined : this.#actorIndex.get(change.actor)
    if (change === undefined || actor === undefined) return undefined
    return change.seq <= (this.#chains[actor] as ActorChain).maxOps.length ? { actor, seq: change.seq } : undefined
  }

  /** What the change and its past contain. */
  #clock(actor: number, seq: number): Clock {
    const { maxOps, merges } = this.#chains[actor] as ActorChain
    let low = 0
    let high = merges.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((merges[middle] as { seq: number }).seq <= seq) low = middle + 1
      else high = middle
    }
    const clock = [...(merges[low - 1]?.others ?? [])]
    while (clock.length <= actor) clock.push(0)
    clock[actor] = maxOps[seq - 1] as number
    return clock
  }

  #view(clock: Clock, maxOp: number): CausalPast {
    const visible = (reference: OpReference): number | undefined => {
      const actor = this.#actorIndex.get(reference.actor)
      return actor === undefined || reference.counter > (clock[actor] ?? 0) ? undefined : actor
    }
    const objectOf = (object: ObjectReference): number | undefined => {
      if (object === undefined) return ROOT
      const actor = visible(object)
      return actor === undefined ? undefined : idOf(actor, object.counter)
    }
    const isElement = (object: number | undefined, reference: OpReference): boolean => {
      const actor = visible(reference)
      if (actor === undefined || object === undefined) return false
      return (this.#chains[actor] as ActorChain).elements.has(reference.counter, object)
    }
    const isTarget = (object: number | undefined, key: KeyReference, reference: OpReference): boolean => {
      const actor = visible(reference)
      const target = actor === undefined ? undefined : this.#targets.get(idOf(actor, reference.counter))
      if (target === undefined || target.object !== object) return false
      if (typeof key === 'string') return target.key === key
      const keyActor = visible(key)
      return keyActor !== undefined && target.key === idOf(keyActor, key.counter)
    }
    return {
      maxOp,
      object: reference => {
        const id = objectOf(reference)
        return id === undefined ? undefined : this.#objects.get(id)
      },
      element: (object, reference) => isElement(objectOf(object), reference),
      predecessor: (object, key, reference) => {
        const isSelf = typeof key !== 'string' && key.counter === reference.counter && key.actor === reference.actor
        return isSelf ? isElement(objectOf(object), reference) : isTarget(objectOf(object), key, reference)
      },
    }
  }
}

const MADE_BY: Readonly<Record<number, ObjectKind>> = {
  [ACTION.makeMap]: 'map',
  [ACTION.makeList]: 'list',
  [ACTION.makeText]: 'text',
}

/** An operation's id as one number. @param actor index of the actor */
export function idOf(actor: number, counter: number): number {
  return counter * ACTORS + actor
}

function objectId(table: OpTable, row: number, actors: readonly number[]): number {
  const counter = table.objectCounter[row] as number
  return counter === NULL ? ROOT : idOf(actors[table.objectActor[row] as number] as number, counter)
}

function keyId(table: OpTable, row: number, actors: readonly number[]): string | number {
  const text = table.keyText.index[row] as number
  if (text !== NULL) return table.keyText.values[text] as string
  return idOf(actors[table.keyActor[row] as number] as number, table.keyCounter[row] as number)
}

/** Does `clock` know more of anybody but the author than `others`? */
function addsTo(clock: Clock, others: Clock, author: number): boolean {
  return clock.some((counter, actor) => actor !== author && counter > (others[actor] ?? 0))
}

function maximum(a: Clock, b: Clock): Clock {
  return Array.from({ length: Math.max(a.length, b.length) }, (_, i) => Math.max(a[i] ?? 0, b[i] ?? 0))
}
