import { concat, fromBase64Url, toBase64Url, toUtf8 } from '../bytes.ts'
import { asBytes, asTuple, asUint, decodeCbor, encodeCbor } from '../codec.ts'
import { sha256 } from '../crypto/hash.ts'
import type { SignatureCheck, SigningKey } from '../crypto/sign.ts'
import { asSealogError, SealogError } from '../errors.ts'
import { idBytes, type SpaceId, spaceIdOf } from '../ids.ts'
import type { PinnedRelay } from '../verify/log.ts'

/** The longest time for which a credential is made, in milliseconds: 90 days. */
export const MAX_AUDIT_TIME: number = 90 * 24 * 60 * 60 * 1000

const VERSION = 1
/** The encoded fields take at most 146 bytes. */
const MAX_BYTES = 160
const MAX_TEXT: number = Math.ceil((MAX_BYTES * 4) / 3)

/** A right to read the headers of a space by plain HTTP, as a member device gives it to somebody. */
export interface AuditCredential {
  readonly space: SpaceId
  /** Signing key of the device, 32 bytes. */
  readonly device: Uint8Array
  /** Unix time in milliseconds from which on it is void. */
  readonly expires: number
  /** By the device, 64 bytes. */
  readonly signature: Uint8Array
}

/**
 * Makes a credential for static proofs (C2SP tlog-tiles over HTTP). It takes no word with the relay: whether it is good is
 * decided when it is used. It is bound to one relay, by name and key, so that another cannot pass it on.
 * @param key of a member device of the space
 * @returns text of at most 214 characters, of the base64url alphabet
 * @throws TypeError
 */
export async function makeAuditCredential(
  relay: PinnedRelay,
  space: SpaceId,
  expires: number,
  key: SigningKey,
): Promise<string> {
  if (!Number.isSafeInteger(expires) || expires < 0) throw new TypeError('expires: expected Unix milliseconds')
  const device = key.publicKey
  const signature = await key.sign(auditInput(relay, { space, device, expires }))
  return toBase64Url(encodeCbor([VERSION, idBytes(space), device, expires, signature]))
}

/**
 * Reads what `makeAuditCredential` gives, in its one spelling. Nothing in it is to be believed before its check holds.
 * @throws SealogError ERR_MALFORMED, ERR_UPGRADE
 */
export function parseAuditCredential(text: string): AuditCredential {
  if (text.length > MAX_TEXT) throw new SealogError('ERR_MALFORMED', 'not a credential for audits')
  try {
    const item = decodeCbor(fromBase64Url(text), MAX_BYTES)
    const version = asUint(Array.isArray(item) ? item[0] : undefined, 'version')
    if (version !== VERSION) throw new SealogError('ERR_UPGRADE', `a credential of version ${version}`)
    const fields = asTuple(item, 5, 'credential')
    return {
      space: spaceIdOf(asBytes(fields[1], 32, 'space')),
      device: asBytes(fields[2], 32, 'device'),
      expires: asUint(fields[3], 'expires'),
      signature: asBytes(fields[4], 64, 'signature'),
    }
  } catch (error) {
    throw asSealogError(error, 'ERR_MALFORMED', 'not a credential for audits')
  }
}

/** Holds exactly where the device that the credential names has signed it for this relay. */
export function auditCheck(relay: PinnedRelay, credential: AuditCredential): SignatureCheck {
  const { device, signature } = credential
  return { publicKey: device, message: auditInput(relay, credential), signature }
}

function auditInput(relay: PinnedRelay, { space, device, expires }: Omit<AuditCredential, 'signature'>): Uint8Array {
  const time = new Uint8Array(8)
  new DataView(time.buffer).setBigUint64(0, BigInt(expires))
  const name = sha256(toUtf8(relay.name))
  return concat(toUtf8('sealog/v1/audit\0'), name, relay.key, idBytes(space), device, time)
}
