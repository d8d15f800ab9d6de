import { parseSpaceId, SealogError, type SpaceId } from 'sealog/protocol'
import { backUpSpace } from './backup-space.ts'
import { BackupWriter } from './backup-writer.ts'
import { type Command, type CommandArguments, type CommandContext, requiredText, withStore } from './command.ts'
import type { LogStore, StoredIdentity } from './log-store.ts'
import { findUnsignedEnd, type UnsignedEnd } from './unsigned-end.ts'

/** Takes entries that nobody signed off a log, where they stand in the place of what was signed. */
export const takeBackCommand: Command = {
  name: 'take-back',
  flags: { space: 'text', to: 'text', 'dry-run': 'switch', unproven: 'switch' },
  help: [
    'take-back --space HEX --to FILE [--dry-run]   take the entries that were never signed off the end of a log, where it',
    'contradicts what was signed, as after a failover to a standby that lagged behind. Start no relay meanwhile; after it,',
    'members give back what was signed. FILE gets a copy of the space as it was. --unproven: also where the log is shorter',
    'than what was signed, and members have failed to give back the rest. Refused where a part of that end may have been',
    'signed, as where the heads were set back together with the log',
  ],
  run: runTakeBack,
}

async function runTakeBack(context: CommandContext, given: CommandArguments): Promise<number> {
  const space = parseSpaceId(requiredText(given, 'space'))
  const dryRun = given['dry-run'] === true
  const path = dryRun ? undefined : requiredText(given, 'to')
  return withStore(context, dryRun, async store => {
    const identity = await store.readIdentity()
    if (identity === undefined) throw new SealogError('ERR_RELAY_IDENTITY', 'the store belongs to no relay yet')
    const relay = { name: identity.name, key: context.key ?? identity.key }
    const end = await findUnsignedEnd({ store, relay, verifier: context.verifier, space })
    tell(context, space, end)
    if (!end.isProven && given.unproven !== true) {
      context.stderr(
        'nothing was changed: these may be the beginning of what was signed, which members then complete. Where they ' +
          'tried and the relay refused it (restore-refused in its log), add --unproven\n',
      )
      return 1
    }
    if (path === undefined) return 0
    await copySpace(context, store, identity, space, path)
    await store.undoAppend(end.undo)
    context.stdout(`taken back; the space as it was is in ${path}\n`)
    return 0
  })
}

function tell({ stdout }: CommandContext, space: SpaceId, { from, headers, signed, isProven }: UnsignedEnd): void {
  const count = `${headers.length} entries from ${from} on`
  stdout(
    isProven
      ? `space ${space}: ${count} are not those that were signed, which are ${signed}\n`
      : `space ${space}: ${count} came last; ${signed} were signed, and whether these are among them is not known\n`,
  )
  for (const [i, { kind, document, device, seq, bodyLength }] of headers.entries()) {
    const what = kind === 'control' ? 'control' : `${kind} of document ${document}`
    stdout(`entry ${from + i}: ${what}, by device ${device}, number ${seq} of its chain, ${bodyLength} bytes\n`)
  }
}

/** In the form of a backup, so that whatever turns out to be missed is there. */
async function copySpace(
  { environment }: CommandContext,
  store: LogStore,
  identity: StoredIdentity,
  space: SpaceId,
  path: string,
): Promise<void> {
  const writer = await BackupWriter.create(path)
  try {
    await writer.add({ type: 'begin', ...identity, time: environment.now() })
    await backUpSpace(store, space, writer)
    await writer.finish(1, 0)
  } catch (error) {
    await writer.abandon()
    throw error
  }
}
