import { equalBytes } from '../bytes.ts'
import { SealogError } from '../errors.ts'
import { decodeHeader, entryHash, type Header } from '../verify/entry.ts'
import type { LogRecord } from '../verify/records.ts'
import type { ChainEnd } from './chain-place.ts'
import type { ChainTag, ChainTags } from './kept-tags.ts'

/**
 * The tags of a stretch of a chain as `get-chain` brought it, which ends with an entry that is proven by its leaf hash:
 * each header names the one before, so nobody but the author can have made any of them.
 * @param from seq of the first entry that was asked for
 * @throws SealogError ERR_PROOF where that is not what came
 */
export function stretchOf(records: readonly LogRecord[], end: ChainEnd, from: number): ChainTags {
  if (records.length !== end.seq - from + 1) throw new SealogError('ERR_PROOF', 'a chain of another length')
  const tags: ChainTag[] = []
  let { hash } = end
  for (const [i, { header: bytes, index }] of [...records.entries()].reverse()) {
    const header: Header = decodeHeader(bytes)
    if (!equalBytes(entryHash(bytes), hash) || header.seq !== from + i) {
      throw new SealogError('ERR_PROOF', 'a chain with a gap', { details: { index } })
    }
    tags.push({ index, kind: header.kind, epoch: header.epoch, tag: header.tag })
    hash = header.prev
  }
  return { first: from, prev: hash, tags: tags.reverse() }
}
