import { isMemberDevice, readControlRows, type SpaceId } from 'sealog/protocol'
import { type Command, type CommandArguments, type CommandContext, withStore } from './command.ts'
import { mailboxesOf, spacesOf } from './fsck.ts'
import type { LogStore } from './log-store.ts'
import { isTombstone } from './log-store-fence.ts'
import { readHeadOrDamage } from './log-store-head-checksum.ts'

/** Says how much the store holds, of each space and in total; a relay may serve from it meanwhile. */
export const statsCommand: Command = {
  name: 'stats',
  flags: { json: 'switch' },
  help: ['stats [--json]                entries, bytes, documents, devices and members of each space, and in total'],
  run: runStats,
}

interface SpaceStats {
  readonly space: SpaceId
  /** `behind`: entries that were signed are lost; `removed`: by the operator; `damaged`: the row of the signed head. */
  readonly standing: 'whole' | 'behind' | 'removed' | 'damaged'
  readonly entries: number
  /** Of headers, signatures, bodies and wraps. */
  readonly bytes: number
  readonly documents: number
  /** That are not removed. */
  readonly devices: number
  readonly members: number
  /** Size and time of the latest checkpoint, Unix time in milliseconds; undefined where none was signed. */
  readonly signed: { readonly size: number; readonly time: number } | undefined
}

async function runStats(context: CommandContext, given: CommandArguments): Promise<number> {
  const isJson = given.json === true
  const say = (value: object, line: string): void => context.stdout(`${isJson ? JSON.stringify(value) : line}\n`)
  return withStore(context, true, async store => {
    const total = { spaces: 0, behind: 0, removed: 0, entries: 0, bytes: 0, documents: 0, mailboxes: 0 }
    for await (const space of spacesOf(store)) {
      const stats = await statsOf(store, space)
      say({ space: stats }, lineOf(stats))
      if (stats.standing === 'removed') total.removed++
      else total.spaces++
      if (stats.standing === 'behind') total.behind++
      total.entries += stats.entries
      total.bytes += stats.bytes
      total.documents += stats.documents
    }
    for await (const page of mailboxesOf(store)) total.mailboxes += page.length
    const { spaces, behind, removed, entries, bytes, documents, mailboxes } = total
    const rest = `${documents} documents, ${mailboxes} mailboxes; ${behind} spaces behind, ${removed} removed`
    say({ total }, `total: ${spaces} spaces, ${entries} entries, ${bytes} bytes, ${rest}`)
    return 0
  })
}

async function statsOf(store: LogStore, space: SpaceId): Promise<SpaceStats> {
  const { head, damage } = await readHeadOrDamage(store, space)
  const stored = await store.readSpace(space)
  const size = stored?.size ?? 0
  const isBehind = Math.max(head?.size ?? 0, stored?.floor ?? 0) > size
  const control = stored && readControlRows(stored.state.control)
  const devices = [...(control?.devices.values() ?? [])].filter(isMemberDevice)
  const members = [...(control?.members.values() ?? [])].filter(({ removed }) => removed === undefined)
  return {
    space,
    standing: damage !== undefined ? 'damaged' : isTombstone(head) ? 'removed' : isBehind ? 'behind' : 'whole',
    entries: size,
    bytes: stored?.bytes ?? 0,
    // Control entries stand under an id of their own, which is no document.
    documents: Math.max(0, (stored?.state.documents.length ?? 0) - 1),
    devices: devices.length,
    members: members.length,
    signed: head === undefined || head.note.length === 0 ? undefined : { size: head.size, time: head.time },
  }
}

function lineOf({ space, standing, entries, bytes, documents, devices, members, signed }: SpaceStats): string {
  const counts = `${entries} entries, ${bytes} bytes, ${documents} documents, ${devices} devices, ${members} members`
  const head = signed === undefined ? 'nothing signed' : `signed ${signed.size} at ${textOf(signed.time)}`
  return `${space}: ${counts}; ${head}${standing === 'whole' ? '' : `; ${standing}`}`
}

/** A damaged time may be no date. */
function textOf(time: number): string {
  const date = new Date(time)
  return Number.isNaN(date.getTime()) ? `${time}` : date.toISOString()
}
