import { equalBytes } from '../bytes.ts'
import { sha256 } from '../crypto/hash.ts'
import { SealogError } from '../errors.ts'
import { decodeHeader } from '../verify/entry.ts'
import type { ParkedBody, ParkedEntry } from './parked-rows.ts'

/**
 * A body that was missing, with the entry that waits for it.
 * @param expected the entry; undefined where none waits for this body, which is passed over
 * @throws SealogError ERR_BODY for bytes that the header does not commit to
 */
export function arrivedBody(expected: ParkedEntry | undefined, body: Uint8Array): readonly ParkedBody[] {
  if (expected?.header === undefined) return []
  const { index, header } = expected
  const { bodyHash, bodyLength } = decodeHeader(header as Uint8Array)
  if (body.length !== bodyLength || !equalBytes(sha256(body), bodyHash)) {
    throw new SealogError('ERR_BODY', `not the body of entry ${index}`, { details: { index } })
  }
  return [{ entry: { ...expected, content: 'sealed' }, body }]
}
