import { SealogError } from '../errors.ts'
import type { SpaceId } from '../ids.ts'
import { decodeControlBody } from './control-codec.ts'
import { actorOf, decodeHeader, type Header } from './entry.ts'
import { encodeEvidence, type PrefixRoot, type TransitionBase } from './evidence.ts'
import type { Batch, LogView, PinnedRelay } from './log.ts'
import type { SpaceState } from './state.ts'
import { mapRoot } from './state-map.ts'
import { encodeTracer, mergeTracer, touchedBy } from './tracer.ts'

/** Whom evidence accuses, and about whose log. */
export interface Accused {
  readonly relay: PinnedRelay
  readonly space: SpaceId
}

/** Two notes that cannot be about one log. Like all evidence, it shows nothing before it was judged. */
export function checkpointsEvidence({ relay, space }: Accused, notes: readonly [Uint8Array, Uint8Array]): Uint8Array {
  return encodeEvidence({ relay, space, claim: { kind: 'checkpoints', notes } })
}

/**
 * Two notes, and the root (32 bytes) that the larger log had at the smaller size, with the consistency proof
 * (RFC 6962 §2.1.2) from there.
 */
export function inconsistencyEvidence(
  { relay, space }: Accused,
  found: {
    readonly smaller: Uint8Array
    readonly larger: Uint8Array
    readonly root: Uint8Array
    readonly proof: readonly Uint8Array[]
  },
): Uint8Array {
  return encodeEvidence({ relay, space, claim: { kind: 'inconsistency', ...found } })
}

/**
 * Entries from `view` on, as the relay sent them, without the bodies of documents: nothing rests on those.
 * @param base note about exactly the entries of the view; undefined where the view is empty
 * @param anchors notes of sizes that the entries pass
 */
export function transitionEvidence(
  view: LogView,
  base: Uint8Array | undefined,
  batches: readonly Batch[],
  anchors: readonly Uint8Array[],
  prefixes: readonly PrefixRoot[],
): Uint8Array {
  const { relay, space, state } = view
  const start = base === undefined || state === undefined ? undefined : baseOf(view, base, state, batches)
  const claim = { kind: 'transition', base: start, batches: batches.map(withoutContent), anchors, prefixes } as const
  return encodeEvidence({ relay, space, claim })
}

function baseOf(view: LogView, note: Uint8Array, state: SpaceState, batches: readonly Batch[]): TransitionBase {
  return {
    note,
    range: view.range,
    control: state.control,
    documentsRoot: mapRoot(state.documents),
    tracer: tracerOf(state, batches),
  }
}

/** What the batches touch of the state before them, as far as the replica knows it: a sparse one was sent tracers. */
function tracerOf(state: SpaceState, batches: readonly Batch[]): Uint8Array | undefined {
  const tracer = batches[0]?.tracer
  return readOr(undefined, () => {
    const documents = tracer === undefined ? state.documents : mergeTracer(state.documents, tracer)
    return encodeTracer(documents, touchedBy(authored(state, batches)))
  })
}

interface Authored {
  readonly header: Header
  readonly actor: ReturnType<typeof actorOf>
}

/** The entries whose author can be told, up to one that cannot be read: no more is ever looked up in the documents. */
function* authored(state: SpaceState, batches: readonly Batch[]): Generator<Authored> {
  const keys = new Map<number, Uint8Array>()
  for (const [number, device] of state.control.devices) keys.set(number, device.signing)
  let { count } = state.control
  for (const entry of batches.flatMap(batch => batch.entries)) {
    const header = readOr(undefined, () => decodeHeader(entry.header))
    if (header === undefined) return
    const key = keys.get(header.device)
    if (key !== undefined) yield { header, actor: actorOf(header.space, header.document, key, header.incarnation) }
    if (header.kind !== 'control') continue
    const { body } = entry
    const control = body && readOr(undefined, () => decodeControlBody(body))
    if (control === undefined) return
    // The number of a device is that of the control entry that admits it (protocol.md R-CONTROL-2).
    if ('device' in control && typeof control.device === 'object') keys.set(count, control.device.signing)
    count++
  }
}

/** Control bodies stay: the reducer needs them. So does an entry's signature, for whoever wants to know the author. */
function withoutContent(batch: Batch): Batch {
  return {
    ...batch,
    entries: batch.entries.map(entry => (isControl(entry.header) ? entry : { ...entry, body: undefined })),
  }
}

function isControl(header: Uint8Array): boolean {
  return readOr(false, () => decodeHeader(header).kind === 'control')
}

/** What was read, or `otherwise` where it is refused with a code: evidence is built from what others sent. */
export function readOr<T>(otherwise: T, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof SealogError) return otherwise
    throw error
  }
}
