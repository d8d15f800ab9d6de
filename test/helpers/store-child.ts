import { writeSync } from 'node:fs'
import { argv } from 'node:process'
import { nodeStore } from '../../src/crdt/store-node.ts'
import { COUNTER_KEY, numberedBatch, readNumber } from './numbered-batches.ts'

// A process that is there to be killed: commits numbered batches to the store in the file of its argument, going on
// after the last one it finds, and writes each number to its output once the commit is acknowledged.

const store = nodeStore(argv[2] as string)
await store.open()
let number = readNumber(await store.get(COUNTER_KEY))
for (;;) {
  number++
  await store.commit(numberedBatch(number))
  writeSync(1, `${number}\n`)
}
