import { INLINE_BODY_LENGTH, parseNote, SealogError, type SpaceId } from 'sealog/protocol'
import { WRAPS_PER_RECORD } from './backup-format.ts'
import type { BackupWriter } from './backup-writer.ts'
import { delivers } from './fsck-entry.ts'
import type { LogStore, StoredEntry } from './log-store.ts'
import { readHeadOrDamage } from './log-store-head-checksum.ts'

const GROUP_ENTRIES = 512
const GROUP_BYTES = 4 * 1024 * 1024

/**
 * Writes one space, as it is now: entries below a size that was read never change, so that the relay may go on. Of a
 * snapshot that another takes the place of meanwhile, the body may be missing; nobody asks for it any more.
 * @returns how many entries; 0 where there was nothing to write
 * @throws SealogError whatever the store throws
 */
export async function backUpSpace(store: LogStore, space: SpaceId, writer: BackupWriter): Promise<number> {
  // Before the size, so that the entries that it is about are in the backup.
  // A damaged one is for fsck to tell, and no reason to go without a backup.
  const { head } = await readHeadOrDamage(store, space)
  const { size } = await store.readSize(space)
  if (size === 0) return 0
  const note = head === undefined || head.note.length === 0 ? undefined : head.note
  await writer.add({ type: 'space', space, size, head: note })
  for (const cosigned of await store.readCosigned(space)) {
    if (isAbout(cosigned, size)) await writer.add({ type: 'cosigned', note: cosigned })
  }
  for (let next = 0; next < size; ) {
    const to = Math.min(size, next + GROUP_ENTRIES)
    const range = { from: next, to, inlineLength: INLINE_BODY_LENGTH, maxBytes: GROUP_BYTES }
    const entries = await store.readEntries(space, range)
    if (entries.length === 0) throw new SealogError('ERR_STORE_CORRUPT', `entry ${next} of ${space} is missing`)
    for (const entry of entries) await writeEntry(store, space, next++, entry, writer)
  }
  await writer.endSpace()
  return size
}

/** One that is damaged is for fsck to tell, and no reason to go without a backup: members cosign again. */
function isAbout(note: Uint8Array, size: number): boolean {
  try {
    return parseNote(note).checkpoint.size <= size
  } catch {
    return false
  }
}

async function writeEntry(
  store: LogStore,
  space: SpaceId,
  index: number,
  { header, signature, body: inline, bodyLength, isControl }: StoredEntry,
  writer: BackupWriter,
): Promise<void> {
  // Bodies of control entries are always short.
  if (bodyLength <= INLINE_BODY_LENGTH) {
    await writer.add({ type: 'entry', header, signature, body: inline })
    if (isControl && inline !== undefined && delivers(inline)) await writeWraps(store, space, index, writer)
    return
  }
  let part = await store.readBody(space, index, 0, INLINE_BODY_LENGTH)
  if (part === undefined) {
    await writer.add({ type: 'entry', header, signature, body: undefined })
    return
  }
  await writer.add({ type: 'large', header, signature })
  for (let offset = 0; part !== undefined && part.length > 0; ) {
    await writer.add({ type: 'part', bytes: part })
    offset += part.length
    part = offset < bodyLength ? await store.readBody(space, index, offset, INLINE_BODY_LENGTH) : undefined
  }
}

async function writeWraps(store: LogStore, space: SpaceId, index: number, writer: BackupWriter): Promise<void> {
  const wraps = await store.readWraps(space, index)
  for (let position = 0; position < wraps.length; position += WRAPS_PER_RECORD) {
    const some = wraps.slice(position, position + WRAPS_PER_RECORD)
    await writer.add({ type: 'wraps', position, wraps: some.map(({ device, wrap }) => ({ device, wrap })) })
  }
}
