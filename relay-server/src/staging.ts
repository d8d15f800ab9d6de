import { createHash, type Hash } from 'node:crypto'
import { concat, equalBytes, type PutBody, SealogError, toHex } from 'sealog/protocol'
import type { Limits } from './limits.ts'

/** What is kept of a body or a part besides its bytes: so many of them, and not more, are taken however short they are. */
const MAX_BODIES = 1024
/** A body has at most this many parts: of the greatest length there is, parts of 64 KiB and more. */
const MAX_PARTS = 1024
/** What a body, and each of its parts until all came, takes in memory beside its bytes; so much counts for the total. */
const OVERHEAD = 512
/** Milliseconds after which somebody who finds the relay's staging full may try again. */
const RETRY_AFTER = 5000

/** How much is staged over all sockets of a relay. */
export interface StagingTotal {
  bytes: number
}

interface StagedBody {
  readonly length: number
  readonly parts: Uint8Array[]
  readonly hash: Hash
  received: number
  /** Counted for the total beside the bytes. */
  overhead: number
  /** All of it, once it came and has the announced hash. */
  complete: Uint8Array | undefined
}

/**
 * Large bodies that one socket uploads ahead of the pushes that need them; kept in memory, and gone with the socket.
 * Where there is not room for all of them, the oldest complete ones go first.
 */
export class Staging {
  readonly #limits: Limits
  readonly #total: StagingTotal
  /** By space and hash, the oldest first. */
  readonly #bodies = new Map<string, StagedBody>()
  #bytes = 0

  constructor(limits: Limits, total: StagingTotal) {
    this.#limits = limits
    this.#total = total
  }

  /**
   * Takes one part: the next in order, or the first of an upload that starts anew.
   * @throws SealogError ERR_UNEXPECTED, ERR_BODY, ERR_LIMIT; ERR_RATE_LIMITED where all sockets together hold too much
   */
  put({ space, hash, length, offset, bytes }: PutBody): void {
    const key = keyOf(space, hash)
    if (bytes.length === 0) throw new SealogError('ERR_UNEXPECTED', 'a part without bytes')
    if (offset === 0) this.#drop(key)
    const body = this.#bodies.get(key) ?? this.#begin(key, length, offset)
    if (body.received !== offset || body.length !== length) {
      throw new SealogError('ERR_UNEXPECTED', `a part at ${offset}, where ${body.received} is next`)
    }
    if (offset + bytes.length > length) {
      this.#drop(key)
      throw new SealogError('ERR_BODY', `parts beyond the announced length of ${length}`)
    }
    if (body.parts.length >= MAX_PARTS) {
      this.#drop(key)
      throw new SealogError('ERR_LIMIT', 'a body in too many parts', { details: { limit: MAX_PARTS } })
    }
    this.#makeRoom(key, bytes.length)
    body.parts.push(bytes)
    body.hash.update(bytes)
    body.received += bytes.length
    this.#count(bytes.length)
    this.#countOverhead(body, body.overhead + OVERHEAD)
    if (body.received === length) this.#complete(key, body, hash)
  }

  /** The body, if all of it came. */
  find(space: string, hash: Uint8Array): Uint8Array | undefined {
    return this.#bodies.get(keyOf(space, hash))?.complete
  }

  /** Its entry landed. */
  forget(space: string, hash: Uint8Array): void {
    this.#drop(keyOf(space, hash))
  }

  clear(): void {
    for (const key of [...this.#bodies.keys()]) this.#drop(key)
  }

  #begin(key: string, length: number, offset: number): StagedBody {
    if (offset !== 0) throw new SealogError('ERR_UNEXPECTED', `a part at ${offset}, where 0 is next`)
    if (length > this.#limits.stagedBytesPerSocket) {
      const limit = this.#limits.stagedBytesPerSocket
      throw new SealogError('ERR_LIMIT', `a body of ${length} bytes`, { details: { limit } })
    }
    if (this.#bodies.size >= MAX_BODIES) {
      throw new SealogError('ERR_LIMIT', 'too many bodies at once', { details: { limit: MAX_BODIES } })
    }
    const body: StagedBody = {
      length,
      parts: [],
      hash: createHash('sha256'),
      received: 0,
      overhead: 0,
      complete: undefined,
    }
    this.#bodies.set(key, body)
    this.#countOverhead(body, OVERHEAD)
    return body
  }

  #complete(key: string, body: StagedBody, hash: Uint8Array): void {
    if (!equalBytes(body.hash.digest(), hash)) {
      this.#drop(key)
      throw new SealogError('ERR_BODY', 'the parts do not have the announced hash')
    }
    body.complete = concat(...body.parts)
    body.parts.length = 0
    this.#countOverhead(body, OVERHEAD)
  }

  #makeRoom(key: string, bytes: number): void {
    const { stagedBytesPerSocket, stagedBytes } = this.#limits
    for (const [other, body] of [...this.#bodies]) {
      if (this.#bytes + bytes <= stagedBytesPerSocket) break
      if (other !== key && body.complete !== undefined) this.#drop(other)
    }
    if (this.#bytes + bytes > stagedBytesPerSocket) {
      this.#drop(key)
      throw new SealogError('ERR_LIMIT', 'too many bodies at once', { details: { limit: stagedBytesPerSocket } })
    }
    if (this.#total.bytes + bytes + OVERHEAD > stagedBytes) {
      this.#drop(key)
      throw new SealogError('ERR_RATE_LIMITED', 'too many uploads at once', { details: { retryAfter: RETRY_AFTER } })
    }
  }

  #drop(key: string): void {
    const body = this.#bodies.get(key)
    if (body === undefined) return
    this.#bodies.delete(key)
    this.#count(-body.received)
    this.#countOverhead(body, 0)
  }

  #countOverhead(body: StagedBody, overhead: number): void {
    this.#total.bytes += overhead - body.overhead
    body.overhead = overhead
  }

  #count(bytes: number): void {
    this.#bytes += bytes
    this.#total.bytes += bytes
  }
}

function keyOf(space: string, hash: Uint8Array): string {
  return `${space}/${toHex(hash)}`
}
