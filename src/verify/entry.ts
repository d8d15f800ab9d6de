import { concat, toUtf8 } from '../bytes.ts'
import { asBytes, asTuple, asUint, type Cbor, decodeCbor, encodeCbor } from '../codec.ts'
import { type BoundedCache, boundedCache } from '../crypto/bounded-cache.ts'
import { labelledHash, sha256 } from '../crypto/hash.ts'
import { SealogError } from '../errors.ts'
import { type ActorId, actorIdOf, type DocumentId, documentIdOf, idBytes } from '../ids.ts'

/** The number on the wire is the place in this list. */
const KINDS = ['changes', 'snapshot', 'import', 'retire', 'control'] as const

/** What an entry holds (DESIGN §3). */
export type EntryKind = (typeof KINDS)[number]

/** The signed, clear Merkle leaf of an entry; protocol.md §2. Hashes have 32 bytes. */
export interface Header {
  /** Leaf hash of the genesis header; zero bytes in the genesis itself. */
  readonly space: Uint8Array
  /** All zero for control entries. */
  readonly document: DocumentId
  /** Number of the control entry that admitted the author's device. */
  readonly device: number
  /** 8 random bytes per replica and writer slot. */
  readonly incarnation: Uint8Array
  /** 0, 1, 2 … in this actor's chain. */
  readonly seq: number
  /** Leaf hash of this actor's previous entry; zero bytes at seq 0. */
  readonly prev: Uint8Array
  /** The largest log prefix that the author had verified. */
  readonly seenSize: number
  readonly seenRoot: Uint8Array
  /** The epoch in force; in an entry that starts an epoch, the one before. */
  readonly epoch: number
  readonly kind: EntryKind
  /** Commitment to the actor's latest Automerge change; zero bytes in control entries. */
  readonly tag: Uint8Array
  readonly bodyHash: Uint8Array
  readonly bodyLength: number
}

/** One record of the changelog as it travels and is stored. */
export interface SignedEntry {
  /** Encoded header: the Merkle leaf, byte for byte. */
  readonly header: Uint8Array
  /** 64 bytes. */
  readonly signature: Uint8Array
  readonly body: Uint8Array
}

export const ENTRY_VERSION = 1
export const MAX_HEADER_LENGTH = 320
/** Largest body a relay accepts at all, in bytes. */
export const MAX_BODY_LENGTH: number = 64 * 1024 * 1024
/** Bodies beyond this travel in parts of at most this length, in bytes. */
export const INLINE_BODY_LENGTH: number = 256 * 1024

const SIGNATURE_LABEL = toUtf8('sealog/v1/entry\0')
const LEAF_PREFIX = Uint8Array.of(0)

export function encodeHeader(header: Header): Uint8Array {
  return encodeCbor([...contextOf(header), header.bodyHash, header.bodyLength])
}

/**
 * The part of the header that a body is sealed under (its associated data): everything that is known
 * before the body exists.
 */
export function headerContext(header: Omit<Header, 'bodyHash' | 'bodyLength'>): Uint8Array {
  return encodeCbor(contextOf(header))
}

/** @throws SealogError ERR_MALFORMED, ERR_LIMIT; ERR_UPGRADE for a version or kind of a later build */
export function decodeHeader(bytes: Uint8Array): Header {
  const item = decodeCbor(bytes, MAX_HEADER_LENGTH)
  const version = asUint(Array.isArray(item) ? item[0] : undefined, 'header version')
  if (version !== ENTRY_VERSION) throw new SealogError('ERR_UPGRADE', `entry version ${version}`)
  const fields = asTuple(item, 14, 'header')
  const kindNumber = asUint(fields[10], 'kind')
  const kind = KINDS[kindNumber]
  if (kind === undefined) throw new SealogError('ERR_UPGRADE', `entry kind ${kindNumber}`)
  return {
    space: asBytes(fields[1], 32, 'space'),
    document: documentIdOf(asBytes(fields[2], 16, 'document')),
    device: asUint(fields[3], 'device'),
    incarnation: asBytes(fields[4], 8, 'incarnation'),
    seq: asUint(fields[5], 'seq'),
    prev: asBytes(fields[6], 32, 'prev'),
    seenSize: asUint(fields[7], 'seenSize'),
    seenRoot: asBytes(fields[8], 32, 'seenRoot'),
    epoch: asUint(fields[9], 'epoch'),
    kind,
    tag: asBytes(fields[11], 32, 'tag'),
    bodyHash: asBytes(fields[12], 32, 'bodyHash'),
    bodyLength: asUint(fields[13], 'bodyLength', MAX_BODY_LENGTH),
  }
}

/** RFC 6962 §2.1 leaf hash of an encoded header: also the identity of the entry. @returns 32 bytes */
export function entryHash(encodedHeader: Uint8Array): Uint8Array {
  return sha256(concat(LEAF_PREFIX, encodedHeader))
}

/** What a device key signs for an entry. */
export function entrySigningInput(hash: Uint8Array): Uint8Array {
  return concat(SIGNATURE_LABEL, hash)
}

/**
 * The actor that an entry belongs to: its hash-linked chain, and the actor id of its Automerge changes.
 * @param space 32 bytes, of the genesis too its own leaf hash
 * @param devicePublicKey 32 bytes
 * @param incarnation 8 bytes
 */
export function actorOf(
  space: Uint8Array,
  document: DocumentId,
  devicePublicKey: Uint8Array,
  incarnation: Uint8Array,
): ActorId {
  // The lengths are fixed, so no two actors have one key.
  const key = String.fromCharCode(...space, ...devicePublicKey, ...incarnation)
  return actors.get(document + key, () => {
    const hash = labelledHash('sealog/v1/actor', space, idBytes(document), devicePublicKey, incarnation)
    return actorIdOf(hash.subarray(0, 16))
  })
}

/** Who writes one entry writes more: the reducer asks for the same few actors again and again. */
const actors: BoundedCache<ActorId> = boundedCache(4096)

function contextOf(header: Omit<Header, 'bodyHash' | 'bodyLength'>): Cbor[] {
  return [
    ENTRY_VERSION,
    header.space,
    idBytes(header.document),
    header.device,
    header.incarnation,
    header.seq,
    header.prev,
    header.seenSize,
    header.seenRoot,
    header.epoch,
    KINDS.indexOf(header.kind),
    header.tag,
  ]
}
