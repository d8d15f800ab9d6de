import { concat, equalBytes, fromBase64, fromUtf8, toBase64, toUtf8 } from '../bytes.ts'
import { SealogError } from '../errors.ts'
import type { SpaceId } from '../ids.ts'
import { hasControl, isKeyName, type NoteKey, noteKeyHash } from './note-key.ts'

/** What a relay says, and signs, about a log (DESIGN §5.1; C2SP tlog-checkpoint with two extension lines). */
export interface Checkpoint {
  /** `<relay name>/<space id in hex>`; also the name of the key that signs. */
  readonly origin: string
  /** Number of entries, 0 … 2⁵³−1. */
  readonly size: number
  /** Root of the changelog tree at this size, 32 bytes. */
  readonly root: Uint8Array
  /** Commitment to the state that these entries fold to, 32 bytes. */
  readonly stateRoot: Uint8Array
  /** Unix time in milliseconds, 0 … 2⁵³−1. */
  readonly time: number
}

/** One signature line of a note: by the relay, or by a witness or member whose key the reader may not know. */
export interface NoteSignature {
  /** Name of the key: not empty, without Unicode spaces and `+`. */
  readonly name: string
  /** 4 bytes */
  readonly keyHash: Uint8Array
  /** At least 1 byte; its format follows from the key. */
  readonly signature: Uint8Array
}

/** A note that parsed. Nothing in it is to be believed before a signature over `text` verified. */
export interface Note {
  readonly checkpoint: Checkpoint
  /** The signed bytes: the five lines, each with its newline. */
  readonly text: Uint8Array
  /** 1 … 16 of them, in the order of the note. */
  readonly signatures: readonly NoteSignature[]
}

const MAX_NOTE_LENGTH = 16 * 1024
const MAX_SIGNATURES = 16
const SIGNATURE_PREFIX = '— '
const TEXT_LINES = 5

/** The origin of a space's log, which is also the name of the relay's key for it. @throws TypeError */
export function originOf(relayName: string, space: SpaceId): string {
  const origin = `${relayName}/${space}`
  if (!isOrigin(origin)) throw new TypeError('relayName: expected a name without spaces, control characters and "+"')
  return origin
}

/**
 * The text that is signed: origin, size, root, state root and time, a line each.
 * @throws TypeError on a value that a note cannot carry
 */
export function encodeNoteText(checkpoint: Checkpoint): Uint8Array {
  const { origin, size, root, stateRoot, time } = checkpoint
  if (!isOrigin(origin)) throw new TypeError('checkpoint.origin: expected <relay name>/<space id>')
  assertCount(size, 'checkpoint.size')
  assertLength(root, 32, 'checkpoint.root')
  assertLength(stateRoot, 32, 'checkpoint.stateRoot')
  assertCount(time, 'checkpoint.time')
  return toUtf8(`${origin}\n${size}\n${toBase64(root)}\nstate ${toBase64(stateRoot)}\ntime ${time}\n`)
}

/**
 * The whole signed note.
 * @param signatures 1 … 16 of them
 * @throws TypeError on anything that `parseNote` would not take back
 */
export function encodeNote(checkpoint: Checkpoint, signatures: readonly NoteSignature[]): Uint8Array {
  if (signatures.length === 0 || signatures.length > MAX_SIGNATURES) {
    throw new TypeError(`signatures: expected 1 to ${MAX_SIGNATURES}`)
  }
  const lines = signatures.map(({ name, keyHash, signature }) => {
    if (!isKeyName(name)) throw new TypeError('signatures: expected names without spaces and "+"')
    assertLength(keyHash, 4, 'signatures: keyHash')
    if (signature.length === 0) throw new TypeError('signatures: expected signatures that are not empty')
    return `${SIGNATURE_PREFIX}${name} ${toBase64(concat(keyHash, signature))}\n`
  })
  const note = concat(encodeNoteText(checkpoint), toUtf8(`\n${lines.join('')}`))
  if (note.length > MAX_NOTE_LENGTH) throw new TypeError(`signatures: the note exceeds ${MAX_NOTE_LENGTH} bytes`)
  return note
}

/**
 * Reads a note of at most 16 KiB that has exactly the lines of `encodeNote`, each in its one canonical spelling.
 * Lines by unknown keys are kept: that is what lets witnesses cosign. No signature is checked here.
 * @throws SealogError ERR_CHECKPOINT
 */
export function parseNote(bytes: Uint8Array): Note {
  if (bytes.length > MAX_NOTE_LENGTH) throw refused(`a note of ${bytes.length} bytes`)
  const lines = decodeText(bytes).split('\n')
  const [origin, size, root, state, time, blank] = lines
  const signatureLines = lines.slice(TEXT_LINES + 1, -1)
  if (blank !== '' || lines.at(-1) !== '' || signatureLines.length === 0) {
    throw refused('expected five lines, a blank line and signature lines')
  }
  if (signatureLines.length > MAX_SIGNATURES) throw refused(`more than ${MAX_SIGNATURES} signatures`)
  if (origin === undefined || !isOrigin(origin)) throw refused('origin: expected <relay name>/<space id>')
  const checkpoint: Checkpoint = {
    origin,
    size: parseCount(size, 'size'),
    root: parseBase64(root, 'root', 32),
    stateRoot: parseBase64(extension(state, 'state'), 'state', 32),
    time: parseCount(extension(time, 'time'), 'time'),
  }
  const text = encodeNoteText(checkpoint)
  // The fields are read from a decoded text, the signature is over bytes: they must be the same thing.
  if (!equalBytes(text, bytes.subarray(0, text.length))) throw refused('not the canonical spelling')
  return { checkpoint, text, signatures: signatureLines.map(parseSignatureLine) }
}

/**
 * The one signature (64 bytes) by `key` in a note about the log of that name. The caller verifies it over `note.text`.
 * The key hash covers the signature type, so another type of signature by the same key does not match.
 * @throws SealogError ERR_CHECKPOINT where the note is about another log, ERR_CHECKPOINT_SIGNATURE where no line or
 * more than one is by this key, or the signature has another length
 */
export function relaySignature(note: Note, key: NoteKey): Uint8Array {
  const { origin } = note.checkpoint
  if (origin !== key.name) {
    throw new SealogError('ERR_CHECKPOINT', 'a note about another log', {
      details: { expected: key.name, actual: origin },
    })
  }
  const keyHash = noteKeyHash(key.name, key.publicKey)
  const [match, ...others] = note.signatures.filter(line => line.name === key.name && equalBytes(line.keyHash, keyHash))
  if (match === undefined) throw unsigned('not signed by the relay key')
  if (others.length > 0) throw unsigned('signed twice by the relay key')
  if (match.signature.length !== 64) throw unsigned('not an Ed25519 signature')
  return match.signature
}

function decodeText(bytes: Uint8Array): string {
  try {
    return fromUtf8(bytes)
  } catch (cause) {
    throw refused('not well-formed UTF-8', cause)
  }
}

function parseSignatureLine(line: string): NoteSignature {
  const separator = line.indexOf(' ', SIGNATURE_PREFIX.length)
  if (!line.startsWith(SIGNATURE_PREFIX) || separator < 0) throw refused('signature: expected "— <name> <base64>"')
  const name = line.slice(SIGNATURE_PREFIX.length, separator)
  if (!isKeyName(name)) throw refused('signature: not a key name')
  const blob = parseBase64(line.slice(separator + 1), 'signature')
  if (blob.length < 5) throw refused('signature: too short')
  return { name, keyHash: blob.slice(0, 4), signature: blob.slice(4) }
}

function extension(line: string | undefined, keyword: string): string | undefined {
  if (line === undefined || !line.startsWith(`${keyword} `)) throw refused(`${keyword}: the line is missing`)
  return line.slice(keyword.length + 1)
}

function parseCount(text: string | undefined, what: string): number {
  if (text === undefined || !/^(?:0|[1-9][0-9]{0,15})$/.test(text)) throw refused(`${what}: not a canonical decimal`)
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw refused(`${what}: above 2⁵³−1`)
  return value
}

function parseBase64(text: string | undefined, what: string, length?: number): Uint8Array {
  let bytes: Uint8Array
  try {
    bytes = fromBase64(text ?? '')
  } catch (cause) {
    throw refused(`${what}: not canonical base64`, cause)
  }
  if (length !== undefined && bytes.length !== length) throw refused(`${what}: expected ${length} bytes`)
  return bytes
}

function isOrigin(origin: string): boolean {
  return isKeyName(origin) && !hasControl(origin) && /^.+\/[0-9a-f]{64}$/.test(origin)
}

function assertCount(value: number, argument: string): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new TypeError(`${argument}: expected an integer from 0 to 2⁵³−1`)
}

function assertLength(bytes: Uint8Array, length: number, argument: string): void {
  if (bytes.length !== length) throw new TypeError(`${argument}: expected ${length} bytes`)
}

function refused(message: string, cause?: unknown): SealogError {
  return new SealogError('ERR_CHECKPOINT', `note: ${message}`, { cause })
}

function unsigned(message: string): SealogError {
  return new SealogError('ERR_CHECKPOINT_SIGNATURE', `note: ${message}`)
}
