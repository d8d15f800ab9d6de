import type { Command } from './command.ts'

interface KnownCommand {
  readonly help: string
  /** Loaded where it is called for: a relay that serves starts without it. */
  readonly load: () => Promise<Command>
}

const COMMANDS: Readonly<Record<string, KnownCommand>> = {
  backup: {
    help: 'write all logs and mailboxes to one file, while the relay serves',
    load: async () => (await import('./command-backup.ts')).backupCommand,
  },
  restore: {
    help: 'take the logs of a backup into a store, through every check',
    load: async () => (await import('./command-restore.ts')).restoreCommand,
  },
  fsck: {
    help: 'recompute every tree and state, verify every signature',
    load: async () => (await import('./command-fsck.ts')).fsckCommand,
  },
  stats: {
    help: 'how large the spaces are, and what they hold',
    load: async () => (await import('./command-stats.ts')).statsCommand,
  },
  'take-back': {
    help: 'take off a log what was never signed and stands in the way',
    load: async () => (await import('./command-take-back.ts')).takeBackCommand,
  },
  gc: {
    help: 'give back what nobody can ask for any more; remove a space',
    load: async () => (await import('./command-gc.ts')).gcCommand,
  },
}

/** The commands besides `serve`, and a sentence for each. */
export const COMMAND_HELP: Readonly<Record<string, string>> = Object.fromEntries([
  ['serve', 'the relay itself; what there is without a command'],
  ...Object.entries(COMMANDS).map(([name, { help }]) => [name, help] as const),
])

/** @throws TypeError where there is none of this name */
export async function commandNamed(name: string): Promise<Command> {
  const known = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (known === undefined) throw new TypeError(`there is no command ${name}`)
  return await known.load()
}
