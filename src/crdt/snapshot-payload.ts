import { isZero } from '../bytes.ts'
import {
  asArray,
  asBytes,
  asBytesUpTo,
  asOptional,
  assertAscending,
  asTuple,
  asUint,
  type Cbor,
  decodeCbor,
  encodeCbor,
  optional,
} from '../codec.ts'
import { SealogError } from '../errors.ts'
import { type ActorId, actorIdOf, idBytes } from '../ids.ts'
import { DOCUMENT_LIMITS } from './guard/rules.ts'

/** How far a snapshot covers one actor's chain, and with which Automerge change that ends. */
export interface CoveredActor {
  readonly actor: ActorId
  /** Place in the actor's chain of its last covered entry. */
  readonly seq: number
  /** Leaf hash of that entry, 32 bytes. */
  readonly hash: Uint8Array
  /** Automerge seq of the actor's latest change up to there; 0 where it made none. */
  readonly latestSeq: number
  /** Hash of that change, 32 bytes; zero bytes where there is none. */
  readonly latestHash: Uint8Array
}

/** What identifies the import that a document began with: its heads commit to all of its changes. */
export interface ImportSummary {
  /** Change hashes of 32 bytes, strictly ascending; at least one. */
  readonly heads: readonly Uint8Array[]
  /** Number of changes, at least 1. */
  readonly count: number
}

/** The plaintext of an entry of kind `snapshot` (DESIGN §6.1). */
export interface SnapshotPayload {
  /** Undefined where the document began empty. */
  readonly imported: ImportSummary | undefined
  /** By actor id, strictly ascending. */
  readonly covered: readonly CoveredActor[]
  /** One Automerge document chunk. */
  readonly saved: Uint8Array
}

/** The only kind of payload there is in an entry of kind `snapshot`; others make an old build stop. */
const VERSION = 0
/** What surrounds `saved`: 65,536 actors and as many heads of an import take less than 10 MiB. */
const OVERHEAD = 10 * 1024 * 1024
const MAX_SNAPSHOT_PAYLOAD: number = DOCUMENT_LIMITS.maxBytes + OVERHEAD

/** `[0, imported, covered, saved]` in deterministic CBOR. */
export function encodeSnapshotPayload({ imported, covered, saved }: SnapshotPayload): Uint8Array {
  return encodeCbor([
    VERSION,
    optional(imported, ({ heads, count }) => [heads, count]),
    covered.map(({ actor, seq, hash, latestSeq, latestHash }) => [idBytes(actor), seq, hash, latestSeq, latestHash]),
    saved,
  ])
}

/**
 * The inverse. Whether anything in it is true is for `verifySnapshot` to judge.
 * @throws SealogError ERR_UPGRADE for a version of a later build, ERR_MALFORMED, ERR_LIMIT
 */
export function decodeSnapshotPayload(bytes: Uint8Array): SnapshotPayload {
  const value = decodeCbor(bytes, MAX_SNAPSHOT_PAYLOAD)
  const version = Array.isArray(value) ? value[0] : undefined
  if (typeof version === 'number' && version !== VERSION)
    throw new SealogError('ERR_UPGRADE', `snapshot of version ${version}`)
  const [zero, imported, actors, saved] = asTuple(value, 4, 'snapshot')
  asUint(zero, 'snapshot version', VERSION)
  const covered = asArray(actors, DOCUMENT_LIMITS.maxActors, 'covered actors').map(asCoveredActor)
  assertAscending(
    covered.map(({ actor }) => idBytes(actor)),
    'covered actors',
  )
  return {
    imported: asOptional(imported, 'import', asImportSummary),
    covered,
    saved: asBytesUpTo(saved, DOCUMENT_LIMITS.maxBytes, 'saved document'),
  }
}

function asCoveredActor(item: Cbor): CoveredActor {
  const [actor, seq, hash, latestSeq, latestHash] = asTuple(item, 5, 'covered actor')
  const covered: CoveredActor = {
    actor: actorIdOf(asBytes(actor, 16, 'covered actor')),
    seq: asUint(seq, 'covered seq'),
    hash: asBytes(hash, 32, 'covered entry'),
    latestSeq: asUint(latestSeq, 'latest seq', DOCUMENT_LIMITS.maxChanges),
    latestHash: asBytes(latestHash, 32, 'latest hash'),
  }
  if ((covered.latestSeq === 0) !== isZero(covered.latestHash))
    throw new SealogError('ERR_MALFORMED', 'latest hash: expected zero bytes exactly where there is no change')
  return covered
}

function asImportSummary(item: Cbor): ImportSummary {
  const [hashes, count] = asTuple(item, 2, 'import')
  const heads = asArray(hashes, DOCUMENT_LIMITS.maxDependencies, 'heads').map(head => asBytes(head, 32, 'head'))
  assertAscending(heads, 'heads')
  const changes = asUint(count, 'number of changes', DOCUMENT_LIMITS.maxChanges)
  if (heads.length < 1 || changes < heads.length)
    throw new SealogError('ERR_MALFORMED', 'import: expected at least one head and no fewer changes than heads')
  return { heads, count: changes }
}
