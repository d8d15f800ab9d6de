import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import {
  applyHeader,
  CONTROL_DOCUMENT,
  type ControlBody,
  type DeviceKeys,
  type DocumentId,
  type EpochStart,
  encodeControlBody,
  encodeHeader,
  entryHash,
  type Header,
  KEM_PUBLIC_KEY_LENGTH,
  type MemberId,
  memberIdOf,
  possessionInput,
  type SpaceState,
  sha256,
  WRAP_LENGTH,
  ZERO_32,
} from 'sealog/protocol'
import { epochStartOf, kemPublicKeyOf } from 'sealog/testing'
import { TIME } from './synthetic-genesis.ts'
import { bytesOf } from './synthetic-keys.ts'

/** Devices of each member: a computer, a telephone, a tablet, and the recovery key. */
const DEVICES_OF_MEMBER = 4
const NO_WRAP: Uint8Array = new Uint8Array(WRAP_LENGTH)
const NAME: Uint8Array = new Uint8Array(72)

/** A device whose keys are at hand. */
export interface SyntheticDevice {
  readonly number: number
  /** X-Wing seed, 32 bytes. */
  readonly kem: Uint8Array
}

/** A space as its control entries make it, and a device that can write the next one. */
export interface SyntheticCrew {
  readonly state: SpaceState
  /** Entries of the log. */
  readonly size: number
  /** The founder's, and the one that was admitted last. */
  readonly founder: SyntheticDevice
  readonly latest: SyntheticDevice
  /** The secret of epoch 0. */
  readonly secret: Uint8Array
  /** Lets the founder's device say something, on this state. */
  apply(body: ControlBody): SyntheticStep
  /** Lets it write to a document, on this state. */
  write(document: DocumentId): SyntheticStep
}

export interface SyntheticStep {
  readonly state: SpaceState
  /** Header, signature and, of a control entry, body. */
  readonly bytes: number
}

interface Author {
  readonly number: number
  readonly signing: Uint8Array
  readonly chains: Map<DocumentId, { readonly seq: number; readonly hash: Uint8Array }>
}

/**
 * Spaces of so many devices, each of them admitted by control entries that the reducer took: every member is invited,
 * joins, and adds its further devices. Their KEM keys are real; signatures and inline wraps, which a reducer does not
 * look at, are not.
 * @param counts ascending
 */
export function crewsOf(counts: readonly number[]): readonly SyntheticCrew[] {
  const crew = new CrewBuilder()
  return counts.map(count => {
    while (crew.devices < count) crew.admit()
    return crew.snapshot()
  })
}

/** Ed25519 of the platform, for keys that the reducer admits. */
function newSigningKey(): { readonly publicKey: Uint8Array; readonly privateKey: KeyObject } {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const encoded: { x?: string } = (publicKey as KeyObject).export({ format: 'jwk' })
  return { publicKey: new Uint8Array(Buffer.from(encoded.x ?? '', 'base64url')), privateKey }
}

/** Some bytes of the ML-KEM part tell it from others; every coefficient is small enough: a valid key of nobody. */
function kemKeyOfNobody(number: number): Uint8Array {
  const key = new Uint8Array(KEM_PUBLIC_KEY_LENGTH)
  for (let i = 0; i < 4; i++) key[3 * i] = (number >>> (8 * i)) & 0xff
  key[KEM_PUBLIC_KEY_LENGTH - 32] = 9
  return key
}

class CrewBuilder {
  #state: SpaceState | undefined
  #size = 0
  #space: Uint8Array = ZERO_32
  readonly #secret: Uint8Array = bytesOf('epoch secret')
  readonly #founder: Author
  readonly #founderKem: Uint8Array = bytesOf('kem of device 0')
  #latest: SyntheticDevice
  /** The member that is being admitted, and the one of its devices that speaks. */
  #speaker: { readonly member: MemberId; readonly author: Author; readonly devices: number } | undefined
  devices = 1

  constructor() {
    const { keys, author, kem } = this.#newDevice(0, memberIdOf(bytesOf('member 0').slice(0, 16)))
    this.#founder = author
    this.#latest = { number: 0, kem }
    const epoch: EpochStart = epochStartOf(this.#secret)
    this.#append(author, {
      type: 'genesis',
      time: TIME,
      relay: { name: 'relay.test', key: newSigningKey().publicKey, url: 'ws://relay.test' },
      device: keys,
      member: memberIdOf(bytesOf('member 0').slice(0, 16)),
      epoch,
      wrap: NO_WRAP,
      policy: { contentRules: 1, maxBodyLength: 1024 * 1024, attestations: 1, rotateEntries: 0, rotateDays: 0 },
      spaceName: NAME,
      memberName: NAME,
      deviceName: NAME,
    })
  }

  snapshot(): SyntheticCrew {
    const state = this.#known
    const size = this.#size
    const founder: Author = { ...this.#founder, chains: new Map(this.#founder.chains) }
    const next = (document: DocumentId, body?: ControlBody): SyntheticStep =>
      this.#reduce(state, size, founder, document, body)
    return {
      state,
      size,
      founder: { number: 0, kem: this.#founderKem },
      latest: this.#latest,
      secret: this.#secret,
      apply: body => next(CONTROL_DOCUMENT, body),
      write: document => next(document),
    }
  }

  /** One more device: of the member who came last, or of somebody new. */
  admit(): void {
    const speaker = this.#speaker
    if (speaker === undefined || speaker.devices === DEVICES_OF_MEMBER) return this.#admitMember()
    const number = this.#count
    const { keys, kem } = this.#newDevice(number, speaker.member)
    const body = { type: 'add-device', time: TIME, device: keys, wrap: NO_WRAP, deviceName: NAME } as const
    this.#append(speaker.author, body)
    this.#latest = { number, kem }
    this.#speaker = { ...speaker, devices: speaker.devices + 1 }
    this.devices++
  }

  #admitMember(): void {
    const invite = this.#count
    const member = memberIdOf(bytesOf(`member ${invite}`).slice(0, 16))
    const guest = this.#newDevice(invite, member, kemKeyOfNobody(invite))
    this.#append(this.#founder, {
      type: 'invite',
      time: TIME,
      kind: 'instant',
      device: guest.keys,
      member,
      role: 'writer',
      history: 'all',
      expires: TIME,
      wrap: NO_WRAP,
      nameKey: new Uint8Array(0),
    })
    const number = this.#count
    const { keys, author, kem } = this.#newDevice(number, member)
    this.#append(guest.author, { type: 'join', time: TIME, device: keys, memberName: NAME, deviceName: NAME })
    this.#latest = { number, kem }
    this.#speaker = { member, author, devices: 1 }
    this.devices++
  }

  get #known(): SpaceState {
    if (this.#state === undefined) throw new Error('no genesis yet')
    return this.#state
  }

  get #count(): number {
    return this.#known.control.count
  }

  #newDevice(
    number: number,
    member: MemberId,
    kemKey?: Uint8Array,
  ): { readonly keys: DeviceKeys; readonly author: Author; readonly kem: Uint8Array } {
    const kem = bytesOf(`kem of device ${number}`)
    const { publicKey, privateKey } = newSigningKey()
    const kemPublicKey = kemKey ?? kemPublicKeyOf(kem)
    const possession = sign(null, possessionInput(this.#space, member, publicKey, kemPublicKey), privateKey)
    const keys = { signing: publicKey, kem: kemPublicKey, possession: new Uint8Array(possession) }
    return { keys, author: { number, signing: publicKey, chains: new Map() }, kem }
  }

  #append(author: Author, body: ControlBody): void {
    const { state, header, hash } = this.#reduce(this.#state, this.#size, author, CONTROL_DOCUMENT, body)
    if (this.#size === 0) this.#space = hash
    this.#state = state
    this.#size++
    author.chains.set(CONTROL_DOCUMENT, { seq: header.seq, hash })
  }

  #reduce(
    state: SpaceState | undefined,
    index: number,
    author: Author,
    document: DocumentId,
    body: ControlBody | undefined,
  ): SyntheticStep & { readonly header: Header; readonly hash: Uint8Array } {
    const controlBody = body && encodeControlBody(body)
    const chain = author.chains.get(document)
    const header: Header = {
      space: this.#space,
      document,
      device: author.number,
      incarnation: bytesOf('incarnation').slice(0, 8),
      seq: chain === undefined ? 0 : chain.seq + 1,
      prev: chain?.hash ?? ZERO_32,
      seenSize: 0,
      seenRoot: sha256(),
      epoch: 0,
      kind: controlBody === undefined ? 'changes' : 'control',
      tag: controlBody === undefined ? new Uint8Array(randomBytes(32)) : ZERO_32,
      bodyHash: controlBody === undefined ? new Uint8Array(randomBytes(32)) : sha256(controlBody),
      bodyLength: controlBody?.length ?? 400,
    }
    const encoded = encodeHeader(header)
    const hash = entryHash(encoded)
    const reduced = applyHeader(state, { header, hash, index, seenRoot: header.seenRoot, controlBody })
    return { state: reduced.state, bytes: encoded.length + 64 + (controlBody?.length ?? 0), header, hash }
  }
}
