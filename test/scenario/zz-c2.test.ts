import { expect, it, vi } from 'vitest'
import { transitionEvidence } from '../../src/verify/build-evidence.ts'
import * as J from '../../src/verify/judge.ts'
import { openLyingWorld, partyOf, within, write } from '../helpers/lies.ts'

it('dbg', async () => {
  const opened = await openLyingWorld()
  const { ann, bob, relay } = opened
  relay.lie('signed-entry-of-another-space', { to: await partyOf(bob) })
  write(ann, 'x')
  await ann.space.sync(within(opened))
  await expect.poll(() => bob.space.problems.length, { timeout: 3000 }).toBeGreaterThan(0)
  console.log(bob.space.problems)
  await opened.close()
})
