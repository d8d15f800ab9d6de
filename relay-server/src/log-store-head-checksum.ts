import { createHash } from 'node:crypto'
import { equalBytes, hasCode, idBytes, SealogError, type SpaceId } from 'sealog/protocol'
import type { KeptHead, LogStore } from './log-store.ts'

/** What is hashed before the row itself. */
export const HEAD_CHECKSUM_LABEL = 'sealog/v1/head'
const DAMAGED = 'damaged-head'

/**
 * Checksum of the row of a signed head, 32 bytes: SHA-256(label ‖ 0x00 ‖ space ‖ size ‖ time ‖ latest ‖ abandoned ‖
 * note), numbers as 8 bytes, the most significant first. It stands beside the row, and has no secret in it: a row that
 * does not have its checksum was changed by no relay and by nobody who knows how rows are written, but by the medium or
 * by hand. A row that has it, and whose note this relay did not sign, was put there on purpose.
 */
export function headChecksum(space: Uint8Array, head: KeptHead): Uint8Array {
  const hash = createHash('sha256').update(HEAD_CHECKSUM_LABEL).update(Uint8Array.of(0)).update(space)
  const numbers = new DataView(new ArrayBuffer(32))
  for (const [i, value] of [head.size, head.time, head.latest, head.abandoned].entries()) {
    numbers.setBigInt64(8 * i, BigInt(value))
  }
  return new Uint8Array(hash.update(new Uint8Array(numbers.buffer)).update(head.note).digest())
}

/** @throws SealogError ERR_STORE_CORRUPT, with `details.reason` `damaged-head` */
export function assertHeadIntact(space: SpaceId, head: KeptHead, checksum: Uint8Array): void {
  if (equalBytes(headChecksum(idBytes(space), head), checksum)) return
  throw new SealogError(
    'ERR_STORE_CORRUPT',
    'the row of the signed head is damaged: it does not have the checksum that it was written with',
    { details: { reason: DAMAGED } },
  )
}

/** What is kept of a head, for whoever goes on where its row is damaged. */
type HeadReading =
  | { readonly head: KeptHead | undefined; readonly damage: undefined }
  | { readonly head: undefined; readonly damage: SealogError }

/** Tells a damaged row from a store that fails. @throws SealogError whatever else the store throws */
export async function readHeadOrDamage(store: LogStore, space: SpaceId): Promise<HeadReading> {
  try {
    return { head: await store.readHead(space), damage: undefined }
  } catch (error) {
    if (!isHeadDamage(error)) throw error
    return { head: undefined, damage: error }
  }
}

function isHeadDamage(error: unknown): error is SealogError {
  return hasCode(error, 'ERR_STORE_CORRUPT') && error instanceof SealogError && error.details?.reason === DAMAGED
}
