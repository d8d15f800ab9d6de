import { argv, exit, stderr, stdout } from 'node:process'
import { parseArgs } from 'node:util'
import type { LogRecord } from './context.ts'
import { type RelayServer, startRelay } from './server.ts'

const USAGE = `usage: sealog-relay --data DIR --port N --name relay.example [--host H] [--quiet]

  --data DIR   folder with database and key; created if it does not exist
  --port N     where to listen; 0 for any free port
  --name NAME  the name in every checkpoint; settled by the first start
  --host H     address to listen on (default 127.0.0.1)
  --quiet      no log on stderr
  --help       this text
`

interface Arguments {
  readonly data: string
  readonly port: number
  readonly name: string
  readonly host: string
  readonly quiet: boolean
}

/** @throws TypeError with a line for the user */
function readArguments(args: readonly string[]): Arguments | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      data: { type: 'string' },
      port: { type: 'string' },
      name: { type: 'string' },
      host: { type: 'string', default: '127.0.0.1' },
      quiet: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return 'help'
  const { data, port, name, host, quiet } = values
  if (data === undefined || data === '') throw new TypeError('--data is missing')
  if (port === undefined || !/^[0-9]{1,5}$/.test(port) || Number(port) > 65_535) {
    throw new TypeError('--port: expected a number from 0 to 65535')
  }
  if (name === undefined) throw new TypeError('--name is missing')
  return { data, port: Number(port), name, host, quiet }
}

async function main(): Promise<void> {
  // Whoever read the log or the first line may be gone: no reason to stop.
  stdout.on('error', () => {})
  stderr.on('error', () => {})
  let args: Arguments | 'help'
  try {
    args = readArguments(argv.slice(2))
  } catch (error) {
    endWithUsage(error)
  }
  if (args === 'help') {
    stdout.write(USAGE)
    return
  }
  const { quiet, ...options } = args
  let relay: RelayServer
  try {
    relay = await startRelay({ ...options, log: quiet ? () => {} : logLine })
  } catch (error) {
    if (error instanceof TypeError) endWithUsage(error)
    stderr.write(`sealog-relay: ${messageOf(error)}\n`)
    exit(1)
  }
  // Before the line that tells others to go ahead: they may stop the relay at once.
  stopOnSignal(relay)
  stdout.write(`sealog-relay: ${relay.url} ${relay.name} ${relay.verifierKey}\n`)
}

function endWithUsage(error: unknown): never {
  stderr.write(`sealog-relay: ${messageOf(error)}\n\n${USAGE}`)
  exit(2)
}

function stopOnSignal(relay: RelayServer): void {
  const stop = (): void => {
    relay.close().then(
      () => exit(0),
      error => {
        stderr.write(`sealog-relay: ${messageOf(error)}\n`)
        exit(1)
      },
    )
  }
  process.once('SIGTERM', stop)
  process.once('SIGINT', stop)
}

function logLine(record: LogRecord): void {
  stderr.write(`${JSON.stringify({ time: new Date().toISOString(), ...record })}\n`)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

await main()
