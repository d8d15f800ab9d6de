import { parseArgs } from 'node:util'
import { MAX_EVIDENCE_LENGTH } from '../verify/evidence.ts'
import { inspectFile } from './inspect-command.ts'
import { readFileUpTo } from './read-file-node.ts'
import { knownRelay } from './relay-key.ts'
import { printable, renderFacts, renderLines, renderReport, statusOf } from './report.ts'
import { verifyFiles } from './verify-command.ts'

const USAGE = `usage: sealog verify [--key KEY] [--origin ORIGIN] [--json] FILE...
       sealog inspect [--json] FILE

verify judges what a relay said, offline and without any key of the space. What the files
are shows in their contents:

  evidence                   did the relay contradict itself?
  a checkpoint               did the relay sign it?
  two checkpoints            can both be about one log?
  a proof, in JSON           does it lead to the roots that it names, or to those of one or
                             two checkpoints that are given with it?

  {"type": "inclusion", "index": 3, "size": 8, "leaf": H, "proof": [H, H, H], "root": H}
  {"type": "consistency", "size1": 3, "root1": H, "size2": 8, "root2": H, "proof": [H, …]}

H is 32 bytes, in hexadecimal or base64. "header" in place of "leaf" is the whole leaf;
roots may be left out where a checkpoint of that size is given.

  --key KEY        the relay's key: 64 hexadecimal digits, or <origin>+<hash>+<base64>
  --origin ORIGIN  <relay name>/<space id> that it must be about
  --json           one JSON object instead of text
  --help           this text

Exit status: 0 it holds, 1 it is refuted, 2 it cannot be judged. For evidence, 0 means that
the evidence holds: the relay DID contradict itself. 1 means that it does not show that.

inspect prints what a file says, and verifies nothing.
`

interface Arguments {
  readonly command: 'verify' | 'inspect'
  readonly files: readonly string[]
  readonly key: string | undefined
  readonly origin: string | undefined
  readonly json: boolean
}

/** @throws TypeError with a line for the user */
function readArguments(args: readonly string[]): Arguments | 'help' {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      key: { type: 'string' },
      origin: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return 'help'
  const [command, ...files] = positionals
  const { key, origin, json } = values
  switch (command) {
    case 'verify':
      if (files.length === 0) throw new TypeError('verify: no file is named')
      if (files.length > MAX_FILES) throw new TypeError('verify: expected at most two checkpoints and one proof')
      return { command, files, key, origin, json }
    case 'inspect':
      if (files.length !== 1) throw new TypeError('inspect: expected one file')
      if (key !== undefined || origin !== undefined) throw new TypeError('inspect: --key and --origin are for verify')
      return { command, files, key, origin, json }
    case undefined:
      throw new TypeError('expected a command: verify or inspect')
    default:
      throw new TypeError(`${command}: no such command`)
  }
}

const MAX_FILES = 3

/** Where a command writes to. */
export interface Console {
  /** The result. */
  readonly out: (text: string) => void
  /** What went wrong, a line. */
  readonly error: (text: string) => void
}

/**
 * The command `sealog`.
 * @param args without the name of the command itself
 * @returns the exit status: 0, 1 or 2
 */
export async function runCommand(args: readonly string[], { out, error }: Console): Promise<number> {
  try {
    const parsed = readArguments(args)
    if (parsed !== 'help') return await run(parsed, out)
    out(USAGE)
    return 0
  } catch (thrown) {
    // One line for whatever went wrong: files of strangers must not get anybody a stack trace.
    const message = thrown instanceof Error ? thrown.message : String(thrown)
    error(`sealog: ${printable(message.split('\n')[0] ?? '')}\n`)
    return 2
  }
}

async function run({ command, files, key, origin, json }: Arguments, out: Console['out']): Promise<number> {
  const relay = knownRelay(key, origin)
  const contents = await Promise.all(files.map(path => readFileUpTo(path, MAX_EVIDENCE_LENGTH)))
  if (command === 'verify') {
    const report = verifyFiles(contents, relay)
    out(json ? `${JSON.stringify(report)}\n` : renderReport(report))
    return statusOf(report.verdict)
  }
  const { subject, facts } = inspectFile(contents[0] ?? new Uint8Array(0))
  out(json ? `${JSON.stringify({ subject, facts })}\n` : renderLines([subject, ...renderFacts(facts)]))
  return 0
}
