import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, resolve } from 'node:path'
import { gunzipSync } from 'node:zlib'

/** One edit of a text: position and number of deleted characters in Unicode code points, and what is inserted. */
export type Edit = readonly [position: number, deleted: number, inserted: string]

/** What one author typed, in order. */
export interface SequentialTrace {
  readonly kind: 'sequential'
  readonly edits: readonly Edit[]
  /** What a correct replay of all edits ends with. */
  readonly endContent: string
}

/** Edits of one author that apply to the merge of the transactions they name as parents. */
export interface Transaction {
  readonly parents: readonly number[]
  readonly agent: number
  readonly edits: readonly Edit[]
}

/** What several authors typed at the same time. */
export interface ConcurrentTrace {
  readonly kind: 'concurrent'
  readonly agents: number
  readonly transactions: readonly Transaction[]
  readonly endContent: string
}

export type Trace = SequentialTrace | ConcurrentTrace

/**
 * Reads a recorded editing history, gzipped or not, in the JSON format of the published editing traces.
 * @throws Error naming the file where it cannot be read as one
 */
export function readTrace(path: string): Trace {
  try {
    const bytes = readFileSync(path)
    const isGzip = bytes[0] === 0x1f && bytes[1] === 0x8b
    return asTrace(JSON.parse(new TextDecoder().decode(isGzip ? gunzipSync(bytes) : bytes)))
  } catch (cause) {
    throw new Error(`${path} cannot be read as an editing history: ${(cause as Error).message}`, { cause })
  }
}

/** The project's own folder, in the sources and in what is built from them. */
export function projectFolder(): string {
  return dirname(createRequire(import.meta.url).resolve('sealog/package.json'))
}

/** Path of a recorded history among the shared data; undefined where this machine does not have it. */
export function sharedTracePath(name: string): string | undefined {
  const path = resolve(projectFolder(), process.env.SEALOG_SHARED ?? '../shared', 'traces', `${name}.json.gz`)
  return existsSync(path) ? path : undefined
}

function asTrace(json: unknown): Trace {
  const { kind, startContent = '', endContent, numAgents, txns } = asRecord(json, 'trace')
  if (startContent !== '') throw new Error('startContent: expected an empty text')
  if (typeof endContent !== 'string') throw new Error('endContent: expected a text')
  if (!Array.isArray(txns) || txns.length === 0) throw new Error('txns: expected a list')
  if (kind !== 'concurrent') {
    const edits = txns.flatMap((txn, i) => asEdits(asRecord(txn, `txns[${i}]`).patches, `txns[${i}].patches`))
    return { kind: 'sequential', edits, endContent }
  }
  const agents = asCount(numAgents, 'numAgents')
  const transactions = txns.map((txn, i): Transaction => {
    const { parents, agent, patches } = asRecord(txn, `txns[${i}]`)
    if (!Array.isArray(parents)) throw new Error(`txns[${i}].parents: expected a list`)
    return {
      parents: parents.map(parent => asCount(parent, `txns[${i}].parents`, i)),
      agent: asCount(agent, `txns[${i}].agent`, agents),
      edits: asEdits(patches, `txns[${i}].patches`),
    }
  })
  return { kind: 'concurrent', agents, transactions, endContent }
}

function asEdits(patches: unknown, what: string): readonly Edit[] {
  if (!Array.isArray(patches)) throw new Error(`${what}: expected a list`)
  return patches.map((patch): Edit => {
    const [position, deleted, inserted] = Array.isArray(patch) ? patch : []
    if (typeof inserted !== 'string') throw new Error(`${what}: expected [position, deleted, inserted]`)
    return [asCount(position, what), asCount(deleted, what), inserted]
  })
}

function asRecord(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null) throw new Error(`${what}: expected an object`)
  return value as Record<string, unknown>
}

function asCount(value: unknown, what: string, below: number = Number.MAX_SAFE_INTEGER): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value < below) return value
  throw new Error(`${what}: expected a whole number below ${below}`)
}
