import { createHash, type Hash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { concat, SealogError, toUtf8 } from 'sealog/protocol'
import { BACKUP_MAGIC, type BackupRecord, encodeRecord, LENGTH_PREFIX } from './backup-format.ts'

/** Bytes that are gathered before they are written. */
const GATHERED = 1024 * 1024

/**
 * A backup that is being written. It has its name only when it is whole and on the disk: until then, and for good where
 * writing fails, it is `<name>.partial`.
 */
export class BackupWriter {
  readonly #path: string
  readonly #file: FileHandle
  readonly #whole: Hash = createHash('sha256')
  #space: Hash | undefined
  #gathered: Uint8Array[] = []
  #waiting = 0
  #length = 0

  private constructor(path: string, file: FileHandle) {
    this.#path = path
    this.#file = file
  }

  /** @throws SealogError ERR_STORE where there is such a file already, or it cannot be made */
  static async create(path: string): Promise<BackupWriter> {
    if (existsSync(path)) throw isThere(path)
    // Left by one that was killed, or being written right now: only the operator can tell.
    if (existsSync(draftOf(path))) {
      const reason = 'another backup is being written, or was cut off: remove it then'
      throw new SealogError('ERR_STORE', `${draftOf(path)} is there: ${reason}`)
    }
    try {
      // As what it holds are the logs, it is readable by its owner only, as they are.
      const writer = new BackupWriter(path, await open(draftOf(path), 'wx', 0o600))
      await writer.#write(toUtf8(BACKUP_MAGIC))
      return writer
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw new SealogError('ERR_STORE', `the backup cannot be written: ${reason}`, { cause })
    }
  }

  /** Bytes so far. */
  get length(): number {
    return this.#length
  }

  async add(record: BackupRecord): Promise<void> {
    if (record.type === 'space') this.#space = createHash('sha256')
    const bytes = encodeRecord(record)
    const prefix = new Uint8Array(LENGTH_PREFIX)
    new DataView(prefix.buffer).setUint32(0, bytes.length)
    await this.#write(concat(prefix, bytes))
  }

  /** The last record of a space. */
  async endSpace(): Promise<void> {
    const hash = new Uint8Array(this.#space?.digest() ?? [])
    this.#space = undefined
    await this.add({ type: 'end', hash })
  }

  /** The last record; then the file gets its name. */
  async finish(spaces: number, mailboxes: number): Promise<void> {
    await this.add({ type: 'finish', spaces, mailboxes, hash: new Uint8Array(this.#whole.copy().digest()) })
    await this.#flush()
    await this.#file.sync()
    await this.#file.close()
    // It may have come about since: what has the name is never written over.
    if (existsSync(this.#path)) throw isThere(this.#path)
    await rename(draftOf(this.#path), this.#path)
    await syncFolder(dirname(this.#path))
  }

  /** Leaves nothing behind. */
  async abandon(): Promise<void> {
    await this.#file.close().catch(() => {})
    await rm(draftOf(this.#path), { force: true })
  }

  async #write(bytes: Uint8Array): Promise<void> {
    this.#whole.update(bytes)
    this.#space?.update(bytes)
    this.#gathered.push(bytes)
    this.#waiting += bytes.length
    this.#length += bytes.length
    if (this.#waiting >= GATHERED) await this.#flush()
  }

  async #flush(): Promise<void> {
    const bytes = concat(...this.#gathered)
    this.#gathered = []
    this.#waiting = 0
    for (let offset = 0; offset < bytes.length; ) {
      offset += (await this.#file.write(bytes, offset)).bytesWritten
    }
  }
}

function isThere(path: string): SealogError {
  return new SealogError('ERR_STORE', `${path} is there already`)
}

function draftOf(path: string): string {
  return `${path}.partial`
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
