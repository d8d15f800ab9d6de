import { equalBytes } from '../bytes.ts'
import { ZERO_32 } from '../crypto/hash.ts'
import type { SignatureCheck } from '../crypto/sign.ts'
import { type ErrorCode, SealogError } from '../errors.ts'
import { spaceIdOf } from '../ids.ts'
import type { Checkpoint } from './checkpoint.ts'
import { bodyOf } from './entry-body.ts'
import type { Leaf } from './extend-log.ts'
import { type Batch, type LogView, type PinnedRelay, sameRelay, type VerifiedEntry } from './log.ts'
import { applyHeader } from './reducer.ts'
import { type SpaceState, stateRoot } from './state.ts'
import { mergeTracer } from './tracer.ts'

/** An entry that the reducer accepted, and what its author still has to be held to. */
export interface ReducedEntry {
  readonly entry: VerifiedEntry
  /** Signing key of its author's device, 32 bytes. */
  readonly signer: Uint8Array
  /** Proofs of possession that it brings. */
  readonly checks: readonly SignatureCheck[]
}

/**
 * The state after these entries: the tracer is merged into what is known of the state before them, then the reducer
 * takes one header after the other. A state is handed on only if it takes all of them.
 * @param seenRoots the root at every `seenSize` of the batch
 * @throws SealogError ERR_INVALID_ENTRY, ERR_BODY, ERR_PROOF, ERR_RELAY_IDENTITY, ERR_UPGRADE
 */
export function fold(
  view: LogView,
  leaves: readonly Leaf[],
  batch: Batch,
  seenRoots: ReadonlyMap<number, Uint8Array>,
): { state: SpaceState | undefined; entries: readonly ReducedEntry[] } {
  let state = withTracer(view.state, batch.tracer)
  const entries = leaves.map(({ header, hash }, offset): ReducedEntry => {
    const index = batch.from + offset
    if (index === 0) checkGenesis(view, hash)
    const body = bodyOf(header, batch.entries[offset]?.body, index)
    const isControl = header.kind === 'control'
    if (isControl && body === undefined) throw new SealogError('ERR_BODY', `control entry ${index} without its body`)
    const seenRoot = seenRoots.get(header.seenSize) ?? ZERO_32
    const reduced = judge(state, { header, hash, index, seenRoot, controlBody: isControl ? body : undefined })
    if (reduced.control?.type === 'join') checkExpiry(view, state, header.device, index)
    if (reduced.control?.type === 'genesis') checkRelay(view, reduced.control.relay)
    state = reduced.state
    const entry = {
      index,
      header,
      hash,
      actor: reduced.actor,
      body,
      control: reduced.control,
      recipients: reduced.recipients,
    }
    return { entry, signer: reduced.signer, checks: reduced.checks }
  })
  return { state, entries }
}

/**
 * An invite that expired admits nobody. The log holds no clock, so the relay decides by its own; but where it signed,
 * after the expiry, a log that did not have the join yet, it has refuted itself (protocol.md R-JOIN-3).
 */
function checkExpiry({ head }: LogView, before: SpaceState | undefined, device: number, index: number): void {
  const invite = before?.control.invites.get(device)
  if (invite === undefined || head === undefined || head.size > index || head.time <= invite.expires) return
  throw new SealogError('ERR_INVALID_ENTRY', `entry ${index} refused: expired`, {
    details: { reason: 'expired', index },
  })
}

function withTracer(state: SpaceState | undefined, tracer: Uint8Array | undefined): SpaceState | undefined {
  if (tracer === undefined) return state
  if (state === undefined) throw new SealogError('ERR_PROOF', 'a tracer where there is no state yet')
  return { control: state.control, documents: mergeTracer(state.documents, tracer) }
}

/**
 * In a signed log, an entry that the reducer refuses is a fault of the relay, whatever the reason: unless it could not
 * be judged, as this replica does not know that part of the state and the tracer does not show it.
 */
export function judge(...args: Parameters<typeof applyHeader>): ReturnType<typeof applyHeader> {
  try {
    return applyHeader(...args)
  } catch (error) {
    if (!(error instanceof SealogError) || NOT_A_VERDICT.has(error.code)) throw error
    throw new SealogError('ERR_INVALID_ENTRY', error.message, { cause: error, details: error.details })
  }
}

const NOT_A_VERDICT: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['ERR_UPGRADE', 'ERR_PROOF', 'ERR_INVALID_ENTRY'])

/** @throws SealogError ERR_INVALID_ENTRY for the genesis of another space */
export function checkGenesis(view: LogView, hash: Uint8Array): void {
  const actual = spaceIdOf(hash)
  if (actual === view.space) return
  throw new SealogError('ERR_INVALID_ENTRY', 'the genesis of another space', {
    details: { index: 0, expected: view.space, actual },
  })
}

/** The space is the relay's that it was founded with: a copy of its log at another relay is a fork. */
export function checkRelay({ relay }: LogView, named: PinnedRelay): void {
  if (sameRelay(named, relay)) return
  throw new SealogError('ERR_RELAY_IDENTITY', 'the genesis names another relay', {
    details: { index: 0, expected: relay.name, actual: named.name },
  })
}

/** The state at the size of a checkpoint is the one that the relay signed. @throws SealogError ERR_STATE_ROOT */
export function checkStateRoot(state: SpaceState | undefined, checkpoint: Checkpoint): void {
  const root = state === undefined ? ZERO_32 : stateRoot(state)
  if (!equalBytes(root, checkpoint.stateRoot)) {
    throw new SealogError('ERR_STATE_ROOT', `entries do not fold to the state signed for size ${checkpoint.size}`)
  }
}
