import { equalBytes } from './bytes.ts'
import { SealogError } from './errors.ts'
import type { SpaceFingerprint } from './space-status.ts'
import { decodeFingerprint, encodeFingerprint, fingerprintDigits, fingerprintOf } from './verify/fingerprint.ts'
import type { LogView } from './verify/log.ts'

/** Undefined as long as the log has not arrived. @param note the relay's latest, which goes along in the QR form */
export function shownFingerprint(view: LogView, note: Uint8Array | undefined): SpaceFingerprint | undefined {
  const hash = fingerprintOf(view)
  if (hash === undefined || note === undefined) return undefined
  return { digits: fingerprintDigits(hash), qr: encodeFingerprint({ space: view.space, hash, note }) }
}

/** A fingerprint that was scanned: the relay's latest note there, and whether both see the same members. */
export interface ScannedFingerprint {
  readonly head: Uint8Array
  readonly matches: (view: LogView) => boolean
}

/** @throws SealogError ERR_MALFORMED for what is none of this space, ERR_UPGRADE */
export function scannedFingerprint(qr: string, space: LogView['space']): ScannedFingerprint {
  const other = decodeFingerprint(qr)
  if (other.space !== space) throw new SealogError('ERR_MALFORMED', 'the fingerprint of another space')
  return {
    head: other.note,
    matches: view => {
      const own = fingerprintOf(view)
      return own !== undefined && equalBytes(own, other.hash)
    },
  }
}
