import { decodeDocumentRecord, parseSpaceId, SealogError, type SpaceId } from 'sealog/protocol'
import { type Command, type CommandArguments, type CommandContext, requiredText, withStore } from './command.ts'
import { spacesOf } from './fsck.ts'
import { KEPT_COSIGNED, type LogStore } from './log-store.ts'
import { isTombstone } from './log-store-fence.ts'
import { readHeadOrDamage } from './log-store-head-checksum.ts'

const GROUP_ENTRIES = 1024

/** Removes what nobody can get any more, or one space for good; no relay may use the store meanwhile. */
export const gcCommand: Command = {
  name: 'gc',
  flags: { 'dry-run': 'switch', 'remove-space': 'text', yes: 'switch' },
  help: [
    'gc [--dry-run]                remove what nobody can get any more, and give unused room back. Stop the relay before',
    'gc --remove-space HEX --yes   remove one space for good: it can neither be restored nor be created again',
  ],
  run: runGc,
}

async function runGc(context: CommandContext, given: CommandArguments): Promise<number> {
  const dryRun = given['dry-run'] === true
  if (given['remove-space'] !== undefined) {
    const space = parseSpaceId(requiredText(given, 'remove-space'))
    if (!dryRun && given.yes !== true) throw new TypeError('--remove-space is for good: add --yes')
    return withStore(context, dryRun, store => removeSpace(context, store, space, dryRun))
  }
  return withStore(context, dryRun, store => collect(context, store, dryRun))
}

async function removeSpace(
  { stdout }: CommandContext,
  store: LogStore,
  space: SpaceId,
  dryRun: boolean,
): Promise<number> {
  const { size, bytes } = await store.readSize(space)
  // A head that is damaged stands for a space as well, and this is a way to be rid of it.
  const { head, damage } = await readHeadOrDamage(store, space)
  if (size === 0 && head === undefined && damage === undefined)
    throw new SealogError('ERR_UNKNOWN_SPACE', 'the store has no such space')
  if (!dryRun) {
    await store.removeSpace(space)
    // Other processes that serve it find out.
    await store.announce(space)
  }
  stdout(`space ${space}: ${size} entries, ${bytes} bytes ${dryRun ? 'would be removed' : 'removed for good'}\n`)
  return 0
}

async function collect({ stdout }: CommandContext, store: LogStore, dryRun: boolean): Promise<number> {
  let bodies = 0
  let bytes = 0
  let notes = 0
  for await (const space of spacesOf(store)) {
    if (isTombstone((await readHeadOrDamage(store, space)).head)) continue
    const old = await supersededBodies(store, space)
    const surplus = Math.max(0, (await store.readCosigned(space)).length - KEPT_COSIGNED)
    if (old.length === 0 && surplus === 0) continue
    bodies += old.length
    notes += surplus
    for (const { length } of old) bytes += length
    if (!dryRun) {
      await store.discard(
        space,
        old.map(({ index }) => index),
      )
    }
  }
  const what = `${bodies} superseded snapshots of ${bytes} bytes, ${notes} old notes`
  if (dryRun) {
    stdout(`${what} would be removed\n`)
    return 0
  }
  const { before, after } = await store.compact()
  stdout(`${what} removed; ${before} bytes before, ${after} after\n`)
  return 0
}

/** Bodies of snapshots that are not among the latest of their document: whoever fetches it gets a later one. */
async function supersededBodies(
  store: LogStore,
  space: SpaceId,
): Promise<readonly { readonly index: number; readonly length: number }[]> {
  const stored = await store.readSpace(space)
  if (stored === undefined) return []
  const latest = new Set<number>()
  for (const { value } of stored.state.documents) {
    for (const { index } of decodeDocumentRecord(value).snapshots) latest.add(index)
  }
  const found: { index: number; length: number }[] = []
  for (let next = 0; next < stored.size; ) {
    const range = { from: next, to: Math.min(stored.size, next + GROUP_ENTRIES), inlineLength: -1, maxBytes: 1 << 22 }
    const entries = await store.readEntries(space, range)
    if (entries.length === 0) throw new SealogError('ERR_STORE_CORRUPT', `entry ${next} of ${space} is missing`)
    for (const { isSnapshot, bodyLength } of entries) {
      const index = next++
      if (!isSnapshot || latest.has(index)) continue
      if ((await store.readBody(space, index, 0, 1)) !== undefined) found.push({ index, length: bodyLength })
    }
  }
  return found
}
