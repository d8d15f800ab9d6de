import { deriveHistory, documentationText } from './derived-history.ts'
import { replayPlainly } from './plain-text.ts'
import {
  type ConcurrentTrace,
  type Edit,
  projectFolder,
  readTrace,
  type SequentialTrace,
  sharedTracePath,
} from './traces.ts'

/** How much each of two people types at the same time where no recorded history says it. */
const DERIVED_CONCURRENT_EDITS = 8_000
const SEED = 20_240_229

/** What is typed in the demonstration, and where it comes from. */
export interface Histories {
  readonly one: { readonly source: string; readonly edits: readonly Edit[]; readonly expected: string }
  readonly two: { readonly source: string; readonly byAgent: readonly [readonly Edit[], readonly Edit[]] }
}

/**
 * Recorded histories where this machine has them; else histories derived from the project's own documentation.
 * @param count edits of the history of one author, at most
 * @throws Error where a history is required (`SEALOG_REQUIRE` lists `shared`) or named and cannot be read
 */
export function chooseHistories(count: number, file: string | undefined): Histories {
  return { one: oneAuthor(count, file), two: twoAuthors() }
}

function oneAuthor(count: number, file: string | undefined): Histories['one'] {
  const path = file ?? sharedPath('automerge-paper')
  if (path === undefined) {
    const edits = deriveHistory(documentationText(projectFolder()), count, SEED)
    return { source: 'derived from the documentation', edits, expected: replayPlainly(edits) }
  }
  const trace = sequential(path)
  const edits = trace.edits.slice(0, count)
  const expected = replayPlainly(edits)
  if (edits.length === trace.edits.length && expected !== trace.endContent) {
    throw new Error(`${path}: a plain replay of all edits does not end with endContent`)
  }
  return { source: file === undefined ? 'a recorded LaTeX paper' : file, edits, expected }
}

function twoAuthors(): Histories['two'] {
  const path = sharedPath('friendsforever')
  if (path === undefined) {
    const text = documentationText(projectFolder())
    const derive = (agent: number): readonly Edit[] => deriveHistory(text, DERIVED_CONCURRENT_EDITS, SEED + 1 + agent)
    return { source: 'derived from the documentation', byAgent: [derive(0), derive(1)] }
  }
  const trace = concurrent(path)
  const typedBy = (agent: number): readonly Edit[] =>
    trace.transactions.filter(transaction => transaction.agent === agent).flatMap(transaction => transaction.edits)
  return { source: 'two recorded people', byAgent: [typedBy(0), typedBy(1)] }
}

function sharedPath(name: string): string | undefined {
  const path = sharedTracePath(name)
  const isRequired = (process.env.SEALOG_REQUIRE ?? '').split(',').includes('shared')
  if (path === undefined && isRequired) {
    throw new Error(`${name}.json.gz is not there: set SEALOG_SHARED to the folder of shared data`)
  }
  return path
}

function sequential(path: string): SequentialTrace {
  const trace = readTrace(path)
  if (trace.kind === 'sequential') return trace
  throw new Error(`${path}: expected the history of one author`)
}

function concurrent(path: string): ConcurrentTrace {
  const trace = readTrace(path)
  if (trace.kind === 'concurrent' && trace.agents === 2) return trace
  throw new Error(`${path}: expected a history of two people`)
}
