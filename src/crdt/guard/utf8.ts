import { refuse } from './rules.ts'

// A leading byte order mark is content here: two different keys must not decode to the same text.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Is this well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms)? */
export function isUtf8(bytes: Uint8Array, start: number, end: number): boolean {
  let i = start
  while (i < end) {
    const lead = bytes[i++] as number
    if (lead < 0x80) continue
    let more: number
    let low = 0x80
    let high = 0xbf
    if (lead >= 0xc2 && lead <= 0xdf) more = 1
    else if (lead >= 0xe0 && lead <= 0xef) {
      more = 2
      if (lead === 0xe0) low = 0xa0
      else if (lead === 0xed) high = 0x9f
    } else if (lead >= 0xf0 && lead <= 0xf4) {
      more = 3
      if (lead === 0xf0) low = 0x90
      else if (lead === 0xf4) high = 0x8f
    } else return false
    if (i + more > end) return false
    while (more-- > 0) {
      const next = bytes[i++] as number
      if (next < low || next > high) return false
      low = 0x80
      high = 0xbf
    }
  }
  return true
}

/** @throws SealogError ERR_GUARD utf8 */
export function decodeText(bytes: Uint8Array): string {
  // Short ASCII is nearly all there is, and a decoder call costs more than the loop.
  if (bytes.length < 24) {
    let text = ''
    for (const byte of bytes) {
      if (byte >= 0x80) return decodeAny(bytes)
      text += String.fromCharCode(byte)
    }
    return text
  }
  return decodeAny(bytes)
}

function decodeAny(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes)
  } catch {
    return refuse('utf8', 'text that is not UTF-8')
  }
}
