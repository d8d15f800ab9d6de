import { createHash } from 'node:crypto'
import {
  asSealogError,
  decodeHeader,
  entryHash,
  equalBytes,
  type Header,
  type PushEntry,
  SealogError,
} from 'sealog/protocol'

/** An entry of a push as far as it can be judged by itself: decoded, and its body compared, once. */
export interface PushedEntry {
  readonly encoded: Uint8Array
  readonly header: Header
  /** Leaf hash, 32 bytes. */
  readonly hash: Uint8Array
  readonly signature: Uint8Array
  readonly body: Uint8Array
  /** Of an entry that delivers secrets, as its author says. */
  readonly wraps: PushedWraps | undefined
}

/** All wraps of an entry, as they were uploaded ahead of it. */
export interface PushedWraps {
  /** Of all their bytes, 32 bytes. */
  readonly hash: Uint8Array
  /** One after the other, of whatever length; undefined where they did not come. */
  readonly bytes: Uint8Array | undefined
}

/** What is wrong with an entry by itself: it is refused at its place in the push. */
export interface FaultyEntry {
  readonly fault: SealogError
}

/** A body, or wraps, that were uploaded ahead in parts and have this hash, or undefined. */
export type FindStaged = (hash: Uint8Array) => Uint8Array | undefined

/** The entries up to the first that is faulty by itself; what comes behind that one is refused with it. */
export function readPush(
  entries: readonly PushEntry[],
  findStaged: FindStaged,
): readonly (PushedEntry | FaultyEntry)[] {
  const read: (PushedEntry | FaultyEntry)[] = []
  for (const entry of entries) {
    try {
      read.push(readEntry(entry, findStaged))
    } catch (error) {
      read.push({ fault: asSealogError(error, 'ERR_MALFORMED', 'not an entry') })
      break
    }
  }
  return read
}

function readEntry(entry: PushEntry, findStaged: FindStaged): PushedEntry {
  const header = decodeHeader(entry.header)
  return {
    encoded: entry.header,
    header,
    hash: entryHash(entry.header),
    signature: entry.signature,
    body: bodyOf(header, entry.body, findStaged),
    // Whether there have to be any is for the reducer: an entry that is in the log already lacks nothing.
    wraps: entry.wraps && { hash: entry.wraps, bytes: findStaged(entry.wraps) },
  }
}

function bodyOf(header: Header, inline: Uint8Array | undefined, findStaged: FindStaged): Uint8Array {
  const { bodyHash, bodyLength } = header
  // The hash of a staged body was compared when its last part came.
  const body = inline ?? (bodyLength === 0 ? new Uint8Array(0) : findStaged(bodyHash))
  if (body === undefined) throw new SealogError('ERR_BODY', 'the body was not sent')
  const isRight =
    body.length === bodyLength && (inline === undefined && bodyLength > 0 ? true : hasHash(body, bodyHash))
  if (!isRight) throw new SealogError('ERR_BODY', 'the body is not the one that its header commits to')
  return body
}

/** Node's own hash, as bodies are long and it is several times as fast as JavaScript. */
function hasHash(bytes: Uint8Array, hash: Uint8Array): boolean {
  return equalBytes(createHash('sha256').update(bytes).digest(), hash)
}
