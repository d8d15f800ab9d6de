import { existsSync } from 'node:fs'
import { defaultVerifier, platformEnvironment, publicKeyOf, SealogError } from 'sealog/protocol'
import type { Command } from './command.ts'
import type { Config } from './config.ts'
import { readSeed } from './relay-key-file.ts'
import { keyPlaceOf, storeOf, storePlaceOf } from './store-place.ts'

/** Where a process writes to. */
export interface Output {
  stdout(text: string): void
  stderr(text: string): void
}

/**
 * Runs a command over the store of a configuration.
 * @returns the exit code
 * @throws TypeError for settings or flags that make no sense; SealogError, and what Node throws, where it cannot be done
 */
export async function runCommand(command: Command, { settings, own }: Config, output: Output): Promise<number> {
  // Named by settings alone, and before anything is opened.
  const place = storePlaceOf(settings)
  const keyFile = keyPlaceOf(settings)
  const context = {
    async openStore(readOnly: boolean) {
      // A folder that was mistyped is not to be found in order, nor to get an empty database.
      if (place.kind === 'sqlite' && !existsSync(place.file) && (readOnly || command.makesStore !== true)) {
        throw new SealogError('ERR_STORE', `there is no database ${place.file}`, { retryable: false })
      }
      const store = await storeOf(settings, { readOnly, exclusive: !readOnly, acceptRollback: settings.acceptRollback })
      await store.open()
      return store
    },
    key: existsSync(keyFile) ? publicKeyOf(readSeed(keyFile)) : undefined,
    environment: platformEnvironment(),
    verifier: await defaultVerifier(),
    ...output,
  }
  return await command.run(context, own)
}
