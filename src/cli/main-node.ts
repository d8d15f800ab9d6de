import process, { argv, stderr, stdout } from 'node:process'
import { runCommand } from './command-node.ts'

// Whoever read the first lines may be gone: no reason to fail.
stdout.on('error', () => {})
stderr.on('error', () => {})
process.exitCode = await runCommand(argv.slice(2), {
  out: text => stdout.write(text),
  error: text => stderr.write(text),
})
