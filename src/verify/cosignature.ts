import { concat, equalBytes, toUtf8 } from '../bytes.ts'
import type { SignatureCheck, SigningKey } from '../crypto/sign.ts'
import type { SpaceId } from '../ids.ts'
import type { Note, NoteSignature } from './checkpoint.ts'
import { COSIGNATURE_V1, noteKeyHash } from './note-key.ts'

/*
 * Cosignatures (C2SP tlog-cosignature, cosignature/v1): a device that has verified a log states so, with a time, in a
 * signature line of the relay's own note.
 *
 *   line      = "— <name> <base64 of key hash (4) ‖ time (8, big-endian Unix seconds) ‖ Ed25519 signature (64)>"
 *   name      = "<space id in hex>/device/<number>"
 *   key hash  = SHA-256(name ‖ 0A ‖ 04 ‖ public key), first 4 bytes
 *   signed    = "cosignature/v1\\ntime <Unix seconds>\\n" ‖ the five lines of the note
 *
 * The name says which key is meant and nothing more: a device's number is unique in its space, the space id is unique
 * in the world, and neither holds a space, a "+" or a scheme, as C2SP asks of names.
 */

const TIME_LENGTH = 8
const SIGNATURE_LENGTH = 64

/** A device as its space knows it. */
export interface Cosigner {
  /** Number of the control entry that admitted it. */
  readonly number: number
  /** Its signing key, Ed25519, 32 bytes. */
  readonly publicKey: Uint8Array
}

/** What a signature line claims; it counts for nothing before the check holds. */
export interface Cosignature {
  /** Number of the device. */
  readonly device: number
  /** Unix time in seconds, by the clock of the device. */
  readonly time: number
  readonly check: SignatureCheck
}

/** The key name under which a device of a space cosigns. */
export function cosignerName(space: SpaceId, device: number): string {
  return `${space}/device/${device}`
}

/** What is signed: the statement, the time in Unix seconds, and the note's text. @param noteText the five signed lines */
function cosignatureInput(noteText: Uint8Array, time: number): Uint8Array {
  return concat(toUtf8(`cosignature/v1\ntime ${time}\n`), noteText)
}

/**
 * Cosigns a note: "at this time, this was the largest log that I had verified".
 * @param noteText the five signed lines, `Note.text`
 * @param time Unix seconds, 0 … 2⁵³−1
 * @returns a signature line to be added to the note
 * @throws TypeError
 */
export async function cosign(
  noteText: Uint8Array,
  space: SpaceId,
  device: number,
  time: number,
  key: SigningKey,
): Promise<NoteSignature> {
  if (!Number.isSafeInteger(time) || time < 0) throw new TypeError('time: expected whole seconds from 0 to 2⁵³−1')
  const name = cosignerName(space, device)
  const signature = await key.sign(cosignatureInput(noteText, time))
  return {
    name,
    keyHash: noteKeyHash(name, key.publicKey, COSIGNATURE_V1),
    signature: concat(encodeTime(time), signature),
  }
}

/**
 * The lines of a note that claim to be cosignatures by these devices of the space; all others are passed over. A line
 * that stands twice is reported once. A device may still come up more than once, as anybody can add a line in its name:
 * so count devices (or members) whose check holds, not lines.
 */
export function cosignaturesIn(note: Note, space: SpaceId, devices: Iterable<Cosigner>): readonly Cosignature[] {
  const known = new Map<string, Cosigner>()
  for (const device of devices) known.set(cosignerName(space, device.number), device)
  const found: Cosignature[] = []
  for (const line of note.signatures) {
    const device = known.get(line.name)
    if (device === undefined) continue
    const cosignature = readLine(note, line, device)
    if (cosignature !== undefined && !found.some(other => isSame(other, cosignature))) found.push(cosignature)
  }
  return found
}

function readLine(note: Note, line: NoteSignature, { number, publicKey }: Cosigner): Cosignature | undefined {
  if (line.signature.length !== TIME_LENGTH + SIGNATURE_LENGTH) return undefined
  if (!equalBytes(line.keyHash, noteKeyHash(line.name, publicKey, COSIGNATURE_V1))) return undefined
  const time = decodeTime(line.signature.subarray(0, TIME_LENGTH))
  if (time === undefined) return undefined
  const message = cosignatureInput(note.text, time)
  return { device: number, time, check: { publicKey, message, signature: line.signature.slice(TIME_LENGTH) } }
}

function isSame(a: Cosignature, b: Cosignature): boolean {
  return a.device === b.device && a.time === b.time && equalBytes(a.check.signature, b.check.signature)
}

function encodeTime(time: number): Uint8Array {
  const bytes = new Uint8Array(TIME_LENGTH)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(time))
  return bytes
}

/** Undefined for a time that no clock shows: what is beyond 2⁵³−1 could not be written back as it was. */
function decodeTime(bytes: Uint8Array): number | undefined {
  const time = Number(new DataView(bytes.buffer, bytes.byteOffset, TIME_LENGTH).getBigUint64(0))
  return Number.isSafeInteger(time) ? time : undefined
}
