import {
  type Batch,
  decodeControlBody,
  decodeHeader,
  encodeControlBody,
  encodeHeader,
  type Header,
  sha256,
} from 'sealog/protocol'
import { HEADER_FIELDS, type HeaderField, withFlippedField, withHeader } from './header-fields.ts'
import { convictingLie, type Lie, replaceAt, signedBatch, signedLie, type Teller } from './lie.ts'
import { dashed } from './lies-flips.ts'
import type { StoredEntry } from './log-store.ts'

/**
 * What gives away each field of a header that the relay changed before it hashed and signed. A version or kind that is
 * not known stops a replica instead, since a later build may know it (protocol.md R-UPGRADE-2). What the reducer
 * refuses convicts the relay; signatures of entries and bodies are in no log, so what they give away does not.
 */
const CAUGHT_BY: Readonly<Partial<Record<HeaderField, Lie['expected']>>> = {
  space: ['ERR_INVALID_ENTRY'],
  document: ['ERR_INVALID_ENTRY'],
  device: ['ERR_INVALID_ENTRY'],
  incarnation: ['ERR_INVALID_ENTRY'],
  seq: ['ERR_INVALID_ENTRY'],
  prev: ['ERR_INVALID_ENTRY'],
  seenSize: ['ERR_INVALID_ENTRY', 'ERR_PROOF'],
  seenRoot: ['ERR_INVALID_ENTRY', 'ERR_PROOF'],
  epoch: ['ERR_INVALID_ENTRY'],
  tag: ['ERR_SIGNATURE'],
  bodyHash: ['ERR_BODY'],
  bodyLength: ['ERR_BODY'],
}

/** False logs under true signatures of the relay: tree and state fit, so it is the entries that give it away. */
export const FORGERY_LIES: readonly Lie[] = [
  ...HEADER_FIELDS.flatMap((field): readonly Lie[] => {
    const expected = CAUGHT_BY[field]
    if (expected === undefined) return []
    const isBound = expected.includes('ERR_INVALID_ENTRY')
    return [
      (isBound ? convictingLie : signedLie)({
        name: `signed-${dashed(field)}`,
        says: `a bit of ${field} is flipped in a header, and the relay signs the log with it`,
        expected,
        batch: (batch, teller) =>
          forge(batch, teller, entries => {
            const at = entries.findIndex(entry => !entry.isControl)
            const entry = entries[at]
            return entry && replaceAt(entries, at, withHeader(entry, withFlippedField(entry.header, field)))
          }),
      }),
    ]
  }),
  convictingLie({
    name: 'signed-repeated-entry',
    says: 'the last entry is there twice in the log that the relay signs',
    expected: ['ERR_INVALID_ENTRY'],
    batch: (batch, teller) => forge(batch, teller, entries => [...entries, ...entries.slice(-1)]),
  }),
  convictingLie({
    name: 'signed-entry-of-another-space',
    says: 'the relay signs a log in which an entry of another space follows',
    expected: ['ERR_INVALID_ENTRY', 'ERR_PROOF'],
    batch: (batch, teller) => {
      const other = teller.otherSpace.at(-1)
      return other && forge(batch, teller, entries => [...entries, other])
    },
  }),
  convictingLie({
    name: 'signed-entry-of-another-branch',
    says: 'the relay signs a log in which an entry follows whose author was shown another log',
    expected: ['ERR_INVALID_ENTRY', 'ERR_PROOF'],
    batch: (batch, teller) => {
      const { log, otherBranch } = teller
      // The first one behind the fork was still written on what both branches have.
      const common = log.findIndex(({ hash }, i) => otherBranch[i]?.hash.some((byte, at) => byte !== hash[at]))
      const other = common < 0 ? undefined : otherBranch.find(entry => entry.seenSize > common)
      return other && forge(batch, teller, entries => [...entries, other])
    },
  }),
  signedLie({
    name: 'invented-entry',
    says: 'the relay adds an entry in the name of the last author, and signs the log with it',
    expected: ['ERR_SIGNATURE'],
    batch: (batch, teller) =>
      forge(batch, teller, entries => {
        const last = entries.at(-1)
        return last && !last.isControl ? [...entries, successor(last)] : undefined
      }),
  }),
  signedLie({
    name: 'invented-entry-without-signature',
    says: 'the relay adds an entry that no signature covers, and signs the log with it',
    expected: ['ERR_UNCOVERED'],
    batch: async (batch, teller) => {
      const lied = await forge(batch, teller, entries => {
        const last = entries.at(-1)
        return last && !last.isControl ? [...entries, successor(last)] : undefined
      })
      const last = lied?.entries.at(-1)
      if (lied === undefined || last === undefined) return undefined
      return { ...lied, entries: replaceAt(lied.entries, lied.entries.length - 1, { ...last, signature: undefined }) }
    },
  }),
  signedLie({
    name: 'invented-invite',
    says: 'the relay writes the expiry of an invite anew, and signs the log with it',
    expected: ['ERR_SIGNATURE'],
    batch: (batch, teller) =>
      forge(batch, teller, entries => {
        const at = entries.findIndex(entry => entry.isControl)
        const entry = entries[at]
        const lied = entry && withLaterExpiry(entry)
        return lied && replaceAt(entries, at, lied)
      }),
  }),
]

/** The batch as it would be if its entries were others, under a checkpoint over just that. */
async function forge(
  batch: Batch,
  teller: Teller,
  change: (entries: readonly StoredEntry[]) => readonly StoredEntry[] | undefined,
): Promise<Batch | undefined> {
  const { from, entries } = batch
  if (entries.length === 0) return undefined
  const changed = change(teller.log.slice(from, from + entries.length))
  if (changed === undefined) return undefined
  return signedBatch(teller, batch, [...teller.log.slice(0, from), ...changed])
}

/** What could follow an entry in its chain, but for the signature. */
function successor(entry: StoredEntry): StoredEntry {
  const before = decodeHeader(entry.header)
  const body = sha256(entry.hash)
  const header: Header = {
    ...before,
    seq: before.seq + 1,
    prev: entry.hash,
    bodyHash: sha256(body),
    bodyLength: body.length,
  }
  return { ...withHeader(entry, encodeHeader(header)), body }
}

function withLaterExpiry(entry: StoredEntry): StoredEntry | undefined {
  const invite = entry.body && decodeControlBody(entry.body)
  if (invite?.type !== 'invite') return undefined
  const body = encodeControlBody({ ...invite, expires: invite.expires + 1 })
  const header = { ...decodeHeader(entry.header), bodyHash: sha256(body), bodyLength: body.length }
  return { ...withHeader(entry, encodeHeader(header)), body }
}
