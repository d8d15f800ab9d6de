import { readFileSync } from 'node:fs'
import { argv, env, exit, stderr, stdout } from 'node:process'
import { setTimeout as delay } from 'node:timers/promises'
import type { Command } from './command.ts'
import { runCommand } from './command-run.ts'
import { type Serving, serve } from './command-serve.ts'
import { COMMAND_HELP, commandNamed } from './commands.ts'
import { type Config, readConfig } from './config.ts'
import { commandUsage, printedConfig, usageOf } from './config-shown.ts'

const output = {
  stdout: (text: string): void => void stdout.write(text),
  stderr: (text: string): void => void stderr.write(text),
}

async function main(): Promise<void> {
  // Whoever read the log or the first line may be gone: no reason to stop.
  stdout.on('error', () => {})
  stderr.on('error', () => {})
  const given = argv.slice(2)
  const name = given[0]?.startsWith('-') === false ? given[0] : undefined
  let usage = usageOf(COMMAND_HELP)
  try {
    const command = name === undefined || name === 'serve' ? undefined : await commandNamed(name)
    if (command !== undefined) usage = commandUsage(command)
    const config = readConfig({
      args: name === undefined ? given : given.slice(1),
      env,
      readFile: path => readFileSync(path, 'utf8'),
      ownFlags: command?.flags ?? {},
    })
    if (config.wants === 'help') output.stdout(usage)
    else if (config.wants === 'print') output.stdout(printedConfig(config))
    else await run(config, command)
  } catch (error) {
    output.stderr(`sealog-relay: ${messageOf(error)}\n`)
    if (!(error instanceof TypeError)) exit(1)
    // Not all of it: what is wrong is to stay in sight.
    const [form] = usage.split('\n\n')
    output.stderr(`\n${form}\n\n--help says more.\n`)
    exit(2)
  }
}

async function run(config: Config, command: Command | undefined): Promise<void> {
  if (command !== undefined) exit(await runCommand(command, config, output))
  const serving = await serve(config, output.stderr)
  const { relay } = serving
  endOnFault(serving)
  // Before the line that tells others to go ahead: they may stop the relay at once.
  stopOnSignal(serving)
  output.stdout(`sealog-relay: ${relay.url} ${relay.name} ${relay.verifierKey}\n`)
}

/** In good order at the first signal, at once at the second. */
function stopOnSignal({ relay, drain }: Serving): void {
  let isStopping = false

  async function stop(): Promise<never> {
    if (isStopping) exit(1)
    isStopping = true
    try {
      if (drain > 0) {
        relay.drain()
        await delay(drain)
      }
      await relay.close()
      exit(0)
    } catch (error) {
      output.stderr(`sealog-relay: ${messageOf(error)}\n`)
      exit(1)
    }
  }

  process.on('SIGTERM', () => void stop())
  process.on('SIGINT', () => void stop())
  // What the word of a terminal that is closed means to a service: to read its files again, where there are any.
  process.on('SIGHUP', () => (relay.canReload ? relay.reload() : void stop()))
}

/**
 * After a fault that nobody expected, nobody knows what this process holds. What is acknowledged is on the disk: the
 * process ends, and whoever watches it starts another one, which looks at it anew.
 */
function endOnFault({ lines }: Serving): void {
  const end = (error: unknown): void => {
    lines({
      level: 'error',
      event: 'fatal',
      reason: error instanceof Error ? (error.stack ?? error.message) : 'unknown',
    })
    exit(1)
  }
  process.on('uncaughtException', end)
  process.on('unhandledRejection', end)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

await main()
