import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import * as Automerge from '@automerge/automerge'
import { nodeStore, openReplica, type Replica, type Space, type SpaceDocument } from 'sealog/node'
import { type RelayServer, startRelay } from 'sealog-relay'
import { toCodeUnits } from '../examples/demo/plain-text.ts'
import { type Edit, readTrace, sharedTracePath } from '../examples/demo/traces.ts'
import { MissingInput } from './measure.ts'

const KEYS_AT_A_TIME = 64

export interface Text {
  text: string
}

/** A replica with one document in a Node store of its own, and the relay that it writes to, all in one folder. */
export interface Bench {
  readonly relay: RelayServer
  readonly store: string
  readonly replica: Replica
  readonly space: Space
  readonly note: SpaceDocument<Text>
  /** Closes replica and relay; the folder stays. */
  close(): Promise<void>
  remove(): void
}

/** Edits of the recorded paper, in UTF-16 code units. @throws MissingInput where this machine does not have it */
export function paperEdits(count: number | undefined): readonly Edit[] {
  const path = sharedTracePath('automerge-paper')
  if (path === undefined) {
    throw new MissingInput('missing: the editing history traces/automerge-paper.json.gz, under SEALOG_SHARED')
  }
  const trace = readTrace(path)
  if (trace.kind !== 'sequential') throw new Error(`${path}: expected the history of one author`)
  return toCodeUnits(trace.edits.slice(0, count))
}

export async function startBench(): Promise<Bench> {
  const folder = mkdtempSync(join(tmpdir(), 'sealog-bench-'))
  const data = join(folder, 'relay')
  mkdirSync(data)
  const relay = await startRelay({ data, port: 0, name: 'relay.example' })
  const store = join(folder, 'replica.db')
  const replica = await openReplica({ store: nodeStore(store), relay: relay.url })
  const space = await replica.createSpace({ name: 'bench' })
  const note = await space.createDocument<Text>({ text: '' }, { name: 'paper' })
  return {
    relay,
    store,
    replica,
    space,
    note,
    close: async () => {
      await replica.close()
      await relay.close()
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

/**
 * Types edits, each a change of its own, and waits until the relay has proven them all.
 * @param keys typed before the disk and the network get their turn
 */
export async function typeAll(
  { space, note }: { readonly space: Space; readonly note: SpaceDocument<Text> },
  edits: readonly Edit[],
  keys: number = KEYS_AT_A_TIME,
): Promise<void> {
  for (const [i, [position, deleted, inserted]] of edits.entries()) {
    note.change(doc => Automerge.splice(doc, ['text'], position, deleted, inserted))
    if (i % keys === 0) await nextTurn()
  }
  await space.sync()
}

/** Size of the store's file and of what SQLite keeps beside it, in bytes. */
export function sizeOnDisk(store: string): number {
  const folder = join(store, '..')
  const files = readdirSync(folder).filter(name => join(folder, name).startsWith(store))
  return files.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0)
}
