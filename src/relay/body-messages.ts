import { record, spaceId, uint, uintUpTo } from '../format.ts'
import type { SpaceId } from '../ids.ts'
import { MAX_BODY_LENGTH } from '../verify/entry.ts'
import { hash, inline, type MessageFormat } from './message-parts.ts'

/** Uploads a part of a large body ahead of the push that needs it. Parts come in order. */
export interface PutBody {
  readonly type: 'put-body'
  readonly ref: number
  readonly space: SpaceId
  readonly hash: Uint8Array
  readonly length: number
  readonly offset: number
  readonly bytes: Uint8Array
}

export const putBody: MessageFormat<PutBody> = record({
  ref: uint,
  space: spaceId,
  hash,
  length: uintUpTo(MAX_BODY_LENGTH),
  offset: uint,
  bytes: inline,
})

/** Asks for a part of a large body. */
export interface GetBody {
  readonly type: 'get-body'
  readonly ref: number
  readonly space: SpaceId
  readonly index: number
  readonly offset: number
}

export const getBody: MessageFormat<GetBody> = record({ ref: uint, space: spaceId, index: uint, offset: uint })

/** A part of a body beyond `INLINE_BODY_LENGTH`, in answer to `get-body`. */
export interface BodyPart {
  readonly type: 'body-part'
  readonly ref: number
  readonly space: SpaceId
  readonly offset: number
  readonly bytes: Uint8Array
}

export const bodyPart: MessageFormat<BodyPart> = record({ ref: uint, space: spaceId, offset: uint, bytes: inline })
