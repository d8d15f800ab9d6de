import { SealogError } from 'sealog/protocol'
import { backUpSpace } from './backup-space.ts'
import { BackupWriter } from './backup-writer.ts'
import { type Command, type CommandArguments, type CommandContext, requiredText, withStore } from './command.ts'
import { mailboxesOf, spacesOf } from './fsck.ts'
import type { LogStore } from './log-store.ts'

/** Writes all logs and mailboxes to one file, while a relay serves from the store or not. */
export const backupCommand: Command = {
  name: 'backup',
  flags: { to: 'text' },
  help: [
    'backup --to FILE              write all logs and mailboxes to one new file; the relay may go on serving.',
    'Not in it: the key of the relay, and the record of what it signed',
  ],
  run: runBackup,
}

async function runBackup(context: CommandContext, given: CommandArguments): Promise<number> {
  const path = requiredText(given, 'to')
  const written = await withStore(context, true, async store => {
    const writer = await BackupWriter.create(path)
    try {
      return { ...(await backUp(context, store, writer)), bytes: writer.length }
    } catch (error) {
      await writer.abandon()
      throw error
    }
  })
  const { spaces, entries, mailboxes, bytes } = written
  context.stdout(`${path}: ${spaces} spaces, ${entries} entries, ${mailboxes} mailboxes, ${bytes} bytes\n`)
  return 0
}

interface Counts {
  readonly spaces: number
  readonly entries: number
  readonly mailboxes: number
}

async function backUp({ environment }: CommandContext, store: LogStore, writer: BackupWriter): Promise<Counts> {
  const identity = await store.readIdentity()
  if (identity === undefined) throw new SealogError('ERR_RELAY_IDENTITY', 'the store belongs to no relay yet')
  const counts = { spaces: 0, entries: 0, mailboxes: 0 }
  await writer.add({ type: 'begin', ...identity, time: environment.now() })
  for await (const space of spacesOf(store)) {
    const entries = await backUpSpace(store, space, writer)
    if (entries > 0) counts.spaces++
    counts.entries += entries
  }
  for await (const page of mailboxesOf(store)) {
    for (const mailbox of page) {
      await writer.add({ type: 'mailbox', ...mailbox })
      counts.mailboxes++
    }
  }
  await writer.finish(counts.spaces, counts.mailboxes)
  return counts
}
