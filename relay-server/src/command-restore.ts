import { type RestoredPart, restoreBackup } from './backup-restore.ts'
import { type Command, type CommandArguments, type CommandContext, requiredText, withStore } from './command.ts'
import { reasonOf } from './fsck-finding.ts'
import type { LogStore } from './log-store.ts'
import { memoryLogStore } from './log-store-memory.ts'

/** Puts a backup into a store that is empty, or has the beginnings of the same logs; no relay may use it meanwhile. */
export const restoreCommand: Command = {
  name: 'restore',
  flags: { from: 'text', 'without-heads': 'switch', 'dry-run': 'switch' },
  makesStore: true,
  help: [
    'restore --from FILE [--dry-run] [--without-heads]   judge a backup and put it into an empty or older store.',
    'Start no relay meanwhile. Exit code 1 where a space was refused; the others are restored',
  ],
  run: runRestore,
}

async function runRestore(context: CommandContext, given: CommandArguments): Promise<number> {
  const path = requiredText(given, 'from')
  const dryRun = given['dry-run'] === true
  let mailboxes = 0
  const tell = (part: RestoredPart): void => {
    if (part.space === undefined) mailboxes += part.taken
    else context.stdout(`space ${part.space}: ${outcomeOf(part, dryRun)}\n`)
  }
  const withoutHeads = given['without-heads'] === true
  const { key, verifier } = context
  const judge = (store: LogStore, isAlone: boolean): Promise<number> =>
    restoreBackup({ path, store, key, verifier, withoutHeads: withoutHeads || isAlone, dryRun, tell })
  const refused = dryRun
    ? await judgeOnly(context, judge)
    : await withStore(context, false, store => judge(store, false))
  context.stdout(`${mailboxes} mailboxes${dryRun ? ' could be' : ''} restored\n`)
  if (context.key === undefined)
    context.stderr('the key of the relay is not there yet: put its file back before the start\n')
  if (refused > 0) context.stderr(`${refused} spaces were refused\n`)
  return refused === 0 ? 0 : 1
}

/** Against the store, where there is one; a backup can be looked at without. */
async function judgeOnly(
  context: CommandContext,
  judge: (store: LogStore, isAlone: boolean) => Promise<number>,
): Promise<number> {
  let store: LogStore
  try {
    store = await context.openStore(true)
  } catch (error) {
    context.stderr(`the backup is judged by itself, as there is no store to compare it with: ${reasonOf(error)}\n`)
    store = memoryLogStore()
    await store.open()
    return judge(store, true)
  }
  try {
    return await judge(store, false)
  } finally {
    await store.close()
  }
}

function outcomeOf({ taken, refused }: RestoredPart, dryRun: boolean): string {
  if (refused !== undefined) return `refused: ${refused}`
  if (taken === 0) return 'is there already'
  return dryRun ? `${taken} entries could be restored` : `${taken} entries restored`
}
