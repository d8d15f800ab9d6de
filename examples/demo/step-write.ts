import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as Automerge from '@automerge/automerge'
import type { Note } from './commands.ts'
import type { Histories } from './histories.ts'
import { toCodeUnits } from './plain-text.ts'
import { DUET_NAME, DUET_TITLE, NOTE_NAME, NOTE_TITLE, type Stage } from './stage.ts'

export interface Typed {
  readonly document: string
  readonly edits: number
  /** Entries that these edits became. */
  readonly entries: number
  readonly typingSeconds: number
  /** From B's going online until it had verified and applied everything. */
  readonly catchUpSeconds: number
  /** Both ways and on all connections, from the first key until B had everything. */
  readonly wireBytes: number
  /** B had nothing of it before it came back. */
  readonly wasAway: boolean
  /** A and B show what a plain replay of the same edits shows. */
  readonly isRight: boolean
}

/** 2a. A types while B is offline; B comes online and catches up. */
export async function typeAndCatchUp({ a, b, wire }: Stage, history: Histories['one']): Promise<Typed> {
  const document = await a.ask.createNote(NOTE_TITLE, NOTE_NAME)
  await a.ask.sync()
  await b.ask.sync()
  await b.ask.text(document)
  await b.ask.pause()
  const before = { bytes: wire.bytes, entries: (await a.ask.status()).confirmed.size }
  const typing = await a.ask.type(document, toCodeUnits(history.edits))
  await a.ask.sync()
  const entries = (await a.ask.status()).confirmed.size - before.entries
  const wasAway = (await b.ask.text(document)) === ''
  const online = performance.now()
  await b.ask.resume()
  await b.ask.sync()
  const catchUp = performance.now() - online
  const wireBytes = wire.bytes - before.bytes
  const texts = await Promise.all([a.ask.text(document), b.ask.text(document)])
  return {
    document,
    edits: history.edits.length,
    entries,
    typingSeconds: typing / 1000,
    catchUpSeconds: catchUp / 1000,
    wireBytes,
    wasAway,
    isRight: texts.every(text => text === history.expected),
  }
}

export interface TypedTogether {
  readonly document: string
  readonly edits: number
  readonly seconds: number
  /** A and B have the same document. */
  readonly isSame: boolean
  /** It is the one that plain Automerge makes of what each of them wrote. */
  readonly isRight: boolean
}

/** 2b. A and B type at the same time; what each wrote is merged by plain Automerge, which then says what is right. */
export async function typeTogether({ a, b, folder }: Stage, history: Histories['two']): Promise<TypedTogether> {
  const document = await a.ask.createNote(DUET_TITLE, DUET_NAME)
  await a.ask.sync()
  await b.ask.sync()
  const base = join(folder, 'duet-base.automerge')
  await a.ask.savePlainly(document, base)
  const own = [join(folder, 'duet-a.changes'), join(folder, 'duet-b.changes')] as const
  const [editsOfA, editsOfB] = history.byAgent
  const start = performance.now()
  await Promise.all([
    a.ask.typeClamped(document, toCodeUnits(editsOfA), own[0]),
    b.ask.typeClamped(document, toCodeUnits(editsOfB), own[1]),
  ])
  for (const replica of [a, b, a]) await replica.ask.sync()
  const seconds = (performance.now() - start) / 1000
  const merged = mergePlainly(base, own)
  const heads = await Promise.all([a.ask.heads(document), b.ask.heads(document)])
  const texts = await Promise.all([a.ask.text(document), b.ask.text(document)])
  return {
    document,
    edits: editsOfA.length + editsOfB.length,
    seconds,
    isSame: sameHeads(heads[0], heads[1]) && texts[0] === texts[1],
    isRight: heads.every(held => sameHeads(held, merged.heads)) && texts.every(text => text === merged.text),
  }
}

function mergePlainly(
  base: string,
  changes: readonly string[],
): { readonly heads: readonly string[]; readonly text: string } {
  let doc = Automerge.load<Note>(readFileSync(base))
  for (const path of changes) doc = Automerge.loadIncremental(doc, readFileSync(path))
  const missing = Automerge.getMissingDeps(doc, [])
  if (missing.length > 0) throw new Error('the exported changes name changes that neither side exported')
  return { heads: Automerge.getHeads(doc), text: doc.text }
}

export function sameHeads(a: readonly string[], b: readonly string[]): boolean {
  return [...a].sort().join() === [...b].sort().join()
}
