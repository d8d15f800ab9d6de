import { describe, expect, it } from 'vitest'
import { toHex, toUtf8 } from '../../src/bytes.ts'
import { sha256 } from '../../src/crypto/hash.ts'
import { publicKeyOf, type SigningKey, signSync, verifySync } from '../../src/crypto/sign.ts'
import { encodeNote, type NoteSignature, parseNote } from '../../src/verify/checkpoint.ts'
import { type Cosigner, cosign, cosignaturesIn, cosignerName } from '../../src/verify/cosignature.ts'
import { isKeyName, noteKeyHash } from '../../src/verify/note-key.ts'
import { bytesOf, LogBuilder } from '../helpers/log-builder.ts'

const { log } = LogBuilder.withWriter()
const NOTE = parseNote(log.note())
const TIME = 1_700_000_000

function key(label: string): SigningKey {
  const seed = bytesOf(label)
  return { publicKey: publicKeyOf(seed), sign: async message => signSync(seed, message) }
}

const DEVICES: readonly Cosigner[] = [0, 2].map(number => ({ number, publicKey: key(`device ${number}`).publicKey }))

function line(device: number, time: number = TIME, by: string = `device ${device}`): Promise<NoteSignature> {
  return cosign(NOTE.text, log.space, device, time, key(by))
}

/** What a reader finds in the relay's note with these lines, through its bytes. */
function read(...lines: readonly NoteSignature[]) {
  const note = parseNote(encodeNote(NOTE.checkpoint, [...NOTE.signatures, ...lines]))
  return cosignaturesIn(note, log.space, DEVICES).map(({ device, time, check }) => ({
    device,
    time,
    holds: verifySync(check),
  }))
}

describe('a cosignature', () => {
  it('is a line of the form of C2SP tlog-cosignature, byte for byte (R-COSIGN-1)', async () => {
    const { name, keyHash, signature } = await line(2)
    expect(name).toBe(`${log.space}/device/2`)
    expect(isKeyName(name)).toBe(true)
    const { publicKey } = key('device 2')
    expect(keyHash).toEqual(sha256(toUtf8(`${name}\n\x04`), publicKey).slice(0, 4))
    expect(toHex(signature.slice(0, 8))).toBe('000000006553f100')
    const text = new TextDecoder().decode(NOTE.text)
    const message = toUtf8(`cosignature/v1\ntime 1700000000\n${text}`)
    expect(signature.slice(8)).toEqual(signSync(bytesOf('device 2'), message))
  })

  it('is found beside the signature of the relay, with device and time', async () => {
    expect(read(await line(2), await line(0, TIME + 5))).toEqual([
      { device: 2, time: TIME, holds: true },
      { device: 0, time: TIME + 5, holds: true },
    ])
  })

  it('is for its note, its time and its device only', async () => {
    const good = await line(2)
    const later = { ...good, signature: good.signature.with(7, 1) }
    expect(read(later)).toEqual([{ device: 2, time: 1_700_000_001, holds: false }])
    const other = parseNote(log.note({ ...log.checkpoint(), time: log.time + 1 }))
    const moved = parseNote(encodeNote(other.checkpoint, [...other.signatures, good]))
    expect(cosignaturesIn(moved, log.space, DEVICES).map(({ check }) => verifySync(check))).toEqual([false])
    // The key of device 2 under the name of device 0: the key hash covers the name.
    expect(read({ ...good, name: cosignerName(log.space, 0) })).toEqual([])
  })

  it('by an unknown device, a device of another space or under another key counts for nothing', async () => {
    const elsewhere = new LogBuilder({ relayName: 'other.test' })
    elsewhere.append(elsewhere.genesis())
    const foreign = await cosign(NOTE.text, elsewhere.space, 2, TIME, key('device 2'))
    expect(read(await line(7), await line(2, TIME, 'somebody else'), foreign)).toEqual([])
  })

  it('is no signature of the relay, and a plain signature is no cosignature', async () => {
    const { publicKey, sign } = key('device 2')
    const name = cosignerName(log.space, 2)
    const plain = { name, keyHash: noteKeyHash(name, publicKey), signature: await sign(NOTE.text) }
    expect(read(plain, { ...plain, signature: new Uint8Array(72) })).toEqual([])
  })

  it('that stands twice is reported once; a false line in its name does not hide it', async () => {
    const good = await line(2)
    const forged = { ...good, signature: good.signature.with(40, (good.signature[40] as number) ^ 1) }
    expect(read(forged, good, good)).toEqual([
      { device: 2, time: TIME, holds: false },
      { device: 2, time: TIME, holds: true },
    ])
  })

  it('of another length, or of a time beyond 2⁵³−1, is passed over', async () => {
    const good = await line(2)
    expect(read({ ...good, signature: good.signature.slice(0, 71) })).toEqual([])
    expect(read({ ...good, signature: good.signature.with(1, 0x20) })).toEqual([])
    await expect(line(2, 2 ** 53)).rejects.toThrow(TypeError)
    await expect(line(2, 1.5)).rejects.toThrow(TypeError)
  })
})
