import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { SealogError } from '../errors.ts'

/**
 * A regular file of at most `limit` bytes. Opened without waiting, as a pipe without a writer would never open; and no
 * more than the limit is ever read, as a file may grow.
 * @throws SealogError ERR_LIMIT, ERR_MALFORMED; the error of the system where there is no such file
 */
export async function readFileUpTo(path: string, limit: number): Promise<Uint8Array> {
  const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
  try {
    const stat = await file.stat()
    if (!stat.isFile()) throw new SealogError('ERR_MALFORMED', `${path}: not a regular file`)
    const { size } = stat
    if (size > limit) throw new SealogError('ERR_LIMIT', `${path}: ${size} bytes`, { details: { limit } })
    const bytes = new Uint8Array(size)
    let length = 0
    while (length < size) {
      const { bytesRead } = await file.read(bytes, length, size - length, length)
      if (bytesRead === 0) break
      length += bytesRead
    }
    return bytes.subarray(0, length)
  } finally {
    await file.close()
  }
}
