import {
  findActor,
  findDocument,
  type GetChain,
  INLINE_BODY_LENGTH,
  type LogRecord,
  SealogError,
  type SpaceId,
  type SpaceState,
} from 'sealog/protocol'
import { chosenEntries } from './chosen-entries.ts'
import type { LogStore } from './log-store.ts'
import { recordFrames } from './record-frames.ts'

/** Entries of a chain in one answer. Who needs more asks again. */
const MAX_CHAIN = 16_384

/** The signed log that a chain is read from. */
export interface ChainSource {
  readonly space: SpaceId
  readonly store: LogStore
  readonly state: SpaceState
  /** Of the signed head: what lies beyond is shown to nobody. */
  readonly size: number
}

/**
 * Composes the answer to `get-chain`: a stretch of one actor's chain, both bounds included, with the bodies that are
 * not too long to travel in it and not of snapshots. The replica knows the entry behind it, which commits to all of it
 * (`prependChain`), so nothing is signed or proven here.
 * @throws SealogError ERR_UNEXPECTED unless all of it is there, ERR_LIMIT, and whatever the store throws
 */
export async function* answerChain(
  { space, store, state, size }: ChainSource,
  request: GetChain,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { document, actor, from, to } = request
  const record = findDocument(state, document)
  const known = record && findActor(record, actor)
  if (known === undefined || from > to || to > known.seq) {
    throw new SealogError('ERR_UNEXPECTED', `there is no chain ${actor} from ${from} to ${to} in this document`)
  }
  if (to - from >= MAX_CHAIN) {
    throw new SealogError('ERR_LIMIT', `${to - from + 1} entries of a chain at once`, { details: { limit: MAX_CHAIN } })
  }
  yield* recordFrames(request, new Uint8Array(0), chainRecords({ space, store, state, size }, request))
}

async function* chainRecords(
  { space, store, size }: ChainSource,
  { actor, from, to }: GetChain,
): AsyncGenerator<LogRecord, void, undefined> {
  for await (const entries of chosenEntries(store, space, { kind: 'chain', actor, from, to }, INLINE_BODY_LENGTH)) {
    for (const { index, header, body, isSnapshot } of entries) {
      if (index >= size) return
      yield { index, header, signature: undefined, body: isSnapshot ? undefined : body, inclusion: [] }
    }
  }
}
