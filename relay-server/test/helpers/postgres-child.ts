// A PostgreSQL store in a process of its own, so that it can be killed: it appends one entry after the other, wherever
// the log ends, signs what it appended, and says what of it became durable.
import { hasCode } from 'sealog/protocol'
import { SPACE, sampleAppend } from '../../src/log-store-contract-samples.ts'
import { postgresLogStore } from '../../src/log-store-postgres.ts'

/** One line of what it says: so many entries are stored, or signed. */
export type PostgresReport = { readonly stored: number } | { readonly signed: number }

const [url = '', schema = ''] = process.argv.slice(2)
function say(report: PostgresReport): void {
  process.stdout.write(`${JSON.stringify(report)}\n`)
}

const store = postgresLogStore({ url, schema, connections: 2 })
await store.open()
for (;;) {
  const { size } = await store.readSize(SPACE)
  try {
    await store.append(sampleAppend({ from: size, count: 1 }))
    say({ stored: size + 1 })
    const note = new Uint8Array(300).fill(size)
    await store.putHead(SPACE, { size: size + 1, time: size + 1, note })
    say({ signed: size + 1 })
  } catch (error) {
    if (!hasCode(error, 'ERR_STORE_LOCKED')) throw error
  }
}
