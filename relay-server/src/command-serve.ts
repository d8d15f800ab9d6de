import { readFileSync } from 'node:fs'
import { platformEnvironment, SealogError } from 'sealog/protocol'
import type { Config } from './config.ts'
import type { Settings } from './config-settings.ts'
import type { CreationPolicy } from './creation-policy.ts'
import type { Log } from './log-record.ts'
import { throttledLog } from './log-throttle.ts'
import { jsonLog } from './logging.ts'
import { type RelayServer, startRelay } from './server.ts'
import type { RelayServerOptions } from './server-options.ts'
import { keyPlaceOf, storeOf } from './store-place.ts'

/** A relay that serves until it is told to stop. */
export interface Serving {
  readonly relay: RelayServer
  /** Writes a line, in whatever number, and also where the log is off: for what ends the process. */
  readonly lines: Log
  /** How long to go on serving after the word to stop, in milliseconds. */
  readonly drain: number
}

/**
 * Starts the relay of a configuration.
 * @param writeLog takes whole lines
 * @throws TypeError for settings that make no sense together; SealogError, and what Node throws, where it cannot start
 */
export async function serve(config: Config, writeLog: (line: string) => void): Promise<Serving> {
  const { settings } = config
  const environment = platformEnvironment()
  const lines = jsonLog(settings.logLevel, { write: writeLog })
  const log = settings.quiet ? () => {} : throttledLog(lines, environment)
  const relay = await startRelay({ ...(await optionsOf(config)), log })
  return { relay, lines, drain: settings.drain * 1000 }
}

async function optionsOf({ settings, limits }: Config): Promise<RelayServerOptions> {
  const { data, name, port, host, metrics, trustProxy, scrub, recover, acceptRollback } = settings
  if (port === undefined) throw new TypeError('--port is missing')
  if (name === undefined) throw new TypeError('--name is missing')
  // Before the store, which it may create a folder for.
  const key = keyPlaceOf(settings)
  const tls = tlsOf(settings)
  return {
    store: await storeOf(settings, { acceptRollback }),
    key,
    name,
    port,
    host,
    trustProxy,
    admission: admissionOf(settings),
    limits,
    scrub,
    recover,
    acceptRollback,
    ...(data === undefined ? {} : { data }),
    ...(tls === undefined ? {} : { tls }),
    ...(metrics === undefined ? {} : { metrics }),
  }
}

function tlsOf({ tlsCert: cert, tlsKey: key }: Settings): RelayServerOptions['tls'] {
  if (cert === undefined && key === undefined) return undefined
  if (cert === undefined || key === undefined) throw new TypeError('--tls-cert and --tls-key belong together')
  return { cert, key }
}

function admissionOf(settings: Settings): CreationPolicy {
  const { admission, tokens, tokensFile, webhookUrl, webhookSecret, webhookSecretFile } = settings
  const others = (kind: string, named: boolean): void => {
    if (named && admission !== kind)
      throw new TypeError(`--admission: expected ${kind}, as the settings for it are there`)
  }
  others('token', tokens.length > 0 || tokensFile !== undefined)
  others('webhook', (webhookUrl ?? webhookSecret ?? webhookSecretFile) !== undefined)
  switch (admission) {
    case 'open':
      return { kind: 'open' }
    case 'token': {
      const all = [...tokens, ...(tokensFile === undefined ? [] : linesOf(secretFrom(tokensFile)))]
      if (all.length === 0) throw new TypeError('--tokens is missing: with --admission token, at least one')
      return { kind: 'tokens', tokens: all }
    }
    case 'webhook': {
      const secret = webhookSecret ?? (webhookSecretFile && secretFrom(webhookSecretFile).trim())
      if (webhookUrl === undefined) throw new TypeError('--webhook-url is missing')
      if (secret === undefined || secret === '') throw new TypeError('--webhook-secret is missing')
      return { kind: 'webhook', url: webhookUrl, secret }
    }
  }
}

/** A token may hold spaces and commas: taken apart there, it would be several that are easier to guess. */
function linesOf(text: string): readonly string[] {
  return text
    .split('\n')
    .map(line => line.trim())
    .filter(line => line !== '')
}

/** @throws SealogError ERR_STORE */
function secretFrom(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new SealogError('ERR_STORE', `a file with a secret cannot be read: ${reason}`, { cause })
  }
}
