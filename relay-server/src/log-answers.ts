import { encodeMessage, type GetChain, type GetDocument, type GetKeys, SealogError, type Skip } from 'sealog/protocol'
import type { AnswerSource } from './answer-source.ts'
import { answerChain } from './chain-answer.ts'
import type { RelayContext } from './context.ts'
import { answerDocument } from './document-answer.ts'
import { answerKeys } from './keys-answer.ts'
import { relayBehind } from './reject.ts'
import { answerSkip, type SkipTarget } from './skip-answer.ts'
import type { Lease } from './space-registry.ts'
import type { SpaceSequencer } from './space-sequencer.ts'

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
 * @param device number of the one who asks
 * @param position entries that the reader has when the answer reaches it
 */
export async function* keyFrames(
  { sequencer, wraps }: Lease,
  device: number,
  request: GetKeys,
  position: number,
): Frames {
  sequencer.assertLevel()
  const { state } = sequencer
  if (state === undefined) throw new SealogError('ERR_UNKNOWN_SPACE', 'the space has no entries')
  yield encodeMessage(await answerKeys(wraps, state.control, { ...request, device, position }))
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
