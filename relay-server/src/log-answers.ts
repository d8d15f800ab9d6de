import {
  encodeMessage,
  type GetChain,
  type GetDocument,
  type GetKeys,
  MAX_FRAME_LENGTH,
  type Read,
  SealogError,
  type Skip,
} from 'sealog/protocol'
import type { AnswerSource } from './answer-source.ts'
import { answerChain } from './chain-answer.ts'
import type { RelayContext } from './context.ts'
import { answerDocument } from './document-answer.ts'
import { answerKeys, planKeys } from './keys-answer.ts'
import { relayBehind } from './reject.ts'
import { answerSkip, type SkipTarget } from './skip-answer.ts'
import type { Lease } from './space-registry.ts'
import type { SpaceSequencer } from './space-sequencer.ts'

/** What an entry of an audit costs, as if it were sent: header, signature, and its part of the tracer. */
const AUDITED_COST = 512
/** What it costs to go over one entry on the way to an older state, likewise. */
export const REWOUND_COST = 256

/** The frames that answer one request; what they throw is its refusal. */
type Frames = AsyncGenerator<Uint8Array, void, undefined>

/** @param device number of the one who asks */
export async function* skipFrames(context: RelayContext, lease: Lease, device: number, request: Skip): Frames {
  const target = await skipTarget(lease, device, request)
  yield* answerSkip(sourceOf(context, lease.sequencer), request, target)
}

/** @param position entries that the reader has when the answer reaches it */
export async function* documentFrames(
  context: RelayContext,
  { sequencer }: Lease,
  request: GetDocument,
  position: number,
): Frames {
  sequencer.assertLevel()
  yield* answerDocument(sourceOf(context, sequencer), request, position)
}

export async function* chainFrames({ store }: RelayContext, { sequencer }: Lease, request: GetChain): Frames {
  sequencer.assertLevel()
  const { space, head, state } = sequencer
  if (head === undefined || state === undefined) throw new SealogError('ERR_UNKNOWN_SPACE', 'the space has no entries')
  yield* answerChain({ space, store, state, size: head.checkpoint.size }, request)
}

/**
 * Paid for before they are made.
 * @param device number of the one who asks
 * @param position entries that the reader has when the answer reaches it
 */
export async function* keyFrames(
  { gate }: RelayContext,
  { sequencer, wraps }: Lease,
  device: number,
  request: GetKeys,
  position: number,
): Frames {
  sequencer.assertLevel()
  const { space, state } = sequencer
  if (state === undefined) throw new SealogError('ERR_UNKNOWN_SPACE', 'the space has no entries')
  const plan = planKeys(wraps, state.control, { ...request, position })
  const charge = gate.charge(space, device, plan.cost)
  const { message, read } = await answerKeys(wraps, request, device, plan)
  const frame = encodeMessage(message)
  charge.settle(read + frame.length)
  yield frame
}

/**
 * What the log has from `from` towards `to`, with tracers, for an audit; paid for before it is made.
 * @param device number of the one who asks
 * @param position entries that the reader has when the answer reaches it
 */
export async function* auditFrames(
  { gate }: RelayContext,
  { sequencer }: Lease,
  device: number,
  { ref, from, to }: Read,
  position: number,
): Frames {
  const end = Math.min(to, position)
  if (from > end) throw new SealogError('ERR_UNEXPECTED', `no entries from ${from} to ${end}`)
  const rewinding = sequencer.rewindDistance(from) * REWOUND_COST
  const charge = gate.charge(
    sequencer.space,
    device,
    rewinding + Math.min(MAX_FRAME_LENGTH, (1 + end - from) * AUDITED_COST),
  )
  const { batch } = await sequencer.readForAudit(from, end)
  const frame = encodeMessage({ type: 'sync', ref, space: sequencer.space, batch })
  charge.settle(rewinding + frame.length)
  yield frame
}

async function skipTarget({ sequencer, cosignatures }: Lease, device: number, request: Skip): Promise<SkipTarget> {
  sequencer.assertLevel()
  const { at, attestations, from } = request
  const size = sequencer.head?.checkpoint.size ?? 0
  if (at > size) throw relayBehind(size)
  if (at > 0) return { size: at, note: await cosignatures.noteOf(at) }
  const found = await cosignatures.find({ device, attestations, from })
  if (found !== undefined) return found
  throw new SealogError('ERR_UNEXPECTED', 'there is no checkpoint that enough members have cosigned')
}

function sourceOf({ store }: RelayContext, sequencer: SpaceSequencer): AnswerSource {
  return { space: sequencer.space, store, documentsAt: size => sequencer.documentsAt(size) }
}
