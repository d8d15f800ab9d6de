import type { Environment, SignatureVerifier } from 'sealog/protocol'
import type { LogStore } from './log-store.ts'

/** What a command of the operator works with, besides its own flags. */
export interface CommandContext {
  /**
   * A store that is open; the command closes it.
   * @param readOnly for reading only, which a relay that serves from the same store is not disturbed by; otherwise no
   * relay may use it meanwhile, and it rejects with ERR_STORE_LOCKED where one does
   */
  openStore(readOnly: boolean): Promise<LogStore>
  /** Public key of the relay's key file, 32 bytes; undefined where there is no such file. */
  readonly key: Uint8Array | undefined
  stdout(text: string): void
  stderr(text: string): void
  readonly environment: Environment
  readonly verifier: SignatureVerifier
}

/** Flags of a command by name, without dashes: with a value, or without. */
export type CommandFlags = Readonly<Record<string, 'text' | 'switch'>>
/** What was given of them. */
export type CommandArguments = Readonly<Record<string, string | boolean>>

/** One command of the operator. */
export interface Command {
  readonly name: string
  readonly flags: CommandFlags
  /** Lines for the usage. */
  readonly help: readonly string[]
  /** It may be run where there is no store yet, and makes one. */
  readonly makesStore?: true
  /**
   * @returns the exit code: 0 where all is well, 1 where it is not
   * @throws TypeError for flags that make no sense (exit code 2); SealogError, and what Node throws, where it cannot be
   * done at all
   */
  run(context: CommandContext, given: CommandArguments): Promise<number>
}

/** The store for as long as `use` takes. */
export async function withStore<T>(
  context: CommandContext,
  readOnly: boolean,
  use: (store: LogStore) => Promise<T>,
): Promise<T> {
  const store = await context.openStore(readOnly)
  try {
    return await use(store)
  } finally {
    await store.close()
  }
}

/** @throws TypeError where the flag was not given */
export function requiredText(given: CommandArguments, flag: string): string {
  const value = given[flag]
  if (typeof value !== 'string' || value === '') throw new TypeError(`--${flag} is missing`)
  return value
}
