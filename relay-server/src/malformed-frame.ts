import { asBytes, asUint, decodeCbor, MAX_FRAME_LENGTH, type SpaceId, spaceIdOf } from 'sealog/protocol'

/**
 * Which request a frame was meant to be, although it is none: every request has its reference and its space at the
 * same places. Undefined where these cannot be made out.
 */
export function requestOf(frame: Uint8Array): { readonly ref: number; readonly space: SpaceId } | undefined {
  try {
    const item = decodeCbor(frame, MAX_FRAME_LENGTH)
    if (!Array.isArray(item)) return undefined
    return { ref: asUint(item[1], 'ref'), space: spaceIdOf(asBytes(item[2], 32, 'space')) }
  } catch {
    return undefined
  }
}
