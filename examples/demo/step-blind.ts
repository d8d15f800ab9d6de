import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Canary, canaryOf, type Encoding, sampleTyping, utf16 } from './canaries.ts'
import type { Histories } from './histories.ts'
import { type Hit, searchBytes, writtenAs } from './search-node.ts'
import { DUET_NAME, DUET_TITLE, JOURNAL_NAME, NOTE_NAME, NOTE_TITLE, PEOPLE, SPACE_NAME, type Stage } from './stage.ts'

/** Samples of the text of each document. */
const SAMPLES = 10

export interface Searched {
  readonly canaries: number
  /** What the relay keeps, what it logs, and what passed on the wire, in bytes. */
  readonly bytes: number
  /** One line per hit: where, and what. */
  readonly hits: readonly string[]
  /** Occurrences in a plain save of the two notes. */
  readonly controlHits: number
  /** The capture shows, without the mask, what A certainly sent in clear: the relay's address. */
  readonly sawTheWire: boolean
  /** Ways of writing in which the search did not find what is certainly there. */
  readonly unseen: readonly Encoding[]
}

/** 4. Looks for what people wrote, and how they call things, in everything that left the devices. */
export async function searchForPlaintext(
  stage: Stage,
  documents: readonly string[],
  histories: Histories,
): Promise<Searched> {
  const canaries = canariesOf(histories)
  const places = [...filesBelow(stage.relayData), stage.relayLog, ...stage.captures]
  let bytes = 0
  const hits: string[] = []
  for (const path of places) {
    const content = readFileSync(path)
    bytes += content.length
    for (const { text, encoding } of searchBytes(content, canaries)) hits.push(`“${text}” as ${encoding} in ${path}`)
  }
  const saves = await savePlainly(stage, documents)
  const control = saves.flatMap(save => searchBytes(save, canaries))
  return {
    canaries: canaries.length,
    bytes,
    hits,
    controlHits: control.length,
    sawTheWire: searchBytes(readFileSync(stage.captures[1]), [canaryOf(stage.wire.url)]).length > 0,
    unseen: unseenEncodings(saves, canaries),
  }
}

function canariesOf({ one, two }: Histories): readonly Canary[] {
  const names = [SPACE_NAME, NOTE_TITLE, NOTE_NAME, DUET_TITLE, DUET_NAME, JOURNAL_NAME, ...Object.values(PEOPLE)]
  const typed = [one.edits, ...two.byAgent].flatMap(edits => sampleTyping(edits, SAMPLES))
  return [...new Set([...names, ...typed])].map(canaryOf)
}

async function savePlainly({ a, folder }: Stage, documents: readonly string[]): Promise<readonly Uint8Array[]> {
  const saves: Uint8Array[] = []
  for (const [i, document] of documents.entries()) {
    const path = join(folder, `plain-${i}.automerge`)
    await a.ask.savePlainly(document, path)
    saves.push(readFileSync(path))
  }
  return saves
}

/** A search that finds nothing proves something only if it finds what is there, however it is written. */
function unseenEncodings(saves: readonly Uint8Array[], canaries: readonly Canary[]): readonly Encoding[] {
  const written = saves.flatMap(save => {
    const text = new TextDecoder('latin1').decode(save)
    const asText = (['hex', 'base64', 'base64url'] as const).map(encoding => writtenAs(save, encoding))
    return [save, utf16(text, true), utf16(text, false), ...asText]
  })
  const seen = new Set<Encoding>(written.flatMap(bytes => searchBytes(bytes, canaries)).map((hit: Hit) => hit.encoding))
  return (['utf-8', 'utf-16', 'hex', 'base64'] as const).filter(encoding => !seen.has(encoding))
}

function filesBelow(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name))
}
