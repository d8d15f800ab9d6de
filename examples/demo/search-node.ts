import type { Canary, Encoding } from './canaries.ts'

export interface Hit {
  readonly text: string
  readonly encoding: Encoding
}

/** Every occurrence of every canary, in any spelling. */
export function searchBytes(bytes: Uint8Array, canaries: readonly Canary[]): readonly Hit[] {
  const haystack = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const hits: Hit[] = []
  for (const { text, spellings } of canaries) {
    for (const { encoding, bytes: needle } of spellings) {
      for (let at = haystack.indexOf(needle); at >= 0; at = haystack.indexOf(needle, at + 1))
        hits.push({ text, encoding })
    }
  }
  return hits
}

/** What the search must be able to see: the same bytes as somebody would write them down as text. */
export function writtenAs(bytes: Uint8Array, encoding: 'hex' | 'base64' | 'base64url'): Uint8Array {
  return new TextEncoder().encode(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString(encoding))
}
