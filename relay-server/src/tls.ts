import { readFileSync } from 'node:fs'
import type { Server as HttpsServer } from 'node:https'
import { createSecureContext, type SecureContextOptions } from 'node:tls'
import { SealogError } from 'sealog/protocol'

/** Files in PEM. */
export interface TlsFiles {
  /** The certificate, and behind it those that lead to one that clients know. */
  readonly cert: string
  readonly key: string
}

/**
 * What a TLS server needs, tried out: certificate and key are there, are what they should be, and belong together.
 * @throws SealogError ERR_RELAY_IDENTITY
 */
export function readTls({ cert, key }: TlsFiles): SecureContextOptions {
  try {
    const options: SecureContextOptions = { cert: readFileSync(cert), key: readFileSync(key), minVersion: 'TLSv1.2' }
    createSecureContext(options)
    return options
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new SealogError('ERR_RELAY_IDENTITY', `the TLS certificate cannot be used: ${reason}`, { cause })
  }
}

/** New connections get the certificate that the files hold now; those that are open stay. @throws as `readTls` */
export function reloadTls(server: HttpsServer, files: TlsFiles): void {
  server.setSecureContext(readTls(files))
}
