import { type ActorId, type DocumentId, encodeRange, type SpaceId, toHex } from 'sealog/protocol'
import type { Append, KeptHead, StateRows, StoredEntry, StoredHead, StoredSpace, StoredWrap } from './log-store.ts'

export const SPACE: SpaceId = 'a1'.repeat(32) as SpaceId
export const OTHER_SPACE: SpaceId = 'b2'.repeat(32) as SpaceId

/** All entries of a sample. */
export const EVERYTHING = { from: 0, to: 1000, inlineLength: 1000, maxBytes: 1_000_000 } as const
export const WHOLE = { inlineLength: 1000, maxBytes: 1_000_000 } as const

interface Sample {
  readonly from: number
  readonly count: number
  readonly bodyLength?: number
  readonly seed?: number
}

export function sampleAppend({ from, count, bodyLength = 40, seed = 0 }: Sample): Append {
  const size = from + count
  return {
    space: SPACE,
    from,
    base: sampleFrontier(from),
    entries: Array.from({ length: count }, (_, i) => sampleEntry(seed + from + i, bodyLength, from + i)),
    nodes: Array.from({ length: Math.floor(size / 2) - Math.floor(from / 2) }, (_, i) => {
      const index = Math.floor(from / 2) + i
      return [1, index, bytes(32, seed + 200 + index)] as const
    }),
    frontier: sampleFrontier(size),
    state: {
      control: [{ name: 'core', value: bytes(100, seed + from + 3) }],
      documents: [{ document: documentId(1), value: bytes(20, seed + 4) }],
      actors: [actorRow(1, 1, seed + 5)],
    },
    wraps: [],
    dropped: [],
    isRestored: false,
  }
}

/** Of one size always the same: samples follow each other in whatever groups, and whatever their entries are. */
export function sampleFrontier(size: number, seed: number = size): Uint8Array {
  return encodeRange({ size, hashes: Array.from(binary(size), (_, i) => bytes(32, seed + 100 + i)) })
}

/** What the entry at `index` delivers, to as many devices, whose numbers are not their places. */
export function sampleWraps(index: number, count: number): readonly StoredWrap[] {
  return Array.from({ length: count }, (_, position) => ({
    index,
    position,
    device: 2 * position + 1,
    wrap: bytes(1168, index + position),
  }))
}

/** Of one actor, which writes an entry of the sample document for each place in the log. */
function sampleEntry(seed: number, bodyLength: number, seq: number): StoredEntry {
  return {
    header: bytes(200 + (seed % 3), seed),
    hash: bytes(32, seed + 1),
    signature: bytes(64, seed + 2),
    document: documentId(1),
    actor: actorId(1),
    seq,
    isControl: seed % 2 === 0,
    isSnapshot: seed % 3 === 0,
    seenSize: seed,
    bodyLength,
    body: bytes(bodyLength, seed + 3),
    replaced: bytes(seed % 60, seed + 4),
  }
}

export interface Author {
  readonly document: number
  readonly actor: number
  readonly seq: number
  readonly isControl?: boolean
}

/** An append whose entries are by these actors, each with a row in the state. */
export function authoredAppend(from: number, authors: readonly Author[]): Append {
  const append = sampleAppend({ from, count: authors.length })
  const entries = append.entries.map((entry, i) => {
    const { document, actor, seq, isControl = false } = authors[i] as Author
    return { ...entry, document: documentId(document), actor: actorId(actor), seq, isControl }
  })
  const actors = new Map(authors.map(({ document, actor }) => [actor, actorRow(document, actor, actor)]))
  return { ...append, entries, state: { ...append.state, actors: [...actors.values()] } }
}

export function withBody(append: Append, body: Uint8Array): Append {
  return { ...append, entries: append.entries.map(entry => ({ ...entry, bodyLength: body.length, body })) }
}

/** What is stored after a first append, or after one that follows others of so many bytes and replaces all their rows. */
export function spaceAfter({ from, base, entries, frontier, state, wraps }: Append, bytesBefore = 0): StoredSpace {
  const bytes = bytesBefore + lengthOf(entries) + wraps.reduce((sum, { wrap }) => sum + wrap.length, 0)
  return { size: from + entries.length, frontier, state, bytes, floor: 0, base }
}

/** As it is kept where no later one was signed. */
export function kept(head: StoredHead): KeptHead {
  return { ...head, latest: head.time, abandoned: 0 }
}

export function head(size: number, time: number): StoredHead {
  return { size, time, note: bytes(150, size + time) }
}

export function actorRow(document: number, actor: number, seed: number): StateRows['actors'][number] {
  return { document: documentId(document), actor: actorId(actor), value: bytes(90, seed) }
}

export function actorId(number: number): ActorId {
  return `0${number}`.repeat(16) as ActorId
}

export function documentId(number: number): DocumentId {
  return `d${number}`.repeat(16) as DocumentId
}

export function bytes(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (seed * 31 + i * 7) % 251)
}

/** The set bits of a number. */
function binary(value: number): string {
  return value.toString(2).replaceAll('0', '')
}

/** What counts towards `maxBytes`. */
export function lengthOf(entries: readonly StoredEntry[]): number {
  return entries.reduce(
    (sum, { header, signature, body }) => sum + header.length + signature.length + (body?.length ?? 0),
    0,
  )
}

/** Rows come in any order. */
export function sortedRows<T extends { readonly value: Uint8Array }>(rows: readonly T[] | undefined): readonly T[] {
  return [...(rows ?? [])].sort((a, b) => toHex(a.value).localeCompare(toHex(b.value)))
}
