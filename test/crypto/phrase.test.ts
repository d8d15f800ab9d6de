import { describe, expect, it } from 'vitest'
import { fromHex, toHex } from '../../src/bytes.ts'
import { generatePhrase, seedOfPhrase } from '../../src/crypto/phrase.ts'
import { SealogError } from '../../src/errors.ts'

const times = (count: number, word: string): string => Array.from({ length: count }, () => word).join(' ')

/** All English vectors of BIP-39 that have 24 words: entropy and phrase. */
const VECTORS: readonly (readonly [entropy: string, phrase: string])[] = [
  ['00'.repeat(32), `${times(23, 'abandon')} art`],
  [
    '7f'.repeat(32),
    `${times(2, 'legal winner thank year wave sausage worth useful')} legal winner thank year wave sausage worth title`,
  ],
  [
    '80'.repeat(32),
    `${times(2, 'letter advice cage absurd amount doctor acoustic avoid')} letter advice cage absurd amount doctor acoustic bless`,
  ],
  ['ff'.repeat(32), `${times(23, 'zoo')} vote`],
  [
    '68a79eaca2324873eacc50cb9c6eca8cc68ea5d936f98787c60c7ebc74e6ce7c',
    'hamster diagram private dutch cause delay private meat slide toddler razor book happy fancy gospel tennis maple dilemma loan word shrug inflict delay length',
  ],
  [
    '9f6a2878b2520799a44ef18bc7df394e7061a224d2c33cd015b157d746869863',
    'panda eyebrow bullet gorilla call smoke muffin taste mesh discover soft ostrich alcohol speed nation flash devote level hobby quick inner drive ghost inside',
  ],
  [
    '066dca1a2bb7e8a1db2832148ce9933eea0f3ac9548d793112d9a95c9407efad',
    'all hour make first leader extend hole alien behind guard gospel lava path output census museum junior mass reopen famous sing advance salt reform',
  ],
  [
    'f585c11aec520db57dd353c69554b21a89b20fb0650966fa0a9d6f74fd989d8f',
    'void come effort suffer camp survey warrior heavy shoot primary clutch crush open amazing screen patrol group space point ten exist slush involve unfold',
  ],
]
const [, PHRASE] = VECTORS[4] as readonly [string, string]

async function refusalOf(phrase: string): Promise<SealogError> {
  const error = await seedOfPhrase(phrase).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(SealogError)
  return error as SealogError
}

describe('a recovery phrase (R-PHRASE-1)', () => {
  it.each(VECTORS)('of entropy %s is the one of BIP-39', async (entropy, phrase) => {
    expect(await generatePhrase(() => fromHex(entropy))).toBe(phrase)
    expect(toHex(await seedOfPhrase(phrase))).toBe(entropy)
  })

  it('stands for the very bytes that were drawn, 32 of them', async () => {
    const asked: number[] = []
    const drawn = crypto.getRandomValues(new Uint8Array(32))
    const phrase = await generatePhrase(length => {
      asked.push(length)
      return drawn
    })
    expect(asked).toEqual([32])
    expect(phrase.split(' ')).toHaveLength(24)
    expect(await seedOfPhrase(phrase)).toEqual(drawn)
    await expect(generatePhrase(() => new Uint8Array(16))).rejects.toThrow(TypeError)
  })

  it.each([
    ['in capitals', PHRASE.toUpperCase()],
    ['over several lines and with tabs', `\n  ${PHRASE.replaceAll(' ', ' \t\r\n')}  \n`],
    ['with no-break and ideographic spaces', PHRASE.replaceAll(' ', '\u00a0\u3000')],
    ['in full-width letters', [...PHRASE].map(char => (char === ' ' ? char : wide(char))).join('')],
  ])('is read %s', async (_, spelling) => {
    expect(await seedOfPhrase(spelling)).toEqual(await seedOfPhrase(PHRASE))
  })
})

describe('what is no recovery phrase is refused, with a reason and without a word of it (R-PHRASE-2)', () => {
  const words = PHRASE.split(' ')

  it.each([
    ['nothing', '', 'length', undefined],
    ['23 words', words.slice(1).join(' '), 'length', undefined],
    ['25 words', `${PHRASE} length`, 'length', undefined],
    ['a valid phrase of 12 words', `${times(11, 'abandon')} about`, 'length', undefined],
    ['a word that is not in the list', words.with(7, 'meet').join(' '), 'word', 7],
    ['two of them: the first', words.with(20, 'xyz').with(2, 'privat').join(' '), 'word', 2],
    ['another word of the list', words.with(7, 'metal').join(' '), 'checksum', undefined],
    [
      'two words the other way round',
      words
        .with(0, words[1] as string)
        .with(1, words[0] as string)
        .join(' '),
      'checksum',
      undefined,
    ],
  ])('%s', async (_, phrase, reason, index) => {
    const error = await refusalOf(phrase)
    expect(error.code).toBe('ERR_PHRASE')
    expect(error.retryable).toBe(false)
    expect(error.details).toEqual(index === undefined ? { reason } : { reason, index })
    // All that may be shown or logged of it.
    const shown = `${error.message} ${JSON.stringify(error.details)} ${String(error.cause ?? '')}`
    for (const word of ['meet', 'metal', 'xyz', 'privat', 'hamster', 'diagram', 'abandon'])
      expect(shown).not.toContain(word)
  })

  it('is misuse where it is no text at all', async () => {
    await expect(seedOfPhrase(undefined as never)).rejects.toThrow(TypeError)
  })
})

/** U+FF41 … for a … z. */
function wide(char: string): string {
  return String.fromCodePoint((char.codePointAt(0) as number) + 0xfee0)
}
