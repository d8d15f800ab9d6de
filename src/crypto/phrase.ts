import type { Random } from '../environment.ts'
import { SealogError } from '../errors.ts'
import { assertBytes } from './checks.ts'

/** What a phrase stands for, in bytes; BIP-39 writes it as 24 words. */
const ENTROPY_LENGTH = 32
const WORD_COUNT = 24

/**
 * A fresh recovery phrase: 24 English words of BIP-39, separated by single spaces, that stand for 32 random bytes and a
 * checksum of 8 bits.
 *
 * The word list is loaded when the first phrase is made or read. A service worker has no dynamic `import()`: there this
 * works only in a bundle without chunks.
 * @throws TypeError when `random` returns another length
 */
export async function generatePhrase(random: Random): Promise<string> {
  const entropy = random(ENTROPY_LENGTH)
  assertBytes(entropy, 'random', ENTROPY_LENGTH)
  const { entropyToMnemonic, words } = await bip39()
  return entropyToMnemonic(entropy, words)
}

/**
 * The 32 bytes that a phrase stands for. They are used as they are: BIP-39 goes on with PBKDF2 because its phrases may
 * be short and take a passphrase of a person's choice; 256 random bits cannot be guessed, and stretching them only takes
 * time. As nothing is lost, the words can be found again from the bytes.
 * @param phrase upper or lower case, any white space between and around the words, any Unicode normal form
 * @returns 32 bytes
 * @throws SealogError ERR_PHRASE where this is no phrase of 24 words; `details.reason` is `length`, `word` (then
 * `details.index` is its place, from 0) or `checksum`. No error carries a word. TypeError
 */
export async function seedOfPhrase(phrase: string): Promise<Uint8Array> {
  if (typeof phrase !== 'string') throw new TypeError('phrase: expected a string')
  const given = phrase
    .normalize('NFKD')
    .toLowerCase()
    .split(/\s+/)
    .filter(word => word !== '')
  if (given.length !== WORD_COUNT) {
    throw notAPhrase(`${given.length} words where there should be ${WORD_COUNT}`, 'length')
  }
  const { mnemonicToEntropy, words } = await bip39()
  const known = new Set(words)
  const unknown = given.findIndex(word => !known.has(word))
  if (unknown >= 0) throw notAPhrase(`word ${unknown + 1} is not in the list`, 'word', unknown)
  try {
    return mnemonicToEntropy(given.join(' '), words)
  } catch {
    // All that is left to be wrong. The error is not passed on: what it says is not ours to answer for.
    throw notAPhrase('the words do not belong together: one of them is another, or in another place', 'checksum')
  }
}

async function bip39(): Promise<{
  readonly words: string[]
  readonly entropyToMnemonic: (entropy: Uint8Array, words: string[]) => string
  readonly mnemonicToEntropy: (phrase: string, words: string[]) => Uint8Array
}> {
  const [{ entropyToMnemonic, mnemonicToEntropy }, { wordlist }] = await Promise.all([
    import('@scure/bip39'),
    import('@scure/bip39/wordlists/english.js'),
  ])
  return { words: wordlist, entropyToMnemonic, mnemonicToEntropy }
}

function notAPhrase(message: string, reason: string, index?: number): SealogError {
  return new SealogError('ERR_PHRASE', message, { details: { reason, ...(index === undefined ? {} : { index }) } })
}
