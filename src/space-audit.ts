import type { SpaceSync } from './crdt/space-sync.ts'
import { nobleSigningKey } from './crypto/sign-backend.ts'
import type { Environment } from './environment.ts'
import { SealogError } from './errors.ts'
import { MAX_AUDIT_TIME, makeAuditCredential } from './relay/audit-credential.ts'
import { originOf } from './verify/checkpoint.ts'
import { encodeVerifierKey } from './verify/note-key.ts'

const DAY: number = 24 * 60 * 60 * 1000

export interface AuditOptions {
  /** Milliseconds from now until it ends, at most 90 days; default a week. */
  readonly expiresIn?: number
}

/** What an auditor needs, who is no member: where the log is, the right to read it, and whose signature to expect. */
export interface AuditAccess {
  /** Prefix of the log (C2SP tlog-tiles), without a slash at the end: `checkpoint`, `tile/…` and `tile/entries/…` follow. */
  readonly url: string
  /** Value of the HTTP header `Authorization`: a secret, never to be put into an address. */
  readonly authorization: string
  /** The relay's key for the checkpoints of this log, as Go's sumdb/note and its kin take it. */
  readonly verifierKey: string
  /** Unix time in milliseconds. */
  readonly expires: number
}

/**
 * Gives the right to read the headers of a space: see `Space.auditAccess`.
 * @throws SealogError ERR_REMOVED, ERR_UNAUTHORIZED; TypeError
 */
export async function auditAccess(
  sync: SpaceSync,
  environment: Environment,
  { expiresIn = 7 * DAY }: AuditOptions,
): Promise<AuditAccess> {
  if (!Number.isSafeInteger(expiresIn) || expiresIn <= 0 || expiresIn > MAX_AUDIT_TIME) {
    throw new TypeError('expiresIn: expected milliseconds, at most 90 days')
  }
  const { view, secrets } = sync
  if (sync.removed !== undefined) throw new SealogError('ERR_REMOVED', 'this device was removed from the space')
  if (sync.device === undefined) throw new SealogError('ERR_UNAUTHORIZED', 'this device is not yet one of the space')
  const expires = environment.now() + expiresIn
  const credential = await makeAuditCredential(view.relay, view.space, expires, nobleSigningKey(secrets.device.signing))
  return {
    url: logUrl(secrets.url, view.space),
    authorization: `Bearer ${credential}`,
    verifierKey: encodeVerifierKey(originOf(view.relay.name, view.space), view.relay.key),
    expires,
  }
}

/** Beside the relay's WebSocket, on the same server: a path of its address stays in front. */
function logUrl(relay: string, space: string): string {
  const url = new URL(relay)
  const scheme = url.protocol === 'wss:' ? 'https' : 'http'
  return `${scheme}://${url.host}${url.pathname.replace(/\/+$/, '')}/log/${space}`
}
