import { expect, test } from 'vitest'
import type { LogStore } from '../src/log-store.ts'
import { memoryLogStore } from '../src/log-store-memory.ts'
import { startRelay } from '../src/server.ts'
import { authorGenesis, makeDevice, spaceOf } from './helpers/authoring.ts'
import { testEnvironment } from './helpers/environment.ts'
import { until } from './helpers/replica.ts'
import { connected, dataFolder } from './helpers/served.ts'

/** Promises that are kept when they are told to be. */
function gate(): { readonly passed: Promise<void>; open(): void } {
  let open = (): void => {}
  const passed = new Promise<void>(resolve => {
    open = resolve
  })
  return { passed, open: () => open() }
}

test('a store that hangs does not keep a relay from ending: what it was asked for is not answered', async () => {
  const environment = { ...testEnvironment(), now: Date.now }
  const timers: { readonly ms: number; readonly task: () => void }[] = []
  environment.schedule = (ms, task) => {
    const timer = { ms, task }
    timers.push(timer)
    return () => void timers.splice(timers.indexOf(timer), 1)
  }
  const hangs = gate()
  const asked = gate()
  const never = (): Promise<never> => {
    asked.open()
    return new Promise(() => {})
  }
  const store: LogStore = { ...memoryLogStore(), append: never, close: () => hangs.passed }
  const events: string[] = []
  const log = ({ event }: { event: string }): void => void events.push(event)
  const relay = await startRelay({ name: 'relay.test', data: dataFolder(), port: 0, store, environment, log })
  const { random } = testEnvironment()
  const owner = makeDevice(random)
  const genesis = authorGenesis(random, owner, relay)
  const replica = await connected(relay)
  replica.push(spaceOf(genesis), genesis)
  await asked.passed

  let isClosed = false
  const closing = relay.close().then(() => {
    isClosed = true
  })
  // The limits of a closing relay: for replicas, and then for the store.
  await until(() => timers.some(({ ms }) => ms === 10_000), 'the deadline for the store')
  for (const { task } of timers.filter(({ ms }) => ms === 3000)) task()
  await new Promise(resolve => setTimeout(resolve, 100))
  expect(isClosed).toBe(false)
  for (const { task } of timers.filter(({ ms }) => ms === 10_000)) task()
  await closing
  await until(() => replica.isClosed, 'the end of the connection')
  expect(replica.syncs).toEqual([])
  const ending = events.filter(event => event !== 'socket-closed')
  expect(ending.slice(-3)).toEqual(['stopping', 'store-hangs', 'stopped'])
})
