import { createHash, type Hash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { asSealogError, equalBytes, fromUtf8, SealogError } from 'sealog/protocol'
import { BACKUP_MAGIC, type BackupRecord, decodeRecord, LENGTH_PREFIX, MAX_RECORD_LENGTH } from './backup-format.ts'

const CHUNK = 1024 * 1024

/**
 * The records of a backup, in order, each with the place where it begins, after their hashes were compared: those of a
 * space before its `end` is handed out, that of all with `finish`, behind which nothing comes.
 * @throws SealogError ERR_STORE where the file cannot be read; ERR_MALFORMED, ERR_LIMIT, ERR_UPGRADE for what is no
 * backup, is cut off or damaged
 */
export async function* readBackup(path: string): AsyncGenerator<BackupRecord> {
  const file = await openBackup(path)
  try {
    yield* records(new ByteSource(file))
  } finally {
    await file.close()
  }
}

async function openBackup(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r')
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new SealogError('ERR_STORE', `the backup cannot be read: ${reason}`, { cause })
  }
}

async function* records(source: ByteSource): AsyncGenerator<BackupRecord> {
  const whole = createHash('sha256')
  let space: Hash | undefined
  const magic = await source.take(BACKUP_MAGIC.length)
  whole.update(magic)
  if (!isMagic(magic)) throw damaged('the file is no backup of this version')
  for (let type: BackupRecord['type'] | undefined; type !== 'finish'; ) {
    const at = source.at
    const prefix = await source.take(LENGTH_PREFIX)
    const length = new DataView(prefix.buffer, prefix.byteOffset).getUint32(0)
    if (length > MAX_RECORD_LENGTH) throw damaged(`a record of ${length} bytes at byte ${at}`)
    const bytes = await source.take(length)
    const record = decoded(bytes, at)
    if (record.type === 'space') space = createHash('sha256')
    if (record.type === 'end') assertHash(space, record.hash, at)
    if (record.type === 'finish') assertHash(whole, record.hash, at)
    for (const part of [prefix, bytes]) {
      whole.update(part)
      space?.update(part)
    }
    if (record.type === 'end') space = undefined
    yield record
    type = record.type
  }
  if (!(await source.isAtEnd())) throw damaged('bytes behind its end')
}

function decoded(bytes: Uint8Array, at: number): BackupRecord {
  try {
    return decodeRecord(bytes)
  } catch (cause) {
    const { code } = asSealogError(cause, 'ERR_MALFORMED', 'not a record')
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new SealogError(code, `the backup is damaged at byte ${at}: ${reason}`, { cause })
  }
}

function assertHash(actual: Hash | undefined, claimed: Uint8Array, at: number): void {
  if (actual !== undefined && equalBytes(actual.copy().digest(), claimed)) return
  throw damaged(`what stands before byte ${at} has another hash`)
}

function isMagic(bytes: Uint8Array): boolean {
  try {
    return fromUtf8(bytes) === BACKUP_MAGIC
  } catch {
    return false
  }
}

/** The bytes of a file in order. */
class ByteSource {
  readonly #file: FileHandle
  #chunk: Uint8Array = new Uint8Array(0)
  #offset = 0
  #at = 0

  constructor(file: FileHandle) {
    this.#file = file
  }

  /** Of the next byte, from the beginning of the file. */
  get at(): number {
    return this.#at
  }

  /** Exactly so many bytes, in a buffer of their own. */
  async take(length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length)
    for (let filled = 0; filled < length; ) {
      if (this.#offset === this.#chunk.length) await this.#fill()
      const some = this.#chunk.subarray(this.#offset, this.#offset + length - filled)
      if (some.length === 0) throw damaged(`it breaks off at byte ${this.#at + filled}`)
      bytes.set(some, filled)
      filled += some.length
      this.#offset += some.length
    }
    this.#at += length
    return bytes
  }

  async isAtEnd(): Promise<boolean> {
    if (this.#offset === this.#chunk.length) await this.#fill()
    return this.#chunk.length === 0
  }

  async #fill(): Promise<void> {
    const buffer = new Uint8Array(CHUNK)
    const { bytesRead } = await this.#file.read(buffer, 0, CHUNK)
    this.#chunk = buffer.subarray(0, bytesRead)
    this.#offset = 0
  }
}

function damaged(reason: string): SealogError {
  return new SealogError('ERR_MALFORMED', `the backup is damaged: ${reason}`)
}
