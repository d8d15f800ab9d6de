import { chmodSync, closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { equalBytes, fromHex, generateSeed, publicKeyOf, type Random, SealogError, toHex } from 'sealog/protocol'
import type { LogStore } from './log-store.ts'

/** The relay's secret: a line with the 32-byte Ed25519 seed in hex. */
function keyFileOf(data: string): string {
  return join(data, 'relay.key')
}

export function databaseFileOf(data: string): string {
  return join(data, 'relay.db')
}

/**
 * A key without its database has signed logs that are gone: going on would sign others in their place.
 * To be called before the database is opened, which creates it.
 * @throws SealogError ERR_RELAY_IDENTITY
 */
export function assertDatabaseOfKey(data: string): void {
  if (!existsSync(keyFileOf(data)) || existsSync(databaseFileOf(data))) return
  throw refused(
    `${keyFileOf(data)} is there, but ${databaseFileOf(data)} is not. Restore the database; ` +
      'to start a new relay instead, with another key, move the key file away',
  )
}

/**
 * The seed of the relay whose database this is. Name and key are settled by the first start, and are the same ever
 * after: they stand in every genesis.
 * @returns 32 bytes
 * @throws SealogError ERR_RELAY_IDENTITY
 */
export async function settleIdentity(data: string, name: string, store: LogStore, random: Random): Promise<Uint8Array> {
  const file = keyFileOf(data)
  const stored = await store.readIdentity()
  if (stored !== undefined && !existsSync(file)) {
    throw refused(
      `${databaseFileOf(data)} belongs to a relay whose key is missing. Restore ${file}: ` +
        'with another key this would be another relay, which no replica accepts',
    )
  }
  if (stored !== undefined && stored.name !== name) {
    throw refused(`this relay is ${stored.name}, and cannot become ${name}: its name is in all that it signed`)
  }
  // The key first: a start that was cut off between the two finds a key, and a database that is nobody's yet.
  const seed = existsSync(file) ? readSeed(file) : createSeed(file, random)
  const key = publicKeyOf(seed)
  if (stored === undefined) await store.writeIdentity({ name, key })
  else if (!equalBytes(stored.key, key)) throw refused(`${file} is not the key of ${databaseFileOf(data)}`)
  return seed
}

function readSeed(file: string): Uint8Array {
  const text = readFileSync(file, 'utf8').trim()
  if (!/^[0-9a-f]{64}$/.test(text)) throw refused(`${file} does not hold a key: expected 64 hex digits`)
  return fromHex(text)
}

/** Under its name only once it is whole and on the disk. */
function createSeed(file: string, random: Random): Uint8Array {
  const seed = generateSeed(random)
  const draft = `${file}.new`
  const descriptor = openSync(draft, 'w', 0o600)
  try {
    // One that a cut-off start left behind may have other permissions.
    chmodSync(draft, 0o600)
    writeSync(descriptor, `${toHex(seed)}\n`)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
  renameSync(draft, file)
  syncFolder(dirname(file))
  return seed
}

function syncFolder(folder: string): void {
  const descriptor = openSync(folder, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

function refused(message: string): SealogError {
  return new SealogError('ERR_RELAY_IDENTITY', message)
}
