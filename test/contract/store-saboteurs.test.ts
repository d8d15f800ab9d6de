import { expect, test } from 'vitest'
import { compareBytes } from '../../src/bytes.ts'
import type { ReplicaStore, StoreBatch } from '../../src/crdt/store.ts'
import { storeContract } from '../../src/crdt/store-contract.ts'
import type { MemoryStore } from '../../src/crdt/store-memory.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import { SealogError } from '../../src/errors.ts'

type Sabotage = (inner: MemoryStore) => Partial<ReplicaStore>

/** Stores that each break one promise: a suite that lets one of them pass checks nothing. Each with the case that must notice. */
const SABOTEURS: Readonly<Record<string, readonly [noticedBy: string, Sabotage]>> = {
  'forgets at close': [
    'what was committed is there',
    inner => ({
      close: async () => {
        const rows = await inner.scan(new Uint8Array(0)).catch(() => [])
        if (rows.length > 0) await inner.commit({ puts: [], deletes: rows.map(([key]) => key) })
        await inner.close()
      },
    }),
  ],
  'sorts as signed bytes': [
    'a scan gives the keys with a prefix',
    inner => ({
      scan: async prefix => [...(await inner.scan(prefix))].sort(([a], [b]) => compareBytes(signed(a), signed(b))),
    }),
  ],
  'ends a scan at the prefix followed by 0xff': [
    'a scan gives the keys with a prefix',
    inner => ({
      scan: async prefix => (await inner.scan(prefix)).filter(([key]) => key[prefix.length] !== 0xff),
    }),
  ],
  'does not find the key that is the prefix': [
    'a scan gives the keys with a prefix',
    inner => ({
      scan: async prefix => (await inner.scan(prefix)).filter(([key]) => key.length > prefix.length),
    }),
  ],
  'commits row by row': [
    'commits take effect in the order of the calls',
    inner => ({
      commit: async batch => {
        for (const row of batch.puts) await inner.commit({ puts: [row], deletes: [] })
        await inner.commit({ ...batch, puts: [] })
      },
    }),
  ],
  'lets small commits overtake large ones': [
    'commits take effect in the order of the calls',
    inner => ({
      commit: async batch => {
        if (batch.puts.some(([, value]) => value.length > 1000)) await pause()
        await inner.commit(batch)
      },
    }),
  ],
  'copies too late': [
    'what is put is copied at the call',
    inner => ({
      commit: async batch => {
        await Promise.resolve()
        await inner.commit(batch)
      },
    }),
  ],
  'hands out views': [
    'what is handed out is a copy',
    inner => ({
      get: async key => {
        const value = await inner.get(key)
        return value && Uint8Array.of(0, ...value).subarray(1)
      },
    }),
  ],
  'takes empty values for none': [
    'values come back byte for byte',
    inner => ({
      get: async key => {
        const value = await inner.get(key)
        return value?.length === 0 ? undefined : value
      },
    }),
  ],
  'lets the first of two values win': [
    'of several values for one key',
    inner => ({
      commit: batch => inner.commit({ ...batch, puts: batch.puts?.toReversed?.() ?? batch.puts }),
    }),
  ],
  'forgets deletes of a mixed batch': [
    'deleting removes a key',
    inner => ({
      commit: batch => inner.commit(batch.puts?.length > 0 && batch.deletes ? { ...batch, deletes: [] } : batch),
    }),
  ],
  'loses relaxed commits': [
    'what was committed is there',
    inner => ({
      commit: batch => (batch?.durability === 'relaxed' ? Promise.resolve() : inner.commit(batch)),
    }),
  ],
  'puts before it checks': [
    'a batch with anything wrong in it',
    inner => ({
      commit: async (batch: StoreBatch) => {
        const [first] = batch?.puts ?? []
        if (first !== undefined) await inner.commit({ puts: [first], deletes: [] })
        await inner.commit(batch)
      },
    }),
  ],
  'has no lock': [
    'a place has one writer',
    inner => ({
      open: () => inner.open().catch(() => undefined),
    }),
  ],
  'answers after close': [
    'before open and after close every call rejects',
    inner => ({
      get: key => inner.get(key).catch(() => undefined),
    }),
  ],
  'calls closed what is a wrong argument': [
    'misuse of a closed store is still a TypeError',
    inner => ({
      get: key => inner.get(key).catch(() => Promise.reject(new SealogError('ERR_CLOSED', 'closed'))),
    }),
  ],
  'closes once only': [
    'close is idempotent',
    inner => {
      let closed = false
      return {
        close: async () => {
          if (closed) throw new SealogError('ERR_CLOSED', 'closed')
          closed = true
          await inner.close()
        },
      }
    },
  ],
  'does not wait in close': [
    'close waits for the commits under way',
    inner => {
      let busy: Promise<unknown> = Promise.resolve()
      return {
        commit: batch => {
          const done = inner.commit(batch)
          busy = done.then(pause)
          return busy as Promise<void>
        },
      }
    },
  ],
}

test('the suite accepts the store that it is turned against', async () => {
  expect(await brokenPromises(() => ({}))).toEqual([])
})

test.each(Object.entries(SABOTEURS))('the suite notices a store that %s', async (_, [noticedBy, sabotage]) => {
  expect(await brokenPromises(sabotage)).toContainEqual(expect.stringContaining(noticedBy))
})

async function brokenPromises(sabotage: Sabotage): Promise<readonly string[]> {
  const cases = storeContract(() => {
    const place = memoryStore()
    return {
      store: () => {
        const inner = place.twin()
        return { ...inner, ...sabotage(inner) }
      },
    }
  })
  const broken: string[] = []
  for (const { name, run } of cases) await run().catch(() => broken.push(name))
  return broken
}

function signed(key: Uint8Array): Uint8Array {
  return key.map(byte => byte ^ 0x80)
}

function pause(): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, 2))
}
