import type { BatchEntry, Sync } from 'sealog/protocol'
import type { Tampering } from './wire.ts'

/** Fewest entries in a message for an attack on entries to make sense; shorter ones pass. */
export const LEAST_ENTRIES = 3

/** One bit of one header: it commits to another body then. */
export const flipHeader: Tampering = onEntries(entries =>
  replaced(entries, 1, entry => ({ ...entry, header: withBitFlipped(entry.header, entry.header.length - 20) })),
)

/** One bit of one ciphertext. */
export const flipBody: Tampering = onEntries(entries =>
  replaced(entries, 1, entry => ({ ...entry, body: entry.body && withBitFlipped(entry.body, entry.body.length >> 1) })),
)

/** One bit of the signature that covers the whole stretch. */
export const flipSignature: Tampering = onEntries(entries =>
  replaced(entries, entries.length - 1, entry => ({
    ...entry,
    signature: entry.signature && withBitFlipped(entry.signature, 40),
  })),
)

/** Two neighbours change places. */
export const swapEntries: Tampering = onEntries(entries => {
  const [first, second, third, ...rest] = entries as readonly [BatchEntry, BatchEntry, BatchEntry]
  return [first, third, second, ...rest]
})

/** One entry is left out, as if its author had never written it; those after it follow. */
export const dropEntry: Tampering = onEntries(entries => entries.filter((_, i) => i !== 1))

/** The relay's own signed word of an earlier day, as if nothing had happened since. */
export function replayNote(note: Uint8Array): Tampering {
  return message => ({
    ...message,
    batch: { from: message.batch.from, entries: [], seenProofs: [], note, consistency: [], tracer: undefined },
  })
}

function onEntries(change: (entries: readonly BatchEntry[]) => readonly BatchEntry[]): Tampering {
  return (message): Sync => {
    const { batch } = message
    if (batch.entries.length < LEAST_ENTRIES) return message
    return { ...message, batch: { ...batch, entries: change(batch.entries) } }
  }
}

function replaced(
  entries: readonly BatchEntry[],
  index: number,
  change: (entry: BatchEntry) => BatchEntry,
): readonly BatchEntry[] {
  return entries.map((entry, i) => (i === index ? change(entry) : entry))
}

function withBitFlipped(bytes: Uint8Array, index: number): Uint8Array {
  return bytes.map((byte, i) => (i === index ? byte ^ 1 : byte))
}
