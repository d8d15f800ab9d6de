import { parseArgs } from 'node:util'

export const USAGE = `npm run demo -- [--json] [--edits N] [--trace FILE]

  --json        print one JSON object as the last line
  --edits N     replay the first N edits of the recorded history (default 20000)
  --trace FILE  take the history from this file (the JSON of the published editing traces, gzipped or not)
`

/** As many edits as one recorded history of the shared data has. */
const MOST_EDITS = 259_778
const DEFAULT_EDITS = 20_000

export interface DemoOptions {
  readonly json: boolean
  readonly edits: number
  readonly trace: string | undefined
}

/** @throws Error that says what is wrong with the arguments */
export function readOptions(args: readonly string[]): DemoOptions {
  const { values } = parseArgs({
    args: [...args],
    options: { json: { type: 'boolean' }, edits: { type: 'string' }, trace: { type: 'string' } },
  })
  const { json = false, edits = `${DEFAULT_EDITS}`, trace } = values
  const count = /^[0-9]{1,9}$/.test(edits) ? Number(edits) : 0
  if (count < 1 || count > MOST_EDITS) throw new Error(`--edits: expected a number from 1 to ${MOST_EDITS}`)
  return { json, edits: count, trace }
}
