import { beforeAll, describe, expect, it } from 'vitest'
import { toBase64Url, toUtf8 } from '../../src/bytes.ts'
import { type Cbor, encodeCbor } from '../../src/codec.ts'
import { sha256 } from '../../src/crypto/hash.ts'
import { idBytes } from '../../src/ids.ts'
import { skipTo } from '../../src/verify/fast-forward.ts'
import { decodeFingerprint, encodeFingerprint, fingerprintDigits, fingerprintOf } from '../../src/verify/fingerprint.ts'
import type { LogView } from '../../src/verify/log.ts'
import { skipAnswer } from '../helpers/log-answers.ts'
import { accept, bytesOf, LogBuilder, testDevice, verdictOf } from '../helpers/log-builder.ts'

const { log, writer } = LogBuilder.withWriter()
log.append(log.changes(writer))
const CONTROL_END = 3
log.append(log.changes(log.owner))
const NOTE = log.note()

let view: LogView
let hash: Uint8Array

beforeAll(async () => {
  view = await log.viewAt(log.size)
  hash = fingerprintOf(view) as Uint8Array
})

describe('a fingerprint (R-PRINT-1)', () => {
  it('is the hash of the space, the latest control entry, and the root right after it', () => {
    const label = toUtf8('sealog/v1/fingerprint\0')
    const latest = log.entries[CONTROL_END - 1]?.hash as Uint8Array
    expect(hash).toEqual(sha256(label, log.spaceBytes, latest, log.rootAt(CONTROL_END)))
  })

  it('is equal for all who have the same members by the same log, however it came', async () => {
    let inSteps = log.emptyView()
    for (let size = 0; size < log.size; size++) inSteps = await accept(inSteps, log.batch(size, size + 1))
    expect(fingerprintOf(inSteps)).toEqual(hash)
    const { head, records } = skipAnswer(log, 0)
    expect(fingerprintOf(skipTo(log.emptyView(), head, records).view)).toEqual(hash)
  })

  it('does not change with entries of documents', async () => {
    for (let size = CONTROL_END; size <= log.size; size++) {
      expect(fingerprintOf(await log.viewAt(size))).toEqual(hash)
    }
  })

  it('changes with every control entry', async () => {
    const seen = new Set<string>()
    for (let size = 1; size <= CONTROL_END; size++) {
      seen.add(fingerprintDigits(fingerprintOf(await log.viewAt(size)) as Uint8Array))
    }
    expect(seen.size).toBe(CONTROL_END)
  })

  it('differs between two branches with the same members, and between two spaces', async () => {
    const branch = (documentsFirst: boolean): LogBuilder => {
      const { log: other, writer: author } = LogBuilder.withWriter()
      if (documentsFirst) other.append(other.changes(author))
      other.append(other.control(other.owner, other.inviteBody(testDevice('guest', 3)), { seenSize: 3 }))
      return other
    }
    const [a, b] = [branch(false), branch(true)]
    expect(a.stateAt().control.head).toEqual(b.stateAt().control.head)
    const of = async (other: LogBuilder) => fingerprintOf(await other.viewAt(other.size))
    expect(await of(a)).not.toEqual(await of(b))
    const elsewhere = LogBuilder.withWriter().log
    const another = new LogBuilder({ relaySeed: bytesOf('another relay') })
    another.append(another.genesis())
    expect(await of(elsewhere)).toEqual(hash)
    expect(await of(another)).not.toEqual(fingerprintOf(await log.viewAt(1)))
  })

  it('shows a device that a member brings in by itself, as everything else that control entries do', async () => {
    const { log: other, writer } = LogBuilder.withWriter()
    const before = fingerprintOf(await other.viewAt(other.size))
    other.act(writer, other.bodies.addDevice(writer, testDevice('ghost', other.nextNumber)))
    expect(fingerprintOf(await other.viewAt(other.size))).not.toEqual(before)
  })

  it('is not there before the log is', () => {
    expect(fingerprintOf(log.emptyView())).toBeUndefined()
  })
})

describe('its digits (R-PRINT-2)', () => {
  it('are 60 in 12 groups of 5', () => {
    for (let i = 0; i < 50; i++) expect(fingerprintDigits(bytesOf(`${i}`))).toMatch(/^[0-9]{5}( [0-9]{5}){11}$/)
  })

  it('are one way to write a hash, in all parts', () => {
    expect(fingerprintDigits(hash)).toBe(fingerprintDigits(hash.slice()))
    const other = fingerprintDigits(hash.map((byte, at) => (at === 31 ? byte ^ 1 : byte))).split(' ')
    const groups = fingerprintDigits(hash).split(' ')
    expect(groups.filter((group, i) => group === other[i])).toEqual([])
  })

  it('are what they were: people compare them between versions', () => {
    expect(fingerprintDigits(new Uint8Array(32))).toBe(ZERO_DIGITS)
  })
})

describe('its QR code (R-PRINT-3)', () => {
  const encoded = () => encodeFingerprint({ space: log.space, hash, note: NOTE })
  const spelled = (item: Cbor) => `sealog-fingerprint:${toBase64Url(encodeCbor(item))}`
  const decode = (text: string) => verdictOf(() => decodeFingerprint(text))

  it('reads as what was written', () => {
    expect(decodeFingerprint(encoded())).toEqual({ space: log.space, hash, note: NOTE })
  })

  it('of a later version is for a later build (R-UPGRADE-1)', async () => {
    expect(await decode(spelled([2, idBytes(log.space), hash, NOTE]))).toBe('ERR_UPGRADE')
    expect(await decode(spelled([2]))).toBe('ERR_UPGRADE')
  })

  it('that is garbage is refused with a code', async () => {
    const text = encoded()
    const garbage = [
      '',
      'sealog-fingerprint:',
      'https://example.org',
      text.slice('sealog-fingerprint:'.length),
      `${text}=`,
      `${text} `,
      text.slice(0, -3),
      `sealog-fingerprint:${'A'.repeat(64 * 1024)}`,
      spelled([]),
      spelled('text'),
      spelled([1, idBytes(log.space), hash]),
      spelled([1, idBytes(log.space), hash.slice(1), NOTE]),
      spelled([1, hash.slice(1), hash, NOTE]),
      spelled([1, idBytes(log.space), hash, NOTE, 0]),
      spelled([1, idBytes(log.space), hash, new Uint8Array(17 * 1024)]),
    ]
    for (const each of garbage) expect(await decode(each), each.slice(0, 60)).toMatch(/^ERR_(MALFORMED|LIMIT)$/)
    for (const each of [undefined, 7, null]) expect(() => decodeFingerprint(each as never)).toThrow(TypeError)
  })

  it('with a character changed never reads as the same', () => {
    const text = encoded()
    const start = 'sealog-fingerprint:'.length
    for (let at = start; at < text.length; at += 7) {
      const other = `${text.slice(0, at)}${text[at] === 'A' ? 'B' : 'A'}${text.slice(at + 1)}`
      try {
        expect(decodeFingerprint(other)).not.toEqual({ space: log.space, hash, note: NOTE })
      } catch (error) {
        expect(error).toMatchObject({ code: expect.stringMatching(/^ERR_/) })
      }
    }
  })
})

/** Of 32 zero bytes, computed apart from this code. */
const ZERO_DIGITS = '02270 80701 38675 49934 34051 21362 39094 68239 29974 83219 74705 95103'
