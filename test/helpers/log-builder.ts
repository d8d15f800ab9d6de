import { sha256, ZERO_32 } from '../../src/crypto/hash.ts'
import { nobleVerifier, publicKeyOf, signSync } from '../../src/crypto/sign.ts'
import { SealogError } from '../../src/errors.ts'
import { CONTROL_DOCUMENT, type DocumentId, documentIdOf, type SpaceId, spaceIdOf } from '../../src/ids.ts'
import { advance } from '../../src/verify/advance.ts'
import { assertChecks } from '../../src/verify/check.ts'
import { type Checkpoint, encodeNote, encodeNoteText, originOf } from '../../src/verify/checkpoint.ts'
import type { ControlBody, Role } from '../../src/verify/control.ts'
import { encodeControlBody } from '../../src/verify/control-codec.ts'
import { type ControlState, latestEpoch } from '../../src/verify/control-state.ts'
import {
  actorOf,
  decodeHeader,
  encodeHeader,
  entryHash,
  entrySigningInput,
  type Header,
  type SignedEntry,
} from '../../src/verify/entry.ts'
import { type Advanced, type Batch, emptyView, type LogView, type PinnedRelay } from '../../src/verify/log.ts'
import { noteKeyHash } from '../../src/verify/note-key.ts'
import { appendNodes, proveConsistency, proveInclusion, rootAt } from '../../src/verify/prove.ts'
import { applyHeader, type Reduced } from '../../src/verify/reducer.ts'
import { findActor, findDocument, type SpaceState, stateRoot } from '../../src/verify/state.ts'
import { type BodyOf, ControlBodies } from './control-bodies.ts'
import { bytesOf, type TestDevice, testDevice } from './test-device.ts'

export { bytesOf, deviceKeys, memberNamed, type TestDevice, testDevice } from './test-device.ts'

export interface BuiltEntry extends SignedEntry {
  readonly hash: Uint8Array
  readonly decoded: Header
  /** Of an entry that delivers the secret of an epoch: all wraps, one after the other, as they are uploaded. */
  readonly wraps?: Uint8Array | undefined
}

/** What an entry differs in from the one that the log expects next. */
export interface EntryOptions extends Partial<Header> {
  readonly body?: Uint8Array
}

export interface BuilderOptions {
  readonly relaySeed?: Uint8Array
  readonly relayName?: string
  /** Wraps are noise of the right length, where thousands are made and nobody opens one. */
  readonly blind?: boolean
}

export interface BatchOptions {
  /** Number of entries that the note is about. Default: all there are. */
  readonly signedSize?: number
  /** Fields of the checkpoint to be signed otherwise. */
  readonly checkpoint?: Partial<Checkpoint>
}

export const RELAY_NAME = 'relay.test'
export const RELAY_SEED: Uint8Array = bytesOf('relay')
export const DOCUMENT: DocumentId = documentIdOf(bytesOf('document').slice(0, 16))

/**
 * A signed log made by hand, with the key of its relay: what an honest author or relay makes by default, and whatever
 * a test wants instead. Bodies of documents are blind bytes, as a relay sees them.
 */
export class LogBuilder {
  readonly owner: TestDevice
  readonly relay: PinnedRelay
  /** What stands in control entries. */
  bodies: ControlBodies
  readonly entries: BuiltEntry[] = []
  state: SpaceState | undefined
  /** Of the next note, Unix milliseconds. */
  time = 1_700_000_000_000
  readonly #relaySeed: Uint8Array
  readonly #nodes = new Map<string, Uint8Array>()
  readonly #states: (SpaceState | undefined)[] = [undefined]
  #bodies = 0

  constructor({ relaySeed = RELAY_SEED, relayName = RELAY_NAME, blind = false }: BuilderOptions = {}) {
    this.#relaySeed = relaySeed
    this.relay = { name: relayName, key: publicKeyOf(relaySeed) }
    this.bodies = new ControlBodies({ ...this.relay, url: 'ws://relay.test' }, () => this.state?.control, { blind })
    this.owner = testDevice('owner', 0)
  }

  get size(): number {
    return this.entries.length
  }

  get space(): SpaceId {
    return spaceIdOf(this.spaceBytes)
  }

  get spaceBytes(): Uint8Array {
    return (this.entries[0] as BuiltEntry).hash
  }

  // -- Entries ----------------------------------------------------------------------------------------------------

  genesisBody(): BodyOf<'genesis'> {
    return this.bodies.genesis(this.owner)
  }

  genesis(body: ControlBody = this.genesisBody(), options: EntryOptions = {}): BuiltEntry {
    return this.control(this.owner, body, { space: ZERO_32, ...options })
  }

  inviteBody(provisional: TestDevice, role: Role = 'writer'): BodyOf<'invite'> {
    return this.bodies.invite(provisional, { role })
  }

  /** @param invited number of the provisional device; by default the one admitted right before */
  joinBody(device: TestDevice, invited?: number): BodyOf<'join'> {
    return this.bodies.join(device, invited)
  }

  /** A control entry by any device, with whatever body: see `bodies`. */
  control(author: TestDevice, body: ControlBody, options: EntryOptions = {}): BuiltEntry {
    const entry = this.entry(author, {
      document: CONTROL_DOCUMENT,
      kind: 'control',
      body: encodeControlBody(body),
      ...options,
    })
    return 'delivery' in body ? { ...entry, wraps: this.bodies.wrapsOf(body.delivery) } : entry
  }

  /** The same, appended. @throws SealogError */
  act(author: TestDevice, body: ControlBody, options: EntryOptions = {}): BuiltEntry {
    return this.append(this.control(author, body, options))
  }

  /** Changes of `author` in a document, with a body of its own. */
  changes(author: TestDevice, options: EntryOptions = {}): BuiltEntry {
    const body = bytesOf(`body ${this.#bodies++}`)
    return this.entry(author, { tag: bytesOf(`tag ${this.#bodies}`), body, ...options })
  }

  retire(author: TestDevice, options: EntryOptions = {}): BuiltEntry {
    const tag = this.#latest(author, options)?.tag ?? ZERO_32
    return this.entry(author, { kind: 'retire', tag, body: new Uint8Array(0), ...options })
  }

  /** A snapshot by `author`: it repeats the tag of its chain. */
  snapshot(author: TestDevice, options: EntryOptions = {}): BuiltEntry {
    const tag = this.#latest(author, options)?.tag ?? ZERO_32
    return this.changes(author, { kind: 'snapshot', tag, ...options })
  }

  /** Seals what comes next in the chain of `author`, or what `options` say instead. */
  entry(author: TestDevice, options: EntryOptions): BuiltEntry {
    const { body = new Uint8Array(0), ...fields } = options
    const latest = this.#latest(author, options)
    const header: Header = {
      space: this.size === 0 ? ZERO_32 : this.spaceBytes,
      document: DOCUMENT,
      device: author.number,
      incarnation: author.incarnation,
      seq: latest === undefined ? 0 : latest.seq + 1,
      prev: latest?.hash ?? ZERO_32,
      seenSize: this.size,
      seenRoot: this.rootAt(Math.min(fields.seenSize ?? this.size, this.size)),
      epoch: this.state === undefined ? 0 : latestEpoch(this.state.control),
      kind: 'changes',
      tag: ZERO_32,
      bodyHash: sha256(body),
      bodyLength: body.length,
      ...fields,
    }
    return signed(author, header, body)
  }

  #latest(author: TestDevice, { document = DOCUMENT, incarnation = author.incarnation }: EntryOptions) {
    if (this.state === undefined) return undefined
    const record = findDocument(this.state, document)
    const actor = actorOf(this.spaceBytes, document, publicKeyOf(author.signing), incarnation)
    return record && findActor(record, actor)
  }

  // -- The log ----------------------------------------------------------------------------------------------------

  /** What the reducer says of this entry at the end of the log. @throws SealogError */
  judge(entry: BuiltEntry, { seenRoot }: { readonly seenRoot?: Uint8Array } = {}): Reduced {
    const { decoded, hash, body } = entry
    const known = decoded.seenSize <= this.size ? this.rootAt(decoded.seenSize) : ZERO_32
    return applyHeader(this.state, {
      header: decoded,
      hash,
      index: this.size,
      seenRoot: seenRoot ?? known,
      controlBody: decoded.kind === 'control' ? body : undefined,
    })
  }

  /** Appends what the reducer accepts. */
  append(entry: BuiltEntry): BuiltEntry {
    this.state = this.judge(entry).state
    return this.force(entry)
  }

  /** Appends whatever it is, as a relay could that judges nothing. */
  force(entry: BuiltEntry): BuiltEntry {
    for (const [level, index, hash] of appendNodes(this.size, entry.hash, this.#nodeAt)) {
      this.#nodes.set(`${level}/${index}`, hash)
    }
    this.entries.push(entry)
    this.#states.push(this.state)
    return entry
  }

  /** The same log, to be gone on with by itself. */
  fork(): LogBuilder {
    const copy = new LogBuilder({ relaySeed: this.#relaySeed, relayName: this.relay.name })
    copy.bodies = this.bodies.fork(() => copy.state?.control)
    copy.entries.push(...this.entries)
    copy.state = this.state
    copy.time = this.time
    for (const [place, hash] of this.#nodes) copy.#nodes.set(place, hash)
    copy.#states.push(...this.#states.slice(1))
    copy.#bodies = this.#bodies
    return copy
  }

  /** A log with its genesis, and a writer who has joined. */
  static withWriter(): { readonly log: LogBuilder; readonly writer: TestDevice } {
    const log = new LogBuilder()
    log.append(log.genesis())
    return { log, writer: log.admit('writer') }
  }

  /** Invites somebody and lets them join: two control entries. */
  admit(name: string, role: Role = 'writer', change: Partial<BodyOf<'invite'>> = {}): TestDevice {
    const provisional = testDevice(`${name} provisional`, this.nextNumber)
    this.act(this.owner, this.bodies.invite(provisional, { role, ...change }))
    const device = testDevice(name, this.nextNumber)
    this.act(provisional, this.bodies.join(device, provisional.number))
    return device
  }

  /** The number of the device that the next control entry admits. */
  get nextNumber(): number {
    return this.state?.control.count ?? 0
  }

  /** What the control entries so far fold to. */
  get controlState(): ControlState {
    if (this.state === undefined) throw new Error('the log has no genesis')
    return this.state.control
  }

  /** What the first `size` entries fold to. */
  stateAt(size: number = this.size): SpaceState {
    const state = this.#states[size]
    if (state === undefined) throw new Error(`no state of ${size} entries`)
    return state
  }

  inclusion(index: number, size: number = this.size): Uint8Array[] {
    return proveInclusion(index, size, this.#nodeAt)
  }

  rootAt(size: number): Uint8Array {
    return rootAt(size, this.#nodeAt)
  }

  consistency(from: number, to: number): Uint8Array[] {
    return proveConsistency(from, to, this.#nodeAt)
  }

  readonly #nodeAt = (level: number, index: number): Uint8Array => {
    const hash = this.#nodes.get(`${level}/${index}`)
    if (hash === undefined) throw new Error(`node ${level}/${index} is not complete`)
    return hash
  }

  // -- What the relay says ----------------------------------------------------------------------------------------

  checkpoint(size: number = this.size): Checkpoint {
    const state = this.#states[size]
    return {
      origin: originOf(this.relay.name, this.space),
      size,
      root: this.rootAt(size),
      stateRoot: state === undefined ? ZERO_32 : stateRoot(state),
      time: this.time,
    }
  }

  note(checkpoint: Checkpoint = this.checkpoint(), seed: Uint8Array = this.#relaySeed): Uint8Array {
    const { origin } = checkpoint
    const signature = signSync(seed, encodeNoteText(checkpoint))
    return encodeNote(checkpoint, [{ name: origin, keyHash: noteKeyHash(origin, this.relay.key), signature }])
  }

  /** Entries `from … to−1`, every one signed, with the proofs that an honest relay adds. */
  batch(from: number, to: number = this.size, options: BatchOptions = {}): Batch {
    const { signedSize = this.size, checkpoint = {} } = options
    const entries = this.entries.slice(from, to)
    const sizes = new Set(entries.map(entry => entry.decoded.seenSize).filter(size => size > 0 && size < from))
    return {
      from,
      entries: entries.map(({ header, signature, body }) => ({ header, signature, body })),
      seenProofs: [...sizes].map(size => ({ size, proof: this.consistency(size, from) })),
      note: this.note({ ...this.checkpoint(signedSize), ...checkpoint }),
      consistency: to > 0 && to < signedSize ? this.consistency(to, signedSize) : [],
      tracer: undefined,
    }
  }

  /** A replica that knows nothing yet. */
  emptyView(): LogView {
    return emptyView(this.space, this.relay, [])
  }

  /** A replica that has verified the first `size` entries. */
  async viewAt(size: number): Promise<LogView> {
    return size === 0 ? this.emptyView() : accept(this.emptyView(), this.batch(0, size, { signedSize: size }))
  }
}

export function signed(author: TestDevice, header: Header, body: Uint8Array): BuiltEntry {
  const encoded = encodeHeader(header)
  const hash = entryHash(encoded)
  const signature = signSync(author.signing, entrySigningInput(hash))
  return { header: encoded, signature, body, hash, decoded: decodeHeader(encoded) }
}

/** As a replica takes a batch: everything is checked, signatures too. @throws SealogError */
export async function accept(view: LogView, batch: Batch): Promise<LogView> {
  return (await acceptWhole(view, batch)).view
}

export async function acceptWhole(view: LogView, batch: Batch): Promise<Advanced> {
  const advanced = advance(view, batch)
  await assertChecks(nobleVerifier, advanced.checks)
  return advanced
}

/** The code and reason by which `run` fails, or `accepted`. */
export async function verdictOf(run: () => unknown): Promise<string> {
  try {
    await run()
  } catch (error) {
    if (!(error instanceof SealogError)) throw error
    return error.details.reason === undefined ? error.code : `${error.code} ${error.details.reason}`
  }
  return 'accepted'
}
