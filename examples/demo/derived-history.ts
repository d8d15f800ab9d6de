import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Edit } from './traces.ts'

/** How often a person at the keyboard does something else than to type the next character, of 1000 keys. */
const TYPOS = 30
const JUMPS = 6
const SECOND_THOUGHTS = 8
/** Characters that one second thought takes away at most. */
const LONGEST_REGRET = 12

/** The project's own README and documentation, one text. @throws Error where there is none */
export function documentationText(project: string): string {
  const pages = ['README.md', ...markdownBelow(project, 'docs')]
  const text = pages.map(page => readIfThere(join(project, page))).join('\n')
  if (text.trim() === '') throw new Error(`no documentation in ${project}, from which to derive an editing history`)
  return text
}

/**
 * An editing history made up from a text: typed key by key, with slips that are taken back, second thoughts and cursor
 * jumps. The same arguments give the same history.
 * @param count number of edits
 * @param seed any whole number
 */
export function deriveHistory(text: string, count: number, seed: number): readonly Edit[] {
  const random = seededRandom(seed)
  const characters = [...text]
  const edits: Edit[] = []
  let length = 0
  let cursor = 0
  const insert = (character: string): void => {
    edits.push([cursor, 0, character])
    cursor++
    length++
  }
  const backspace = (): void => {
    cursor--
    length--
    edits.push([cursor, 1, ''])
  }
  for (let next = 0; edits.length < count; ) {
    const key = random(1000)
    if (key < TYPOS) {
      insert(characters[random(characters.length)] as string)
      backspace()
    } else if (key < TYPOS + JUMPS) {
      cursor = random(length + 1)
    } else if (key < TYPOS + JUMPS + SECOND_THOUGHTS) {
      for (let left = random(LONGEST_REGRET); left > 0 && cursor > 0; left--) backspace()
    } else {
      insert(characters[next++ % characters.length] as string)
    }
  }
  return edits.slice(0, count)
}

function markdownBelow(project: string, folder: string): readonly string[] {
  const names = readdirSync(join(project, folder), { recursive: true, encoding: 'utf8' })
  return names
    .filter(name => name.endsWith('.md'))
    .map(name => join(folder, name))
    .sort()
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

/** Whole numbers from 0 to below the limit: a multiplicative generator modulo the prime 2³¹−1. */
function seededRandom(seed: number): (limit: number) => number {
  const modulus = 0x7fffffff
  let state = (Math.abs(seed) % (modulus - 1)) + 1
  return limit => {
    state = (state * 48_271) % modulus
    return state % limit
  }
}
