import {
  CONTROL_DOCUMENT,
  type ControlBody,
  type DeviceKeys,
  type DocumentId,
  EMPTY_ROOT,
  encodeControlBody,
  encodeHeader,
  entryHash,
  entrySigningInput,
  type Header,
  type History,
  type InviteKind,
  KEM_PUBLIC_KEY_LENGTH,
  type MemberId,
  memberIdOf,
  type PushEntry,
  possessionInput,
  publicKeyOf,
  type Random,
  type Role,
  type SignedEntry,
  type SpaceId,
  sha256,
  signSync,
  spaceIdOf,
  WRAP_LENGTH,
  ZERO_32,
} from 'sealog/protocol'

/** A device as the relay gets to see it: real signing keys, a KEM key that is one, and content that is noise. */
export interface TestDevice {
  readonly seed: Uint8Array
  readonly signing: Uint8Array
  readonly kem: Uint8Array
  /** Number of the control entry that admitted it. */
  number: number
  readonly chains: Map<DocumentId, Chain>
  /** The member that it was last admitted for. */
  member: MemberId | undefined
}

interface Chain {
  readonly incarnation: Uint8Array
  seq: number
  prev: Uint8Array
}

/** An entry with everything that its author knows. */
export interface Authored extends SignedEntry {
  readonly hash: Uint8Array
}

export interface Seen {
  readonly size: number
  readonly root: Uint8Array
}

const NOTHING_SEEN: Seen = { size: 0, root: EMPTY_ROOT }
export const TIME = 1_700_000_000_000
const DOCUMENT: DocumentId = 'd0'.repeat(16) as DocumentId

export function makeDevice(random: Random, number = 0): TestDevice {
  const seed = random(32)
  return { seed, signing: publicKeyOf(seed), kem: makeKemKey(random), number, chains: new Map(), member: undefined }
}

/** Coefficients below q, as an ML-KEM key must have, and a point that is not of low order. */
function makeKemKey(random: Random): Uint8Array {
  const key = new Uint8Array(KEM_PUBLIC_KEY_LENGTH)
  const noise = random(1536)
  for (let i = 0; i < 384; i++) {
    const a = ((noise[4 * i] as number) * 256 + (noise[4 * i + 1] as number)) % 3329
    const b = ((noise[4 * i + 2] as number) * 256 + (noise[4 * i + 3] as number)) % 3329
    key.set([a & 0xff, (a >> 8) | ((b & 0x0f) << 4), b >> 4], 3 * i)
  }
  key.set(random(64), 1152)
  key[KEM_PUBLIC_KEY_LENGTH - 1] = (key[KEM_PUBLIC_KEY_LENGTH - 1] as number) & 0x3f
  return key
}

export interface RelayName {
  readonly name: string
  readonly key: Uint8Array
}

/** The first entry of a new space. */
export function authorGenesis(random: Random, device: TestDevice, relay: RelayName): Authored {
  const member = makeMember(random)
  return author(random, device, ZERO_32, {
    kind: 'control',
    body: encodeControlBody({
      type: 'genesis',
      time: TIME,
      relay: { name: relay.name, key: relay.key, url: 'ws://relay.test' },
      device: deviceKeys(device, ZERO_32, member),
      member,
      epoch: { readCommit: random(32) },
      wrap: random(WRAP_LENGTH),
      policy: { contentRules: 1, maxBodyLength: 16 * 1024 * 1024, attestations: 1, rotateEntries: 0, rotateDays: 0 },
      spaceName: random(40),
      memberName: random(40),
      deviceName: random(40),
    }),
  })
}

export function spaceOf(genesis: Authored): SpaceId {
  return spaceIdOf(genesis.hash)
}

export interface InviteOptions {
  readonly seen?: Seen
  readonly role?: Role
  readonly kind?: InviteKind
  readonly history?: History
  readonly expires?: number
  /** Default: a new one. */
  readonly member?: MemberId
  readonly epoch?: number
}

/** Admits `guest` as a provisional device. */
export function authorInvite(
  random: Random,
  device: TestDevice,
  space: Uint8Array,
  guest: TestDevice,
  options: InviteOptions = {},
): Authored {
  const { seen, role = 'writer', kind = 'instant', history = 'all', expires = Number.MAX_SAFE_INTEGER } = options
  const { member = makeMember(random), epoch = 0 } = options
  const body: ControlBody = {
    type: 'invite',
    time: TIME,
    kind,
    device: deviceKeys(guest, space, member),
    member,
    role,
    history,
    expires,
    wrap: kind === 'approved' ? new Uint8Array(0) : random(WRAP_LENGTH),
    nameKey: kind === 'approved' ? random(60) : new Uint8Array(0),
  }
  return authorControl(random, device, space, body, { seen, epoch })
}

/** By the provisional device: puts `own` in its place. */
export function authorJoin(
  random: Random,
  guest: TestDevice,
  space: Uint8Array,
  own: TestDevice,
  seen?: Seen,
  epoch = 0,
): Authored {
  const body: ControlBody = {
    type: 'join',
    time: TIME,
    device: deviceKeys(own, space, guest.member ?? makeMember(random)),
    memberName: random(40),
    deviceName: random(40),
  }
  return authorControl(random, guest, space, body, { seen, epoch })
}

/** Whatever a control entry may say. */
export function authorControl(
  random: Random,
  device: TestDevice,
  space: Uint8Array,
  body: ControlBody,
  { seen, epoch = 0 }: { readonly seen?: Seen | undefined; readonly epoch?: number } = {},
): Authored {
  return author(random, device, space, { kind: 'control', body: encodeControlBody(body), seen, header: { epoch } })
}

export interface EntryOptions {
  readonly kind?: Header['kind']
  readonly document?: DocumentId
  readonly body?: Uint8Array
  readonly seen?: Seen | undefined
  /** Whatever an entry may get wrong. */
  readonly header?: Partial<Header>
}

/** The next entry of the device's chain in a document; what the relay takes for changes is noise. */
export function author(random: Random, device: TestDevice, space: Uint8Array, options: EntryOptions = {}): Authored {
  const { kind = 'changes', body = random(60), seen = NOTHING_SEEN } = options
  const document = kind === 'control' ? CONTROL_DOCUMENT : (options.document ?? DOCUMENT)
  const chain = device.chains.get(document) ?? { incarnation: random(8), seq: 0, prev: ZERO_32 }
  const header: Header = {
    space,
    document,
    device: device.number,
    incarnation: chain.incarnation,
    seq: chain.seq,
    prev: chain.prev,
    seenSize: seen.size,
    seenRoot: seen.root,
    epoch: 0,
    kind,
    tag: kind === 'control' ? ZERO_32 : random(32),
    bodyHash: sha256(body),
    bodyLength: body.length,
    ...options.header,
  }
  const encoded = encodeHeader(header)
  const hash = entryHash(encoded)
  device.chains.set(document, { ...chain, seq: chain.seq + 1, prev: hash })
  return { header: encoded, signature: signSync(device.seed, entrySigningInput(hash)), body, hash }
}

export function pushEntryOf({ header, signature, body }: Authored): PushEntry {
  return { header, signature, body }
}

function deviceKeys(device: TestDevice, space: Uint8Array, member: MemberId): DeviceKeys {
  const { seed, signing, kem } = device
  device.member = member
  return { signing, kem, possession: signSync(seed, possessionInput(space, member, signing, kem)) }
}

function makeMember(random: Random): MemberId {
  return memberIdOf(random(16))
}

let fillings = 0

/** A body of any length that is not like the one before; quicker than randomness. */
export function filler(length: number): Uint8Array {
  fillings++
  return Uint8Array.from({ length }, (_, i) => (i * fillings + (i >> 8)) & 0xff)
}
