import type { ErrorCode, SpaceStatus } from 'sealog/node'
import type { Edit } from './traces.ts'

/** The text in a document of the demonstration. */
export interface Note {
  title: string
  text: string
}

/** A document that holds every id of the journal once: in a list, and in a text. */
export interface Journal {
  ids: string[]
  text: string
}

export interface StoreDigest {
  /** SHA-256 over all rows, in hex. */
  readonly sha256: string
  readonly rows: number
}

/** What a replica process does when asked to. Ids, links and digests are texts; times are milliseconds. */
export interface ReplicaCommands {
  open(options: { readonly store: string; readonly relay: string; readonly name: string }): Promise<void>
  createSpace(name: string): Promise<string>
  join(link: string): Promise<string>
  /** Opens a space of the store, as after a restart. */
  enter(space: string): Promise<void>
  invite(): Promise<string>
  createNote(title: string, name: string): Promise<string>
  createJournal(name: string): Promise<string>
  /** Types edits counted in UTF-16 code units; every one is a change of its own. @returns the time it took */
  type(document: string, edits: readonly Edit[]): Promise<number>
  /**
   * The same with positions beyond the end moved to the end, while others write too.
   * @param exportTo file for the Automerge changes made here, one behind the other
   */
  typeClamped(document: string, edits: readonly Edit[], exportTo: string): Promise<number>
  /** Writes journalled edits without end, until `stopJournal`; `saved` and `status` events tell of them. */
  keepJournal(document: string, prefix: string): Promise<void>
  stopJournal(): Promise<void>
  /** Writes `count` lines, each an entry of its own. */
  writeEntries(document: string, count: number): Promise<void>
  /** @returns the time it took */
  sync(): Promise<number>
  pause(): Promise<void>
  resume(): Promise<void>
  status(): Promise<Pick<SpaceStatus, 'connection' | 'local' | 'confirmed' | 'storage'>>
  problems(): Promise<readonly ErrorCode[]>
  text(document: string): Promise<string>
  heads(document: string): Promise<readonly string[]>
  ids(document: string): Promise<readonly string[]>
  /** Writes the document to a file as Automerge saves it without compression. */
  savePlainly(document: string, file: string): Promise<void>
  /** Over everything in this replica's store. */
  digest(): Promise<StoreDigest>
  close(): Promise<void>
}

/** What a replica process says by itself. */
export type ReplicaEvent =
  /** The edit with this id is in the local store. */
  | { readonly type: 'saved'; readonly id: string }
  | { readonly type: 'status'; readonly local: SpaceStatus['local'] }
  | { readonly type: 'problem'; readonly code: ErrorCode }

export type Call = { readonly ref: number; readonly name: keyof ReplicaCommands; readonly args: readonly unknown[] }

export type Answer =
  | { readonly ref: number; readonly result: unknown }
  | { readonly ref: number; readonly failure: string }

export type FromReplica = Answer | { readonly event: ReplicaEvent }
