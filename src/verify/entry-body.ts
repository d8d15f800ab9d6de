import { equalBytes } from '../bytes.ts'
import { sha256 } from '../crypto/hash.ts'
import { SealogError } from '../errors.ts'
import type { Header } from './entry.ts'

/**
 * A body that came with an entry (protocol.md R-BODY-1).
 * @throws SealogError ERR_BODY unless it is the one that the header commits to
 */
export function bodyOf(header: Header, body: Uint8Array | undefined, index: number): Uint8Array | undefined {
  if (body === undefined) return undefined
  if (body.length !== header.bodyLength || !equalBytes(sha256(body), header.bodyHash)) {
    throw new SealogError('ERR_BODY', `the body of entry ${index} is not the one its header commits to`, {
      details: { index },
    })
  }
  return body
}
