import type { ErrorCode } from 'sealog/node'
import { dropEntry, flipBody, flipHeader, flipSignature, LEAST_ENTRIES, replayNote, swapEntries } from './attacks.ts'
import type { ReplicaHandle } from './replica-handle.ts'
import type { Stage } from './stage.ts'
import { sameHeads } from './step-write.ts'
import type { Tampering } from './wire.ts'

/** An attack that nobody noticed by then counts as one that succeeded, in milliseconds. */
const PATIENCE = 20_000

export type Attack = 'bitFlip' | 'bitFlipBody' | 'bitFlipSignature' | 'swap' | 'drop' | 'rollback'

export interface Resisted {
  /** The code that B raised; undefined where it noticed nothing. */
  readonly detected: Readonly<Record<Attack, ErrorCode | undefined>>
  /** Attacks that changed anything in B's store. */
  readonly touched: readonly Attack[]
  /** Attacks after which B did not get to the truth although nobody was in between any more. */
  readonly stuck: readonly Attack[]
  /** Rows of B's store that were compared. */
  readonly rows: number
}

/** 5. Somebody between the relay and B changes what the relay says; then lets it pass as it is. */
export async function resistTampering(stage: Stage, document: string): Promise<Resisted> {
  const { a, b, wire } = stage
  let oldNote: Uint8Array | undefined
  wire.tamper(message => {
    oldNote ??= message.batch.note
    return message
  })
  await write(a, document)
  await b.ask.sync()
  if (oldNote === undefined) throw new Error('no checkpoint passed')
  const attacks: Record<Attack, Tampering> = {
    bitFlip: flipHeader,
    bitFlipBody: flipBody,
    bitFlipSignature: flipSignature,
    swap: swapEntries,
    drop: dropEntry,
    rollback: replayNote(oldNote),
  }
  const detected: Partial<Record<Attack, ErrorCode | undefined>> = {}
  const touched: Attack[] = []
  const stuck: Attack[] = []
  let rows = 0
  wire.tamper(undefined)
  for (const [name, tampering] of Object.entries(attacks) as [Attack, Tampering][]) {
    await b.ask.pause()
    await a.ask.resume()
    await write(a, document)
    // What the relay says to A is not to be touched.
    await a.ask.pause()
    const before = await b.ask.digest()
    wire.tamper(tampering)
    const problem = nextProblem(b)
    await b.ask.resume()
    const code = await problem
    const after = await b.ask.digest()
    wire.tamper(undefined)
    detected[name] = code
    if (after.sha256 !== before.sha256) touched.push(name)
    rows = after.rows
    await b.ask.sync()
    const heads = await Promise.all([a.ask.heads(document), b.ask.heads(document)])
    const problems = await b.ask.problems()
    if (!sameHeads(...heads) || problems.length > 0) stuck.push(name)
  }
  await a.ask.resume()
  return { detected: detected as Resisted['detected'], touched, stuck, rows }
}

/** Enough entries for every attack. */
async function write(replica: ReplicaHandle, document: string): Promise<void> {
  await replica.ask.writeEntries(document, LEAST_ENTRIES)
}

function nextProblem(replica: ReplicaHandle): Promise<ErrorCode | undefined> {
  return new Promise(resolve => {
    const end = (code: ErrorCode | undefined): void => {
      clearTimeout(timer)
      unsubscribe()
      resolve(code)
    }
    const timer = setTimeout(() => end(undefined), PATIENCE)
    const unsubscribe = replica.listen(event => {
      if (event.type === 'problem') end(event.code)
    })
  })
}
