import { ed25519 } from '@noble/curves/ed25519.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, fromHex, fromUtf8, toUtf8 } from '../../src/bytes.ts'
import { SealogError } from '../../src/errors.ts'
import { parseSpaceId } from '../../src/ids.ts'
import {
  type Checkpoint,
  encodeNote,
  encodeNoteText,
  type NoteSignature,
  originOf,
  parseNote,
  relaySignature,
} from '../../src/verify/checkpoint.ts'
import { noteKeyHash } from '../../src/verify/note-key.ts'

// RFC 8032 §7.1, test 1.
const SECRET = fromHex('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60')
const PUBLIC = fromHex('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a')

const SPACE = parseSpaceId('000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f')
const ORIGIN = `relay.example/${SPACE}`
const KEY = { name: ORIGIN, publicKey: PUBLIC }
const CHECKPOINT: Checkpoint = {
  origin: ORIGIN,
  size: 8,
  root: fromHex('5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328'),
  stateRoot: new Uint8Array(32).fill(0x5a),
  time: 1_700_000_000_000,
}

// Made by another implementation of Ed25519 and of the note format.
const TEXT = `${ORIGIN}
8
XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=
state WlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlo=
time 1700000000000
`
const SIGNATURE_LINE = `— ${ORIGIN} GCN54EZUGfjjJusIB5CHDkY8JY2wWSNG+sZRo+DthcJeesePTqO7BVORBAjnpit2Ma8Khg0c9k039izGzbWsQK0uawQ=
`
const NOTE = `${TEXT}\n${SIGNATURE_LINE}`

function relayLine(): NoteSignature {
  return {
    name: ORIGIN,
    keyHash: noteKeyHash(ORIGIN, PUBLIC),
    signature: ed25519.sign(encodeNoteText(CHECKPOINT), SECRET),
  }
}

const WITNESS: NoteSignature = {
  name: 'witness.example/Zürich',
  keyHash: Uint8Array.of(1, 2, 3, 4),
  signature: new Uint8Array(72).fill(7),
}

function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    return error instanceof SealogError ? error.code : String(error)
  }
  return 'accepted'
}

const verdict = (note: string): string => codeOf(() => parseNote(toUtf8(note)))
const changed = (from: string | RegExp, to: string): string => {
  const note = NOTE.replace(from, to)
  expect(note).not.toBe(NOTE)
  return note
}

describe('a signed checkpoint', () => {
  it('is the known answer, byte for byte', () => {
    expect(fromUtf8(encodeNoteText(CHECKPOINT))).toBe(TEXT)
    expect(fromUtf8(encodeNote(CHECKPOINT, [relayLine()]))).toBe(NOTE)
  })

  it('reads back what was written, and the signature is over the bytes before the blank line', () => {
    const note = parseNote(toUtf8(NOTE))
    expect(note.checkpoint).toEqual(CHECKPOINT)
    expect(fromUtf8(note.text)).toBe(TEXT)
    expect(ed25519.verify(relaySignature(note, KEY), note.text, PUBLIC)).toBe(true)
  })

  it('of an empty log has size 0', () => {
    const empty = { ...CHECKPOINT, size: 0, time: 0 }
    expect(parseNote(encodeNote(empty, [relayLine()])).checkpoint).toEqual(empty)
  })

  it('keeps lines by unknown keys, in their order', () => {
    const note = parseNote(encodeNote(CHECKPOINT, [WITNESS, relayLine()]))
    expect(note.signatures).toEqual([WITNESS, relayLine()])
    expect(relaySignature(note, KEY)).toEqual(relayLine().signature)
  })

  it('takes up to 16 signatures and no more', () => {
    const sixteen = new Array<NoteSignature>(16).fill(WITNESS)
    expect(parseNote(encodeNote(CHECKPOINT, sixteen)).signatures).toHaveLength(16)
    expect(() => encodeNote(CHECKPOINT, [...sixteen, WITNESS])).toThrow(TypeError)
    const line = fromUtf8(encodeNote(CHECKPOINT, [WITNESS])).slice(TEXT.length + 1)
    expect(verdict(`${TEXT}\n${line.repeat(16)}`)).toBe('accepted')
    expect(verdict(`${TEXT}\n${line.repeat(17)}`)).toBe('ERR_CHECKPOINT')
  })

  it('is at most 16 KiB long', () => {
    const long = (length: number): NoteSignature => ({ ...WITNESS, signature: new Uint8Array(length) })
    expect(() => encodeNote(CHECKPOINT, [long(12_300)])).toThrow(TypeError)
    const fits = encodeNote(CHECKPOINT, [long(12_000)])
    expect(parseNote(fits).signatures[0]?.signature).toHaveLength(12_000)
    expect(verdict(`${TEXT}\n— w ${'A'.repeat(16_400)}\n`)).toBe('ERR_CHECKPOINT')
  })

  it('has an origin made of the relay name and the space', () => {
    expect(originOf('relay.example', SPACE)).toBe(ORIGIN)
    for (const name of ['', 'a b', 'a+b', 'a\nb', 'a\u00a0b', 'a\u0000b', 'a\u007fb', '\ud800']) {
      expect(() => originOf(name, SPACE)).toThrow(TypeError)
    }
  })
})

describe('a note in any other spelling is refused', () => {
  it.each<readonly [string, string]>([
    ['nothing', ''],
    ['a text without signatures', TEXT],
    ['a blank line without signatures', `${TEXT}\n`],
    ['no blank line', `${TEXT}${SIGNATURE_LINE}`],
    ['two blank lines', `${TEXT}\n\n${SIGNATURE_LINE}`],
    ['a blank line between signatures', `${NOTE}\n${SIGNATURE_LINE}`],
    ['no final newline', NOTE.slice(0, -1)],
    ['a second final newline', `${NOTE}\n`],
    ['text after the signatures', `${NOTE}more\n`],
    ['carriage returns', NOTE.replaceAll('\n', '\r\n')],
  ])('%s', (_, note) => {
    expect(verdict(note)).toBe('ERR_CHECKPOINT')
  })

  it.each<readonly [string, string | RegExp, string]>([
    ['no origin', ORIGIN, ''],
    ['an origin without a space id', `/${SPACE}`, ''],
    ['an origin without a relay name', 'relay.example/', '/'],
    ['an origin in upper-case hex', /0a0b/, '0A0B'],
    ['an origin with a space', 'relay.', 'relay '],
    ['an origin with a no-break space', 'relay.', 'relay\u00a0'],
    ['an origin with a plus', 'relay.', 'relay+'],
    ['an origin with a control character', 'relay.', 'relay\u0001'],
    ['an origin with a delete character', 'relay.', 'relay\u007f'],
    ['a size with a leading zero', '\n8\n', '\n08\n'],
    ['a size with a sign', '\n8\n', '\n+8\n'],
    ['a negative size', '\n8\n', '\n-8\n'],
    ['a hexadecimal size', '\n8\n', '\n0x8\n'],
    ['a size with an exponent', '\n8\n', '\n8e0\n'],
    ['a size in other digits', '\n8\n', '\n٨\n'],
    ['an empty size', '\n8\n', '\n\n'],
    ['a size with a trailing space', '\n8\n', '\n8 \n'],
    ['a size of 2⁵³', '\n8\n', '\n9007199254740992\n'],
    ['a size of 17 digits', '\n8\n', '\n10000000000000000\n'],
    ['a root without padding', 'Qyg=', 'Qyg'],
    ['a root with other unused bits', 'Qyg=', 'Qyh='],
    ['a root in URL-safe base64', 'lgz+Nw', 'lgz-Nw'],
    ['a root of 31 bytes', 'RgQyg=', 'RgQw=='],
    ['a state of 33 bytes', 'Wlo=', 'Wlpa'],
    ['no state line', /state .*\n/, ''],
    ['a state line in capitals', 'state ', 'State '],
    ['a state line with two spaces', 'state ', 'state  '],
    ['no time line', /time .*\n/, ''],
    ['a time with a fraction', '1700000000000', '1700000000000.5'],
    ['a time with a leading zero', '1700000000000', '01700000000000'],
    ['a time of 2⁵³', '1700000000000', '9007199254740992'],
    ['the extension lines swapped', /(state .*\n)(time .*\n)/, '$2$1'],
    ['another extension line', /(time .*\n)/, '$1hello\n'],
    ['a hyphen for the dash', '—', '-'],
    ['an en dash for the dash', '—', '–'],
    ['two spaces after the dash', '— ', '—  '],
    ['a signature line without a name', `— ${ORIGIN} `, '— '],
    ['a signature line with an empty name', `— ${ORIGIN} `, '—  '],
    ['a key name with a plus', `— ${ORIGIN}`, '— a+b'],
    ['a key name with a control character', `— ${ORIGIN}`, '— a\u0001b'],
    ['a key name with an ideographic space', `— ${ORIGIN}`, '— a\u3000b'],
    ['a signature with unused bits', 'awQ=', 'awR='],
    ['a signature line with a third part', 'awQ=', 'awQ= x'],
    ['a signature line without a signature', / GCN.*/, ''],
    ['a signature line with an empty signature', / GCN.*/, ' '],
    ['a key hash without a signature', /GCN.*/, 'GCN54A=='],
    ['a key hash cut short', /GCN.*/, 'GCM='],
    ['a tab', 'state ', 'state\t'],
  ])('%s', (_, from, to) => {
    expect(verdict(changed(from, to))).toBe('ERR_CHECKPOINT')
  })

  it('bytes that are not UTF-8', () => {
    const bytes = toUtf8(NOTE)
    for (const bad of [Uint8Array.of(0xff), Uint8Array.of(0xc0, 0x80), Uint8Array.of(0xed, 0xa0, 0x80)]) {
      expect(codeOf(() => parseNote(concat(bad, bytes)))).toBe('ERR_CHECKPOINT')
    }
  })

  it('whatever else is accepted is written back to the same bytes', () => {
    const bytes = encodeNote(CHECKPOINT, [relayLine(), WITNESS])
    let accepted = 0
    const edits = fc.array(fc.record({ at: fc.nat({ max: bytes.length - 1 }), byte: fc.nat({ max: 255 }) }), {
      minLength: 1,
      maxLength: 3,
    })
    fc.assert(
      fc.property(edits, list => {
        const edited = bytes.slice()
        for (const { at, byte } of list) edited[at] = byte
        const result = codeOf(() => {
          const note = parseNote(edited)
          expect(encodeNote(note.checkpoint, note.signatures)).toEqual(edited)
          accepted++
        })
        expect(['accepted', 'ERR_CHECKPOINT']).toContain(result)
      }),
      { numRuns: 2_000 },
    )
    expect(accepted).toBeGreaterThan(0)
  })
})

describe('the signature of the relay', () => {
  const noteWith = (...signatures: NoteSignature[]) => parseNote(encodeNote(CHECKPOINT, signatures))

  it('is missing where only others signed', () => {
    expect(codeOf(() => relaySignature(noteWith(WITNESS), KEY))).toBe('ERR_CHECKPOINT_SIGNATURE')
  })

  it('is not one with its key hash under another name, or with its name and another key hash', () => {
    const renamed = noteWith({ ...relayLine(), name: 'other.example' })
    expect(codeOf(() => relaySignature(renamed, KEY))).toBe('ERR_CHECKPOINT_SIGNATURE')
    const rehashed = noteWith({ ...relayLine(), keyHash: Uint8Array.of(0, 0, 0, 0) })
    expect(codeOf(() => relaySignature(rehashed, KEY))).toBe('ERR_CHECKPOINT_SIGNATURE')
  })

  it('is not a signature of another type by the same key', () => {
    const cosignature = { ...relayLine(), signature: new Uint8Array(72) }
    expect(codeOf(() => relaySignature(noteWith(cosignature), KEY))).toBe('ERR_CHECKPOINT_SIGNATURE')
  })

  it('stands there once, whichever of two lines would verify', () => {
    const forged = { ...relayLine(), signature: new Uint8Array(64) }
    for (const pair of [
      [relayLine(), forged],
      [forged, relayLine()],
      [relayLine(), relayLine()],
    ]) {
      expect(codeOf(() => relaySignature(noteWith(...pair), KEY))).toBe('ERR_CHECKPOINT_SIGNATURE')
    }
  })

  it('is not looked for in a note whose origin only looks the same', () => {
    const marked = parseNote(toUtf8(`\ufeff${NOTE}`))
    expect(marked.checkpoint.origin).not.toBe(ORIGIN)
    expect(codeOf(() => relaySignature(marked, KEY))).toBe('ERR_CHECKPOINT')
  })

  it('is not looked for in a note about another log', () => {
    const other = `relay.example/${'f'.repeat(64)}`
    expect(codeOf(() => relaySignature(noteWith(relayLine()), { ...KEY, name: other }))).toBe('ERR_CHECKPOINT')
  })
})

describe('writing a note', () => {
  it('names the argument that a note cannot carry', () => {
    expect(() => encodeNoteText({ ...CHECKPOINT, origin: 'relay.example' })).toThrow('checkpoint.origin')
    expect(() => encodeNoteText({ ...CHECKPOINT, size: -1 })).toThrow('checkpoint.size')
    expect(() => encodeNoteText({ ...CHECKPOINT, size: 2 ** 53 })).toThrow('checkpoint.size')
    expect(() => encodeNoteText({ ...CHECKPOINT, root: new Uint8Array(31) })).toThrow('checkpoint.root')
    expect(() => encodeNoteText({ ...CHECKPOINT, stateRoot: new Uint8Array(33) })).toThrow('checkpoint.stateRoot')
    expect(() => encodeNoteText({ ...CHECKPOINT, time: 0.5 })).toThrow('checkpoint.time')
    expect(() => encodeNote(CHECKPOINT, [])).toThrow('signatures')
    expect(() => encodeNote(CHECKPOINT, [{ ...WITNESS, name: 'a b' }])).toThrow('signatures')
    expect(() => encodeNote(CHECKPOINT, [{ ...WITNESS, keyHash: new Uint8Array(5) }])).toThrow('signatures')
    expect(() => encodeNote(CHECKPOINT, [{ ...WITNESS, signature: new Uint8Array() }])).toThrow('signatures')
  })
})
