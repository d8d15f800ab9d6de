import { compareBytes, concat, toUtf8 } from '../bytes.ts'
import { hasCode } from '../errors.ts'
import type { ReplicaStore, StoreRow } from './store.ts'
import { check, checkBytes, checkRows, everything } from './store-contract-check.ts'
import type { FailingStoreOptions } from './store-failing.ts'
import { failingStore } from './store-failing.ts'

const STEPS = 14
const ACCOUNTS = 5
/** So many of the latest log rows are kept; a step deletes the one before. */
const LOG_ROWS = 3

/**
 * The scripted session under a store that fails at operation 1, 2, 3 … until there is none left to fail. After each
 * failure the place is opened anew; it must then hold exactly the state after some step, and that step must not be
 * before the last one that was acknowledged, nor beyond the one under way. The session then goes on to its end.
 *
 * The state is a ledger: accounts, a total that is always their sum, the latest log rows, and the number of the step.
 * @param makePlace makes a new, empty place and hands out a way to get unopened stores over it
 */
export async function checkSessionFailingEverywhere(
  makePlace: () => Promise<() => ReplicaStore>,
  mode: NonNullable<FailingStoreOptions['mode']>,
): Promise<void> {
  const rehearsal = failingStore((await makePlace())())
  await rehearsal.open()
  await runSession(rehearsal, 0, () => undefined)
  await rehearsal.close()
  check(rehearsal.operations > 2 * STEPS, 'the session is long enough to mean something')
  for (let failAt = 1; failAt <= rehearsal.operations; failAt++) await failOnce(await makePlace(), { failAt, mode })
}

async function failOnce(store: () => ReplicaStore, options: FailingStoreOptions): Promise<void> {
  const where = `failure ${options.mode} the effect of operation ${options.failAt}`
  let acknowledged = 0
  let failure: unknown
  const failing = failingStore(store(), options)
  await failing.open()
  await runSession(failing, 0, step => {
    acknowledged = step
  }).catch((error: unknown) => {
    failure = error
  })
  await failing.close()
  check(hasCode(failure, 'ERR_STORE'), `${where}: is reported; got ${String(failure)}`)

  const reopened = store()
  await reopened.open()
  const step = await stepOf(reopened)
  const latest = options.mode === 'before' ? acknowledged : acknowledged + 1
  check(step >= acknowledged, `${where}: nothing acknowledged is lost (step ${step} of ${acknowledged})`)
  check(step <= latest, `${where}: nothing happens that was not asked for (step ${step}, at most ${latest})`)
  checkRows(await everything(reopened), ledgerAfter(step), `${where}: no batch is half there`)
  await runSession(reopened, step, () => undefined)
  checkRows(await everything(reopened), ledgerAfter(STEPS), `${where}: the session can go on`)
  await reopened.close()
}

/** From the state after step `done` to the end: two reads and a commit per step, a scan after every fourth. */
async function runSession(store: ReplicaStore, done: number, acknowledge: (step: number) => void): Promise<void> {
  for (let step = done + 1; step <= STEPS; step++) {
    const account = accountKey(step % ACCOUNTS)
    const balance = readNumber(await store.get(account))
    const total = readNumber(await store.get(TOTAL))
    await store.commit({
      puts: [
        [STEP, writeNumber(step)],
        [account, writeNumber(balance + step)],
        [TOTAL, writeNumber(total + step)],
        [logKey(step), logValue(step)],
      ],
      deletes: [logKey(step - LOG_ROWS)],
      durability: step % 4 === 0 ? 'strict' : 'relaxed',
    })
    acknowledge(step)
    if (step % 4 === 0) await checkSum(store)
  }
}

async function checkSum(store: ReplicaStore): Promise<void> {
  let sum = 0
  for (const [, balance] of await store.scan(ACCOUNT)) sum += readNumber(balance)
  checkBytes(await store.get(TOTAL), writeNumber(sum), 'the accounts sum up to the total')
}

/** The rows that a store must hold after `steps` steps, worked out without one. */
function ledgerAfter(steps: number): readonly StoreRow[] {
  if (steps === 0) return []
  const balances = new Map<number, number>()
  let total = 0
  for (let step = 1; step <= steps; step++) {
    balances.set(step % ACCOUNTS, (balances.get(step % ACCOUNTS) ?? 0) + step)
    total += step
  }
  const rows: StoreRow[] = [
    [STEP, writeNumber(steps)],
    [TOTAL, writeNumber(total)],
  ]
  for (const [account, balance] of balances) rows.push([accountKey(account), writeNumber(balance)])
  for (let step = Math.max(1, steps - LOG_ROWS + 1); step <= steps; step++) rows.push([logKey(step), logValue(step)])
  return rows.sort(([a], [b]) => compareBytes(a, b))
}

const STEP = toUtf8('step')
const TOTAL = toUtf8('total')
const ACCOUNT = toUtf8('account/')
const LOG = toUtf8('log/')

function accountKey(account: number): Uint8Array {
  return concat(ACCOUNT, Uint8Array.of(account))
}

/** Step numbers before the first give keys that are never there. */
function logKey(step: number): Uint8Array {
  return concat(LOG, writeNumber(step + LOG_ROWS))
}

function logValue(step: number): Uint8Array {
  return new Uint8Array(step * 100).fill(step)
}

function writeNumber(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 0xff)
}

function readNumber(bytes: Uint8Array | undefined): number {
  return bytes === undefined ? 0 : (bytes[0] as number) * 256 + (bytes[1] as number)
}

async function stepOf(store: ReplicaStore): Promise<number> {
  return readNumber(await store.get(STEP))
}
