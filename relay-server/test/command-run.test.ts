import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { CommandFlags } from '../src/command.ts'
import { runCommand } from '../src/command-run.ts'
import { commandNamed } from '../src/commands.ts'
import { readConfig } from '../src/config.ts'
import { dataFolder } from './helpers/served.ts'

async function run(name: string, ...args: readonly string[]): Promise<number> {
  const command = await commandNamed(name)
  const ownFlags: CommandFlags = command.flags
  const config = readConfig({ args, env: {}, readFile: () => '{}', ownFlags })
  return runCommand(command, config, { stdout() {}, stderr() {} })
}

describe('where there is no store, as the folder was mistyped, a command says so and makes none', () => {
  test.each([
    ['fsck', []],
    ['stats', []],
    ['gc', []],
    ['gc', ['--dry-run']],
    ['gc', ['--remove-space', '0'.repeat(64), '--yes']],
    ['backup', ['--to', 'never-written']],
  ])('%s %j', async (name, args) => {
    const folder = dataFolder()
    for (const data of [folder, join(folder, 'x')]) {
      await expect(run(name, '--data', data, ...args)).rejects.toMatchObject({
        code: 'ERR_STORE',
        message: expect.stringContaining(`there is no database ${join(data, 'relay.db')}`),
      })
    }
    expect(readdirSync(folder)).toEqual([])
    expect(existsSync('never-written')).toBe(false)
  })
})
