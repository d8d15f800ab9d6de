import { asBytes, asBytesUpTo, asOptional, asTuple, asUint, decodeCbor, encodeCbor, optional } from '../codec.ts'
import { type ActorId, actorIdOf, idBytes } from '../ids.ts'
import { encodeHeader, type Header } from '../verify/entry.ts'
import type { VerifiedEntry } from '../verify/log.ts'
import { type ChainPlace, chainPlace } from './chain-place.ts'
import type { FileRow } from './file-row.ts'
import { lastPart, readRow } from './rows.ts'

/**
 * What is there of a parked entry's content:
 *
 * - `missing`: nothing, the relay has yet to serve the body;
 * - `sealed`: the body, with the hash that the header commits to;
 * - `opened`: a `FileRow`, of content that the tag commits to.
 */
export type ParkedContent = 'missing' | 'sealed' | 'opened'

const CONTENTS: readonly ParkedContent[] = ['missing', 'sealed', 'opened']

/**
 * An entry that stands at or behind the place where its actor is parked: all that it takes to try it again, but for
 * its content, which has a row of its own, so that all entries can be listed in little memory.
 */
export interface ParkedEntry {
  /** Entry of the log. */
  readonly index: number
  readonly actor: ActorId
  readonly chain: ChainPlace
  readonly content: ParkedContent
  /** Encoded; undefined where the content is `opened`. */
  readonly header: Uint8Array | undefined
}

/** With what is to be stored of its content. */
export interface ParkedBody {
  readonly entry: ParkedEntry
  readonly body: Uint8Array | undefined
}

/** An entry as the log brought it. */
export function parkedEntry({ index, actor, header, body }: VerifiedEntry): ParkedEntry {
  return {
    index,
    actor,
    chain: placeOf(header),
    content: body === undefined ? 'missing' : 'sealed',
    header: encodeHeader(header),
  }
}

/** An entry whose content was opened already. Of supplied changes and saved documents there is none. */
export function parkedRow(row: FileRow): ParkedEntry {
  if (row.actor === undefined || row.chain === undefined) throw new TypeError('row: not of an entry')
  return { index: row.index, actor: row.actor, chain: row.chain, content: 'opened', header: undefined }
}

export function placeOf({ seq, prev }: Header): ChainPlace {
  return { seq, prev }
}

export function encodeParkedEntry({ actor, chain, content, header }: ParkedEntry): Uint8Array {
  return encodeCbor([
    idBytes(actor),
    [chain.seq, chain.prev],
    CONTENTS.indexOf(content),
    optional(header, bytes => bytes),
  ])
}

export function decodeParkedEntry(key: Uint8Array, value: Uint8Array): ParkedEntry {
  return readRow('parked entry', () => {
    const fields = asTuple(decodeCbor(value, 1024), 4, 'parked entry')
    return {
      index: asUint(Number.parseInt(lastPart(key), 16), 'index'),
      actor: actorIdOf(asBytes(fields[0], 16, 'actor')),
      chain: chainPlace.read(fields[1], 'chain'),
      content: CONTENTS[asUint(fields[2], 'content', CONTENTS.length - 1)] as ParkedContent,
      header: asOptional(fields[3], 'header', (item, what) => asBytesUpTo(item, 512, what)),
    }
  })
}
