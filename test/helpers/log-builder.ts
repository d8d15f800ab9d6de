import { toUtf8 } from '../../src/bytes.ts'
import { sha256, ZERO_32 } from '../../src/crypto/hash.ts'
import { nobleVerifier, publicKeyOf, signSync } from '../../src/crypto/sign.ts'
import { kemPublicKeyOf } from '../../src/crypto/wrap.ts'
import { SealogError } from '../../src/errors.ts'
import { CONTROL_DOCUMENT, type DocumentId, documentIdOf, memberIdOf, type SpaceId, spaceIdOf } from '../../src/ids.ts'
import { assertChecks } from '../../src/verify/check.ts'
import { type Checkpoint, encodeNote, encodeNoteText, originOf } from '../../src/verify/checkpoint.ts'
import {
  type ControlBody,
  type DeviceKeys,
  encodeControlBody,
  possessionInput,
  type Role,
  WRAP_LENGTH,
} from '../../src/verify/control.ts'
import {
  actorOf,
  decodeHeader,
  encodeHeader,
  entryHash,
  entrySigningInput,
  type Header,
  type SignedEntry,
} from '../../src/verify/entry.ts'
import { type Advanced, advance, type Batch, emptyView, type LogView, type PinnedRelay } from '../../src/verify/log.ts'
import { noteKeyHash } from '../../src/verify/note-key.ts'
import { appendNodes, proveConsistency, proveInclusion, rootAt } from '../../src/verify/prove.ts'
import { applyHeader, type Reduced } from '../../src/verify/reducer.ts'
import { findActor, findDocument, type SpaceState, stateRoot } from '../../src/verify/state.ts'

/** 32 bytes that are the same in every run. */
export function bytesOf(label: string): Uint8Array {
  return sha256(toUtf8(label))
}

/** A device of a hand-made log: its secrets, and the number under which the log knows it. */
export interface TestDevice {
  /** Ed25519 seed, 32 bytes. */
  readonly signing: Uint8Array
  /** X-Wing public key, 1,216 bytes. */
  readonly kem: Uint8Array
  /** 8 bytes. */
  readonly incarnation: Uint8Array
  readonly number: number
}

const kemKeys = new Map<string, Uint8Array>()

export function testDevice(name: string, number: number): TestDevice {
  const kem = kemKeys.get(name) ?? kemPublicKeyOf(bytesOf(`${name} kem`))
  kemKeys.set(name, kem)
  return { signing: bytesOf(`${name} signing`), kem, incarnation: bytesOf(`${name} incarnation`).slice(0, 8), number }
}

/** The public half of a device, with a proof of possession for this space. */
export function deviceKeys(device: TestDevice, space: Uint8Array): DeviceKeys {
  const signing = publicKeyOf(device.signing)
  return { signing, kem: device.kem, possession: signSync(device.signing, possessionInput(space, signing, device.kem)) }
}

export interface BuiltEntry extends SignedEntry {
  readonly hash: Uint8Array
  readonly decoded: Header
}

/** What an entry differs in from the one that the log expects next. */
export interface EntryOptions extends Partial<Header> {
  readonly body?: Uint8Array
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
  readonly entries: BuiltEntry[] = []
  state: SpaceState | undefined
  /** Of the next note, Unix milliseconds. */
  time = 1_700_000_000_000
  readonly #relaySeed: Uint8Array
  readonly #nodes = new Map<string, Uint8Array>()
  readonly #states: (SpaceState | undefined)[] = [undefined]
  #bodies = 0

  constructor({ relaySeed = RELAY_SEED, relayName = RELAY_NAME }: { relaySeed?: Uint8Array; relayName?: string } = {}) {
    this.#relaySeed = relaySeed
    this.relay = { name: relayName, key: publicKeyOf(relaySeed) }
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

  genesisBody(): Extract<ControlBody, { type: 'genesis' }> {
    return {
      type: 'genesis',
      relay: { ...this.relay, url: 'ws://relay.test' },
      device: deviceKeys(this.owner, ZERO_32),
      member: memberIdOf(bytesOf('owner').slice(0, 16)),
      epoch: { commit: bytesOf('commit'), readCommit: bytesOf('read commit') },
      wrap: new Uint8Array(WRAP_LENGTH).fill(1),
      policy: { contentRules: 1, maxBodyLength: 1024 * 1024, attestations: 1 },
      spaceName: bytesOf('space name'),
      memberName: bytesOf('owner name'),
      deviceName: bytesOf('device name'),
    }
  }

  genesis(body: ControlBody = this.genesisBody(), options: EntryOptions = {}): BuiltEntry {
    return this.entry(this.owner, {
      space: ZERO_32,
      document: CONTROL_DOCUMENT,
      kind: 'control',
      body: encodeControlBody(body),
      ...options,
    })
  }

  inviteBody(provisional: TestDevice, role: Role = 'writer'): Extract<ControlBody, { type: 'invite' }> {
    return {
      type: 'invite',
      device: deviceKeys(provisional, this.spaceBytes),
      member: memberIdOf(bytesOf(`member ${provisional.number}`).slice(0, 16)),
      role,
      history: 'all',
      expires: 2_000_000_000_000,
      wrap: new Uint8Array(WRAP_LENGTH).fill(2),
    }
  }

  joinBody(device: TestDevice): Extract<ControlBody, { type: 'join' }> {
    return {
      type: 'join',
      device: deviceKeys(device, this.spaceBytes),
      wrap: new Uint8Array(WRAP_LENGTH).fill(3),
      memberName: bytesOf('member name'),
      deviceName: bytesOf('device name'),
    }
  }

  control(author: TestDevice, body: ControlBody, options: EntryOptions = {}): BuiltEntry {
    return this.entry(author, {
      document: CONTROL_DOCUMENT,
      kind: 'control',
      body: encodeControlBody(body),
      ...options,
    })
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
      epoch: 0,
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

  /** A log with its genesis, and a writer who has joined. */
  static withWriter(): { readonly log: LogBuilder; readonly writer: TestDevice } {
    const log = new LogBuilder()
    log.append(log.genesis())
    return { log, writer: log.admit('writer') }
  }

  /** Invites somebody and lets them join: two control entries. */
  admit(name: string, role: Role = 'writer'): TestDevice {
    const number = this.state?.control.count ?? 0
    const provisional = testDevice(`${name} provisional`, number)
    this.append(this.control(this.owner, this.inviteBody(provisional, role)))
    const device = testDevice(name, number + 1)
    this.append(this.control(provisional, this.joinBody(device)))
    return device
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
