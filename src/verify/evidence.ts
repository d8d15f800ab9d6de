import {
  asArray,
  asBytes,
  asBytesUpTo,
  asOptional,
  asText,
  asTuple,
  asUint,
  type Cbor,
  decodeCbor,
  encodeCbor,
  optional,
} from '../codec.ts'
import { SealogError } from '../errors.ts'
import { idBytes, type SpaceId, spaceIdOf } from '../ids.ts'
import { type CompactRange, decodeRange, encodeRange } from './compact-range.ts'
import { MAX_CONTROL_BODY_LENGTH } from './control.ts'
import { decodeControlState, encodeControlState } from './control-rows.ts'
import type { ControlState } from './control-state.ts'
import { MAX_HEADER_LENGTH } from './entry.ts'
import type { Batch, BatchEntry, PinnedRelay } from './log.ts'

/*
 * Evidence (DESIGN §5.5): bytes that hold everything needed to judge, offline and without any key of the space, whether
 * a relay contradicted itself. They prove nothing by being well formed: see judge.ts.
 */

/** Two notes that cannot be about one log. */
export interface CheckpointsClaim {
  readonly kind: 'checkpoints'
  /** Signed notes. */
  readonly notes: readonly [Uint8Array, Uint8Array]
}

/** Two notes, of which the smaller log is not how the larger one begins. */
export interface InconsistencyClaim {
  readonly kind: 'inconsistency'
  /** Signed notes. */
  readonly smaller: Uint8Array
  readonly larger: Uint8Array
  /** Root that the larger log really had at the smaller size, 32 bytes. */
  readonly root: Uint8Array
  /** Consistency proof (RFC 6962 §2.1.2) from that root to the larger note's. */
  readonly proof: readonly Uint8Array[]
}

/** A state that the relay signed, cut down to what the entries after it touch. */
export interface TransitionBase {
  /** Signed note about exactly these entries and this state. */
  readonly note: Uint8Array
  readonly range: CompactRange
  readonly control: ControlState
  /** Root of the map of documents, 32 bytes. */
  readonly documentsRoot: Uint8Array
  /** Pruned tree of that map, see tracer.ts; undefined where the batches bring all that is needed. */
  readonly tracer: Uint8Array | undefined
}

/** What the log's root really was at some size: for entries whose authors are said to have seen another. */
export interface PrefixRoot {
  readonly size: number
  /** 32 bytes */
  readonly root: Uint8Array
  /** Consistency proof from here to the log as it was when `end` entries were known. */
  readonly end: number
  readonly proof: readonly Uint8Array[]
}

/** Entries of a signed log that are not what the relay said of them, or that no relay may accept. */
export interface TransitionClaim {
  readonly kind: 'transition'
  /** Undefined: from the beginning of the log. */
  readonly base: TransitionBase | undefined
  readonly batches: readonly Batch[]
  /** Signed notes of sizes that the batches pass. */
  readonly anchors: readonly Uint8Array[]
  readonly prefixes: readonly PrefixRoot[]
}

export type Claim = CheckpointsClaim | InconsistencyClaim | TransitionClaim
export type EvidenceKind = Claim['kind']

export interface Evidence {
  /** Whom it accuses. */
  readonly relay: PinnedRelay
  /** About whose log. */
  readonly space: SpaceId
  readonly claim: Claim
}

/** Largest evidence, in bytes. */
export const MAX_EVIDENCE_LENGTH: number = 16 * 1024 * 1024
/** First item of every evidence file. */
export const EVIDENCE_LABEL = 'sealog/evidence'

const VERSION = 1
const KINDS = ['checkpoints', 'inconsistency', 'transition'] as const satisfies readonly EvidenceKind[]
/** 16 MiB of the smallest items would take a gigabyte once they are read. */
const MAX_ITEMS = 1 << 20
const MAX_CONTROL_LENGTH: number = 8 * 1024 * 1024
const MAX_TRACER_LENGTH: number = 4 * 1024 * 1024
const MAX_NOTE_LENGTH = 16 * 1024
const MAX_PROOF = 64
const MAX_BATCHES = 256
const MAX_BATCH_ENTRIES = 4096
const MAX_ANCHORS = 16
const MAX_PREFIXES = 16

/** Beyond the limits of `decodeEvidence` it is written all the same, and unusable. */
export function encodeEvidence({ relay, space, claim }: Evidence): Uint8Array {
  return encodeCbor([
    EVIDENCE_LABEL,
    VERSION,
    [relay.name, relay.key],
    idBytes(space),
    KINDS.indexOf(claim.kind),
    claimFields(claim),
  ])
}

/** @throws SealogError ERR_LIMIT, ERR_MALFORMED; ERR_UPGRADE for a version or kind of a later build */
export function decodeEvidence(bytes: Uint8Array): Evidence {
  const item = decodeCbor(bytes, MAX_EVIDENCE_LENGTH, MAX_ITEMS)
  const [label, version] = Array.isArray(item) ? item : []
  if (label !== EVIDENCE_LABEL) throw new SealogError('ERR_MALFORMED', 'not an evidence file')
  if (asUint(version, 'evidence version') !== VERSION) {
    throw new SealogError('ERR_UPGRADE', `evidence of version ${version}, which this build does not know`)
  }
  const fields = asTuple(item, 6, 'evidence')
  const relay = asTuple(fields[2], 2, 'relay')
  return {
    relay: { name: asText(relay[0], 255, 'relay name'), key: asBytes(relay[1], 32, 'relay key') },
    space: spaceIdOf(asBytes(fields[3], 32, 'space')),
    claim: asClaim(asUint(fields[4], 'evidence kind'), fields[5]),
  }
}

function claimFields(claim: Claim): Cbor {
  switch (claim.kind) {
    case 'checkpoints':
      return claim.notes
    case 'inconsistency':
      return [claim.smaller, claim.larger, claim.root, claim.proof]
    case 'transition':
      return [
        optional(claim.base, baseFields),
        claim.batches.map(batchFields),
        claim.anchors,
        claim.prefixes.map(({ size, root, end, proof }) => [size, root, end, proof]),
      ]
  }
}

function asClaim(kind: number, item: Cbor | undefined): Claim {
  switch (KINDS[kind]) {
    case 'checkpoints': {
      const fields = asTuple(item, 2, 'checkpoints')
      return { kind: 'checkpoints', notes: [asNote(fields[0]), asNote(fields[1])] }
    }
    case 'inconsistency': {
      const fields = asTuple(item, 4, 'inconsistency')
      return {
        kind: 'inconsistency',
        smaller: asNote(fields[0]),
        larger: asNote(fields[1]),
        root: asBytes(fields[2], 32, 'root'),
        proof: asProof(fields[3]),
      }
    }
    case 'transition': {
      const fields = asTuple(item, 4, 'transition')
      return {
        kind: 'transition',
        base: asOptional(fields[0], 'base', asBase),
        batches: asArray(fields[1], MAX_BATCHES, 'batches').map(asBatch),
        anchors: asArray(fields[2], MAX_ANCHORS, 'anchors').map(asNote),
        prefixes: asArray(fields[3], MAX_PREFIXES, 'prefixes').map(asPrefix),
      }
    }
    default:
      throw new SealogError('ERR_UPGRADE', `evidence of kind ${kind}, which this build does not know`)
  }
}

function baseFields(base: TransitionBase): Cbor {
  return [
    base.note,
    encodeRange(base.range),
    encodeControlState(base.control),
    base.documentsRoot,
    optional(base.tracer, tracer => tracer),
  ]
}

function asBase(item: Cbor): TransitionBase {
  const fields = asTuple(item, 5, 'base')
  return {
    note: asNote(fields[0]),
    range: decodeRange(asBytesUpTo(fields[1], MAX_NOTE_LENGTH, 'range')),
    control: asControlState(fields[2]),
    documentsRoot: asBytes(fields[3], 32, 'root of the documents'),
    tracer: asOptional(fields[4], 'tracer', asTracer),
  }
}

function batchFields(batch: Batch): Cbor {
  return [
    batch.from,
    batch.entries.map(({ header, signature, body }) => [
      header,
      optional(signature, bytes => bytes),
      optional(body, bytes => bytes),
    ]),
    batch.seenProofs.map(({ size, proof }) => [size, proof]),
    batch.note,
    batch.consistency,
    optional(batch.tracer, tracer => tracer),
  ]
}

function asBatch(item: Cbor): Batch {
  const fields = asTuple(item, 6, 'batch')
  return {
    from: asUint(fields[0], 'from'),
    entries: asArray(fields[1], MAX_BATCH_ENTRIES, 'entries').map(asEntry),
    seenProofs: asArray(fields[2], MAX_BATCH_ENTRIES, 'seen proofs').map(proof => {
      const parts = asTuple(proof, 2, 'seen proof')
      return { size: asUint(parts[0], 'size'), proof: asProof(parts[1]) }
    }),
    note: asNote(fields[3]),
    consistency: asProof(fields[4]),
    tracer: asOptional(fields[5], 'tracer', asTracer),
  }
}

function asEntry(item: Cbor): BatchEntry {
  const fields = asTuple(item, 3, 'entry')
  return {
    header: asBytesUpTo(fields[0], MAX_HEADER_LENGTH, 'header'),
    signature: asOptional(fields[1], 'signature', (bytes, what) => asBytes(bytes, 64, what)),
    body: asOptional(fields[2], 'body', (bytes, what) => asBytesUpTo(bytes, MAX_CONTROL_BODY_LENGTH, what)),
  }
}

function asPrefix(item: Cbor): PrefixRoot {
  const fields = asTuple(item, 4, 'prefix')
  return {
    size: asUint(fields[0], 'size'),
    root: asBytes(fields[1], 32, 'root'),
    end: asUint(fields[2], 'end'),
    proof: asProof(fields[3]),
  }
}

function asNote(item: Cbor | undefined): Uint8Array {
  return asBytesUpTo(item, MAX_NOTE_LENGTH, 'note')
}

function asProof(item: Cbor | undefined): readonly Uint8Array[] {
  return asArray(item, MAX_PROOF, 'proof').map(hash => asBytes(hash, 32, 'proof'))
}

function asTracer(item: Cbor, what: string): Uint8Array {
  return asBytesUpTo(item, MAX_TRACER_LENGTH, what)
}

function asControlState(item: Cbor | undefined): ControlState {
  const bytes = asBytesUpTo(item, MAX_CONTROL_LENGTH, 'control state')
  // Its own decoder is made for rows that this replica wrote, and counts no items.
  decodeCbor(bytes, MAX_CONTROL_LENGTH, MAX_ITEMS)
  return decodeControlState(bytes)
}
