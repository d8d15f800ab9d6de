// A SQLite store in a process of its own, so that it can be killed, or run out of disk: it says what became durable.
import { sampleAppend } from '../../src/log-store-contract-samples.ts'
import { sqliteLogStore } from '../../src/log-store-sqlite.ts'

/** One line of what it says. */
export type StoreReport =
  | { readonly open: true }
  | { readonly stored: number; readonly signed: number }
  | { readonly failed: string; readonly message: string }

const [file = '', entries = '0', bodyLength = '0', after = 'end'] = process.argv.slice(2)

function say(report: StoreReport): void {
  process.stdout.write(`${JSON.stringify(report)}\n`)
}

function failed(error: unknown): void {
  const { code = String(error), message = '' } = error as { readonly code?: string; readonly message?: string }
  say({ failed: code, message })
}

const store = sqliteLogStore(file)
try {
  await store.open()
  say({ open: true })
  for (let from = 0; from < Number(entries); from++) {
    const append = sampleAppend({ from, count: 1, bodyLength: Number(bodyLength) })
    await store.append(append)
    const time = 10 + from
    await store.putHead(append.space, { size: from + 1, time, note: new Uint8Array(300).fill(from) })
    say({ stored: from + 1, signed: from + 1 })
  }
} catch (error) {
  failed(error)
  // What comes after it?
  await store.readSize(sampleAppend({ from: 0, count: 1 }).space).catch(failed)
  await store
    .putMailbox(new Uint8Array(32), { counter: 1, bytes: new Uint8Array(1), signature: new Uint8Array(64) })
    .catch(failed)
}
if (after === 'hold') setInterval(() => {}, 1000)
else await store.close()
