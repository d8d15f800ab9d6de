import type { Edit } from './traces.ts'

/** A text that must be readable nowhere between the devices, in the ways in which it could be. */
export interface Canary {
  readonly text: string
  readonly spellings: readonly Spelling[]
}

export type Encoding = 'utf-8' | 'utf-16' | 'hex' | 'base64'

export interface Spelling {
  readonly encoding: Encoding
  readonly bytes: Uint8Array
}

/** Shorter ones could turn up in ciphertext by chance. */
const LEAST_LENGTH = 12
/** Characters of what was typed in one go that make a canary. */
const SAMPLE_LENGTH = 24
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

/** @throws RangeError where the text is too short to be told from chance */
export function canaryOf(text: string): Canary {
  if (text.length < LEAST_LENGTH) throw new RangeError(`a canary of ${text.length} characters`)
  const utf8 = new TextEncoder().encode(text)
  const hex = [...utf8].map(byte => byte.toString(16).padStart(2, '0')).join('')
  const spellings: Spelling[] = [
    { encoding: 'utf-8', bytes: utf8 },
    { encoding: 'utf-16', bytes: utf16(text, true) },
    { encoding: 'utf-16', bytes: utf16(text, false) },
    { encoding: 'hex', bytes: ascii(hex) },
    { encoding: 'hex', bytes: ascii(hex.toUpperCase()) },
  ]
  for (const base64 of new Set([0, 1, 2].flatMap(offset => base64At(utf8, offset)))) {
    spellings.push({ encoding: 'base64', bytes: ascii(base64) })
  }
  return { text, spellings }
}

/** Samples of what was typed without a jump in between, spread over a history. */
export function sampleTyping(edits: readonly Edit[], count: number): readonly string[] {
  const runs = typedInOneGo(edits)
  const step = Math.max(1, Math.floor(runs.length / count))
  return runs.filter((_, i) => i % step === 0).slice(0, count)
}

function typedInOneGo(edits: readonly Edit[]): readonly string[] {
  const runs: string[] = []
  let run = ''
  let next = -1
  for (const [position, deleted, inserted] of edits) {
    const goesOn = position === next && deleted === 0
    run = goesOn ? run + inserted : inserted
    next = position + [...inserted].length
    if (run.length < SAMPLE_LENGTH) continue
    // A run of blanks or dashes is nothing that a reader would recognise.
    if (new Set(run).size > SAMPLE_LENGTH / 3) runs.push(run)
    run = ''
  }
  return runs
}

export function utf16(text: string, littleEndian: boolean): Uint8Array {
  const bytes = new Uint8Array(2 * text.length)
  const view = new DataView(bytes.buffer)
  for (let i = 0; i < text.length; i++) view.setUint16(2 * i, text.charCodeAt(i), littleEndian)
  return bytes
}

/** The characters of standard and of URL-safe base64 that depend on `bytes` alone, where they begin `offset` bytes in. */
function base64At(bytes: Uint8Array, offset: number): readonly [standard: string, urlSafe: string] {
  const firstBit = 8 * offset
  const endBit = firstBit + 8 * bytes.length
  let text = ''
  for (let bit = Math.ceil(firstBit / 6) * 6; bit + 6 <= endBit; bit += 6) {
    text += ALPHABET[sixBitsAt(bytes, bit - firstBit)]
  }
  return [text, text.replaceAll('+', '-').replaceAll('/', '_')]
}

function sixBitsAt(bytes: Uint8Array, bit: number): number {
  const index = bit >> 3
  const pair = ((bytes[index] ?? 0) << 8) | (bytes[index + 1] ?? 0)
  return (pair >> (10 - (bit & 7))) & 63
}

function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
