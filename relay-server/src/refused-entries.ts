import { decodeHeader, entryHash, type PushEntry, toHex } from 'sealog/protocol'
import type { StoredEntry } from './log-store.ts'

/**
 * What was pushed and is not in the log, each entry once, as a relay would keep it that had taken it. What is no entry
 * is left out, as are large bodies.
 */
export function refusedOf(pushed: readonly PushEntry[], log: readonly StoredEntry[]): readonly StoredEntry[] {
  const landed = new Set(log.map(({ hash }) => toHex(hash)))
  const refused = new Map<string, StoredEntry>()
  for (const each of pushed) {
    const hash = entryHash(each.header)
    const entry = landed.has(toHex(hash)) ? undefined : storedEntry(each, hash)
    if (entry !== undefined) refused.set(toHex(hash), entry)
  }
  return [...refused.values()]
}

function storedEntry({ header, signature, body }: PushEntry, hash: Uint8Array): StoredEntry | undefined {
  try {
    const { document, incarnation, seq, kind, seenSize, bodyLength } = decodeHeader(header)
    return {
      header,
      hash,
      signature,
      document,
      // Of whom it really is nobody asks: proofs are made from the header.
      actor: toHex(incarnation).repeat(2) as StoredEntry['actor'],
      seq,
      isControl: kind === 'control',
      isSnapshot: kind === 'snapshot',
      seenSize,
      bodyLength,
      body,
      replaced: new Uint8Array(0),
    }
  } catch {
    return undefined
  }
}
