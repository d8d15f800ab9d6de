import { parseSpaceId, SealogError, type SpaceId } from 'sealog/protocol'
import { type Command, type CommandArguments, type CommandContext, withStore } from './command.ts'
import { type CheckedStore, checkStore } from './fsck.ts'
import { type Finding, findingLine } from './fsck-finding.ts'
import type { LogStore } from './log-store.ts'
import { readHeadOrDamage } from './log-store-head-checksum.ts'

/** Checks everything that the store holds, while a relay serves from it or not. */
export const fsckCommand: Command = {
  name: 'fsck',
  flags: { json: 'switch', space: 'text' },
  help: [
    'fsck [--space HEX] [--json]   recompute every tree and state, verify every signature; the relay may go on serving.',
    'One line for each finding; exit code 0 where there is none, else 1',
  ],
  run: runFsck,
}

async function runFsck(context: CommandContext, given: CommandArguments): Promise<number> {
  const space = typeof given.space === 'string' ? parseSpaceId(given.space) : undefined
  const isJson = given.json === true
  const report = (finding: Finding): void => {
    context.stdout(`${isJson ? JSON.stringify({ finding }) : findingLine(finding)}\n`)
  }
  let checked: CheckedStore
  try {
    checked = await withStore(context, true, async store => {
      if (space !== undefined) await assertKnown(store, space)
      return checkStore({ store, key: context.key, verifier: context.verifier, report, ...(space && { space }) })
    })
  } catch (error) {
    // A store that is too damaged to be opened is a finding; one that cannot be reached is none.
    if (!(error instanceof SealogError) || error.code !== 'ERR_STORE_CORRUPT') throw error
    report({ checked: 'store', reason: error.message })
    checked = { spaces: 0, entries: 0, mailboxes: 0, missing: 0, findings: 1 }
  }
  context.stdout(`${isJson ? JSON.stringify({ checked }) : summaryOf(checked)}\n`)
  return checked.findings === 0 ? 0 : 1
}

async function assertKnown(store: LogStore, space: SpaceId): Promise<void> {
  const { size } = await store.readSize(space)
  const { head, damage } = await readHeadOrDamage(store, space)
  if (size > 0 || head !== undefined || damage !== undefined) return
  throw new SealogError('ERR_UNKNOWN_SPACE', 'the store has no such space')
}

function summaryOf({ spaces, entries, mailboxes, missing, findings }: CheckedStore): string {
  const seen = `${spaces} spaces, ${entries} entries, ${mailboxes} mailboxes`
  const absent = missing === 0 ? '' : `; ${missing} bodies are not stored, which is no damage`
  return `${findings === 0 ? 'clean' : `${findings} findings`}: ${seen}${absent}`
}
