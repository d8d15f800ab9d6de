import { type Batch, type BatchEntry, decodeHeader } from 'sealog/protocol'
import { HEADER_FIELDS, withFlippedField } from './header-fields.ts'
import { batchLie, flip, type Lie, replaceAt } from './lie.ts'

/** One bit of an entry the other way round, under the note over the true log. */
export const FLIP_LIES: readonly Lie[] = [
  ...HEADER_FIELDS.map(field =>
    batchLie({
      name: `flip-header-${dashed(field)}`,
      says: `a bit of ${field} is flipped in the header of an entry`,
      expected: ['ERR_ROOT_MISMATCH'],
      batch: batch => changeContent(batch, entry => ({ ...entry, header: withFlippedField(entry.header, field) })),
    }),
  ),
  signatureFlip('R', 0),
  signatureFlip('S', 32),
  ...['first', 'middle', 'last'].map((where, third) =>
    batchLie({
      name: `flip-body-${where}`,
      says: `a bit is flipped in the ${where} byte of a body`,
      expected: ['ERR_BODY'],
      batch: batch =>
        changeContent(batch, entry => {
          const { body } = entry
          return body && { ...entry, body: flip(body, Math.floor(((body.length - 1) * third) / 2)) }
        }),
    }),
  ),
]

function signatureFlip(part: string, at: number): Lie {
  return batchLie({
    name: `flip-signature-${part.toLowerCase()}`,
    says: `a bit of ${part} is flipped in the signature that covers an entry`,
    expected: ['ERR_SIGNATURE'],
    batch: batch => {
      const last = batch.entries.length - 1
      const entry = batch.entries[last]
      if (entry?.signature === undefined) return undefined
      const lied: BatchEntry = { ...entry, signature: flip(entry.signature, at) }
      return { ...batch, entries: replaceAt(batch.entries, last, lied) }
    },
  })
}

/** Changes the first entry of a document. @param change undefined where it gives no occasion */
export function changeContent(batch: Batch, change: (entry: BatchEntry) => BatchEntry | undefined): Batch | undefined {
  const at = batch.entries.findIndex(({ header }) => decodeHeader(header).kind !== 'control')
  const entry = batch.entries[at]
  const changed = entry && change(entry)
  return changed && { ...batch, entries: replaceAt(batch.entries, at, changed) }
}

export function dashed(field: string): string {
  return field.replaceAll(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)
}
