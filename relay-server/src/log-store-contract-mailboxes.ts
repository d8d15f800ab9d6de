import type { StoredMailbox } from './log-store.ts'
import { type Check, equal, failingSteps } from './log-store-contract-checks.ts'
import { bytes, SPACE, sampleAppend } from './log-store-contract-samples.ts'

const MINE = bytes(32, 1)
const OTHER = bytes(32, 2)

/** Mailboxes, which are of no space. */
export const MAILBOX_CASES: Readonly<Record<string, Check>> = {
  'a mailbox is replaced by what has a larger counter, and by nothing else': async (_, opened) => {
    const store = await opened()
    equal(await store.readMailbox(MINE), undefined)
    equal(await store.putMailbox(MINE, mailbox(0, 1)), true)
    equal(await store.readMailbox(MINE), mailbox(0, 1))
    equal(await store.putMailbox(MINE, mailbox(7, 2, 256 * 1024)), true)
    for (const counter of [0, 6, 7]) equal(await store.putMailbox(MINE, mailbox(counter, 3)), false)
    equal(await store.readMailbox(MINE), mailbox(7, 2, 256 * 1024))
    equal(await store.putMailbox(MINE, mailbox(8, 4, 1)), true)
    equal(await store.readMailbox(MINE), mailbox(8, 4, 1))
    equal(await store.putMailbox(MINE, mailbox(Number.MAX_SAFE_INTEGER, 5)), true)
    equal(await store.readMailbox(MINE), mailbox(Number.MAX_SAFE_INTEGER, 5))
  },

  'of two contents with one counter that come together, the first stays': async (_, opened) => {
    const store = await opened()
    const rivals = [mailbox(3, 1), mailbox(3, 2)]
    const taken = await Promise.all(rivals.map(rival => store.putMailbox(MINE, rival)))
    equal(taken.filter(each => each).length, 1)
    equal(await store.readMailbox(MINE), rivals[taken.indexOf(true)])
  },

  'mailboxes do not mix, nor do they need a space': async (_, opened) => {
    const store = await opened()
    await store.putMailbox(MINE, mailbox(2, 1))
    await store.putMailbox(OTHER, mailbox(1, 2))
    equal(await store.readMailbox(MINE), mailbox(2, 1))
    equal(await store.readMailbox(OTHER), mailbox(1, 2))
    await store.append(sampleAppend({ from: 0, count: 1 }))
    equal(await store.readMailbox(MINE), mailbox(2, 1))
    equal((await store.readSpace(SPACE))?.size, 1)
  },

  'a mailbox that fails at any step is as it was before': async (_, opened) => {
    const steps = failingSteps()
    const store = await opened(steps.take)
    await store.putMailbox(MINE, mailbox(1, 1))
    const attempt = async (): Promise<void> => void (await store.putMailbox(MINE, mailbox(2, 2)))
    for (let failAt = 1; await steps.fails(failAt, attempt); failAt++) {
      equal(await store.readMailbox(MINE), mailbox(1, 1))
    }
    equal(await store.readMailbox(MINE), mailbox(2, 2))
  },

  'mailboxes are there for the next store over the same place': async (place, opened) => {
    if (!place.isPersistent) return
    const before = await opened()
    await before.putMailbox(MINE, mailbox(4, 1))
    await before.close()
    const store = await opened()
    equal(await store.readMailbox(MINE), mailbox(4, 1))
    equal(await store.putMailbox(MINE, mailbox(4, 2)), false)
  },
}

function mailbox(counter: number, seed: number, length = 100): StoredMailbox {
  return { counter, bytes: bytes(length, seed), signature: bytes(64, seed + 1) }
}
