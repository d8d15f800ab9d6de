import { describe, test } from 'vitest'
import { sharedLogStoreContract } from '../src/log-store-contract-shared.ts'
import { memoryContent, memoryLogStore } from '../src/log-store-memory.ts'

describe('contract of log stores that share a place: memory', () => {
  const cases = sharedLogStoreContract(() => {
    const content = memoryContent()
    return { isPersistent: true, store: () => memoryLogStore(content) }
  })
  for (const { name, run } of cases) test(name, run)
})
