import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { equalBytes, fromHex, generateSeed, publicKeyOf, type Random, SealogError, toHex } from 'sealog/protocol'
import type { Log } from './log-record.ts'
import type { LogStore, StoredIdentity } from './log-store.ts'

export interface IdentityParts {
  /** The relay's secret: a line with the 32-byte Ed25519 seed in hex. */
  readonly keyFile: string
  readonly name: string
  /** Open. */
  readonly store: LogStore
  readonly random: Random
  readonly log: Log
  /** The operator says that the logs are lost, and that members are to give them back. */
  readonly recover: boolean
}

/**
 * The seed of the relay whose store this is. Name and key are settled by the first start, and are the same ever after:
 * they stand in every genesis.
 *
 * A key has its name only once the store knows whose it is: until then it is a draft (`<file>.new`), which the next start
 * goes on with if the store knows it, and replaces if not. So a key without a store that knows it has lost its store.
 * @returns 32 bytes
 * @throws SealogError ERR_RELAY_IDENTITY
 */
export async function settleIdentity(parts: IdentityParts): Promise<Uint8Array> {
  const { keyFile, name, store, log } = parts
  const stored = await store.readIdentity()
  if (stored !== undefined && stored.name !== name) {
    throw refused(`this relay is ${stored.name}, and cannot become ${name}: its name is in all that it signed`)
  }
  if (stored !== undefined) {
    const seed = existsSync(keyFile) ? readSeed(keyFile) : finishDraft(keyFile, stored)
    if (!equalBytes(stored.key, publicKeyOf(seed))) throw refused(`${keyFile} is not the key of this relay's logs`)
    warnIfShared(keyFile, log)
    return seed
  }
  if (!existsSync(keyFile)) return firstStart(parts)
  const seed = readSeed(keyFile)
  await assertRecoverable(parts)
  await store.writeIdentity({ name, key: publicKeyOf(seed) })
  log({ level: 'warn', event: 'recovering', reason: 'the logs are empty: members have to give them back' })
  warnIfShared(keyFile, log)
  return seed
}

async function firstStart({ keyFile, name, store, random, log }: IdentityParts): Promise<Uint8Array> {
  const seed = createDraft(keyFile, random)
  const key = publicKeyOf(seed)
  try {
    await store.writeIdentity({ name, key })
  } catch (error) {
    // Of several processes that start for the first time one settles it; with the same draft they are of one mind.
    const stored = await store.readIdentity()
    if (stored === undefined) throw error
    if (stored.name !== name || !equalBytes(stored.key, key)) {
      throw refused(`another process was faster to settle who this relay is: copy its key to ${keyFile}`)
    }
  }
  renameDraft(keyFile)
  // Where neither key nor logs are found, as on a disk that is not mounted, nothing but the operator can tell.
  log({
    level: 'warn',
    event: 'relay-created',
    file: keyFile,
    reason: 'there was no key and no log: this is a new relay',
  })
  return seed
}

/**
 * A key without its logs has signed what is gone: going on would sign others in their place. What was signed is kept
 * apart, and with it the relay knows better; without it, it does not.
 */
async function assertRecoverable({ keyFile, store, recover }: IdentityParts): Promise<void> {
  if (!recover) {
    throw refused(
      `${keyFile} is there, but the logs that it signed are not. Restore the database, or start once with --recover, ` +
        'so that members give back what they have; to start a new relay instead, with another key, move the key away',
    )
  }
  const [known] = await store.readSpaces(undefined, 1)
  if (known !== undefined) return
  throw refused(
    'there is nothing to recover by: what was signed is kept apart from the logs (--heads), and is not there either. ' +
      'Restore it; without it, this relay could sign other logs in the place of those that are gone',
  )
}

/** @throws SealogError ERR_RELAY_IDENTITY for a file that holds no key; what Node throws where it cannot be read */
export function readSeed(file: string): Uint8Array {
  const text = readFileSync(file, 'utf8').trim()
  if (!/^[0-9a-f]{64}$/.test(text)) throw refused(`${file} does not hold a key: expected 64 hex digits`)
  return fromHex(text)
}

function finishDraft(file: string, stored: StoredIdentity): Uint8Array {
  const draft = draftOf(file)
  const seed = existsSync(draft) && holdsSeed(draft) ? readSeed(draft) : undefined
  if (seed === undefined || !equalBytes(publicKeyOf(seed), stored.key)) {
    throw refused(
      `the database belongs to a relay whose key is missing. Restore ${file}: ` +
        'with another key this would be another relay, which no replica accepts',
    )
  }
  renameDraft(file)
  return seed
}

function holdsSeed(file: string): boolean {
  return /^[0-9a-f]{64}\n$/.test(readFileSync(file, 'utf8'))
}

function draftOf(file: string): string {
  return `${file}.new`
}

/** Under this name it is whole and on the disk, so one that is there already is as good as a new one. */
function createDraft(file: string, random: Random): Uint8Array {
  const draft = draftOf(file)
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  if (existsSync(draft) && holdsSeed(draft)) return readSeed(draft)
  rmSync(draft, { force: true })
  const own = `${draft}-${toHex(random(8))}`
  const descriptor = openSync(own, 'wx', 0o600)
  try {
    writeSync(descriptor, `${toHex(generateSeed(random))}\n`)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
  try {
    linkSync(own, draft)
  } catch (error) {
    if (!existsSync(draft)) throw error
  } finally {
    rmSync(own)
  }
  syncFolder(dirname(file))
  return readSeed(draft)
}

function renameDraft(file: string): void {
  try {
    renameSync(draftOf(file), file)
  } catch (error) {
    if (!existsSync(file)) throw error
  }
  syncFolder(dirname(file))
}

function syncFolder(folder: string): void {
  const descriptor = openSync(folder, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** Whoever can read the key can sign other logs in the relay's name. */
function warnIfShared(file: string, log: Log): void {
  const mode = statSync(file).mode & 0o777
  if ((mode & 0o077) === 0) return
  log({ level: 'warn', event: 'key-file-shared', file, mode: mode.toString(8).padStart(3, '0') })
}

function refused(message: string): SealogError {
  return new SealogError('ERR_RELAY_IDENTITY', message)
}
