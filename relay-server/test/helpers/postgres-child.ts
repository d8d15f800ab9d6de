// A PostgreSQL store in a process of its own, so that it can be killed: it appends one entry after the other, wherever
// the log ends, signs what it appended, and says what of it became durable.
import { hasCode } from 'sealog/protocol'
import { SPACE, sampleAppend } from '../../src/log-store-contract-samples.ts'
import { postgresLogStore } from '../../src/log-store-postgres.ts'

const [url = '', schema = ''] = process.argv.slice(2)
const store = postgresLogStore({ url, schema, connections: 2 })
await store.open()
for (;;) {
  const { size } = await store.readSize(SPACE)
  try {
    await store.append(sampleAppend({ from: size, count: 1 }))
    process.stdout.write(`stored ${size + 1}\n`)
    const note = new Uint8Array(300).fill(size)
    await store.putHead(SPACE, { size: size + 1, time: size + 1, note })
    process.stdout.write(`signed ${size + 1}\n`)
  } catch (error) {
    if (!hasCode(error, 'ERR_STORE_LOCKED')) throw error
  }
}
