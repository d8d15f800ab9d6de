import {
  type ActorId,
  asBytes,
  asOptional,
  asTuple,
  asUint,
  type DocumentRecord,
  decodeCbor,
  decodeDocumentRecord,
  encodeCbor,
  encodeDocumentRecord,
  getAt,
  type Header,
  optional,
  type SpaceState,
  type stateKey,
  writerKey,
} from 'sealog/protocol'

/**
 * What an entry replaced in the state, beyond what its own header says: `seq − 1`, `prev` and the device are those of
 * the actor's record before it, and a chain that goes on was not retired. Stored with every entry, so it is short:
 *
 *   replaced = [actor: [? [epoch, tag, tagEpoch, seenSize]], open: [? uint], document: [? uint / bstr]]
 *
 * `open` is how many actors the device had open in the document, where the entry changes that; `document` is the
 * `contentEnd` of the document's own record, or all of that record where the entry may change more of it.
 */
export interface Replaced {
  /** Undefined: the actor had no entry. */
  readonly actor: ReplacedActor | undefined
  /** Of an entry that `changesWriter`; undefined: the device had no actor in the document. */
  readonly openActors: number | undefined
  /** Undefined: there was no such document. */
  readonly document: number | DocumentRecord | undefined
}

interface ReplacedActor {
  readonly epoch: number
  readonly tag: Uint8Array
  readonly tagEpoch: number
  readonly seenSize: number
}

/** A first entry opens an actor, a retire entry closes one. */
export function changesWriter({ seq, kind }: Header): boolean {
  return seq === 0 || kind === 'retire'
}

/**
 * @param before the state that the entry was accepted on; undefined for a genesis
 * @param keyOf `stateKey`, which the caller may remember results of
 */
export function encodeReplaced(
  before: SpaceState | undefined,
  header: Header,
  actor: ActorId,
  keyOf: typeof stateKey,
): Uint8Array {
  const document = before && getAt(before.documents, keyOf(header.document))
  if (document === undefined) return encodeCbor([[], [], []])
  const writer = changesWriter(header) ? getAt(document.writers, writerKey(header.device)) : undefined
  return encodeCbor([
    optional(getAt(document.actors, keyOf(actor)), ({ epoch, tag, tagEpoch, seenSize }) => [
      epoch,
      tag,
      tagEpoch,
      seenSize,
    ]),
    optional(writer, ({ open }) => open),
    [header.kind === 'snapshot' ? encodeDocumentRecord(document) : document.contentEnd],
  ])
}

/** @throws SealogError ERR_MALFORMED, ERR_LIMIT */
export function decodeReplaced(bytes: Uint8Array): Replaced {
  const [actor, openActors, document] = asTuple(decodeCbor(bytes, MAX_LENGTH), 3, 'replaced')
  return {
    actor: asOptional(actor, 'replaced actor', (item, what) => {
      const fields = asTuple(item, 4, what)
      return {
        epoch: asUint(fields[0], what),
        tag: asBytes(fields[1], 32, what),
        tagEpoch: asUint(fields[2], what),
        seenSize: asUint(fields[3], what),
      }
    }),
    openActors: asOptional(openActors, 'open actors', (item, what) => asUint(item, what)),
    document: asOptional(document, 'replaced document', (item, what) =>
      item instanceof Uint8Array ? decodeDocumentRecord(item) : asUint(item, what),
    ),
  }
}

const MAX_LENGTH = 1024
