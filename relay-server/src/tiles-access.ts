import {
  type AuditCredential,
  auditCheck,
  boundedCache,
  type DeviceRecord,
  isMemberDevice,
  MAX_AUDIT_TIME,
  parseAuditCredential,
  SealogError,
  type SpaceId,
} from 'sealog/protocol'
import type { RelayContext } from './context.ts'
import { deviceOf } from './device-authentication.ts'
import type { SpaceSequencer } from './space-sequencer.ts'

/** Credentials whose signature was verified: an auditor shows the same one with every request. */
const KNOWN_CREDENTIALS = 1024
/** A credential may end so much later than the longest that is made, as clocks differ, in milliseconds: a day. */
const CLOCK_DIFFERENCE: number = 24 * 60 * 60 * 1000

/** Who may read a log by plain HTTP. */
export interface TileAccess {
  /**
   * The credential in an `Authorization` header, where its device has signed it for this relay and this space, and its
   * time has not passed. Says nothing about whether there is such a space, or such a device in it.
   * @throws SealogError ERR_UNAUTHORIZED
   */
  authenticate(authorization: string | undefined, space: SpaceId): Promise<AuditCredential>
  /**
   * The device whose credential it is.
   * @throws SealogError ERR_UNKNOWN_SPACE, ERR_UNAUTHORIZED unless it is a member's now
   */
  deviceOf(sequencer: SpaceSequencer, credential: AuditCredential): DeviceRecord
}

/** Bearer tokens (RFC 6750 §2.1) that member devices make for auditors: see `sealog/protocol`, `makeAuditCredential`. */
export function tileAccess({ name, signingKey, verifier, environment }: RelayContext): TileAccess {
  const relay = { name, key: signingKey.publicKey }
  const verified = boundedCache<Promise<AuditCredential>>(KNOWN_CREDENTIALS)

  async function verify(token: string): Promise<AuditCredential> {
    const credential = parseAuditCredential(token)
    if (!(await verifier.verify(auditCheck(relay, credential)))) throw refused('not signed by the device that it names')
    return credential
  }

  /** What does not verify is forgotten at once: nobody drives out good ones by showing bad ones. */
  function known(token: string): Promise<AuditCredential> {
    const credential = verified.get(token, () => verify(token))
    credential.catch(() => verified.delete(token))
    return credential
  }

  return {
    async authenticate(authorization, space) {
      const [, token] = /^bearer +([A-Za-z0-9_-]{1,256})$/i.exec(authorization ?? '') ?? []
      if (token === undefined) throw refused('no bearer token')
      const credential = await known(token)
      const left = credential.expires - environment.now()
      if (left <= 0) throw refused('the credential has expired')
      if (left > MAX_AUDIT_TIME + CLOCK_DIFFERENCE) throw refused('the credential is for too long')
      if (credential.space !== space) throw refused('the credential is for another space')
      return credential
    },
    deviceOf(sequencer, credential) {
      const device = deviceOf(sequencer, credential.device)
      if (!isMemberDevice(device)) throw refused('not a device of a member')
      return device
    },
  }
}

function refused(message: string): SealogError {
  return new SealogError('ERR_UNAUTHORIZED', message)
}
