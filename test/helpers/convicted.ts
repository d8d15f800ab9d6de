import { expect } from 'vitest'
import { judgeEvidence } from '../../src/verify/judge.ts'
import { bodies, type LyingWorld, type Party, write } from './lies.ts'
import type { Note } from './world.ts'

/**
 * Sync of a space has ended, by evidence that convicts this relay; what was there stays, local work goes on, and after
 * a restart, whatever the relay says by then, it is the same. Closes the party's replica.
 */
export async function expectConvicted({ relay, world }: LyingWorld, party: Party): Promise<void> {
  const { space, store, replica } = party
  const evidence = space.exportEvidence()
  expect(space.status.frozen).toBe(true)
  expect(evidence).toBeDefined()
  const verdict = judgeEvidence(evidence as Uint8Array)
  expect(verdict).toMatchObject({ verdict: 'holds', space: space.id, relay: { name: relay.name, key: relay.key } })

  write(party, 'kept ')
  for (const note of party.notes) await note.saved()
  const held = bodies(party)
  for (const body of held) expect(body.startsWith('kept ')).toBe(true)
  await replica.close()
  relay.honest()

  const again = await world.open(party.name, store)
  const reopened = await again.openSpace(space.id)
  expect(reopened.status.frozen).toBe(true)
  expect(reopened.exportEvidence()).toEqual(evidence)
  const notes = await Promise.all(party.notes.map(({ id }) => reopened.openDocument<Note>(id)))
  expect(notes.map(note => note.doc().body)).toEqual(held)
  const { size } = reopened.status.confirmed
  // Nothing is asked for any more, and nothing is sent.
  const opens = world.count('open')
  reopened.pause()
  reopened.resume()
  expect(world.count('open')).toBe(opens)
  expect(reopened.status.confirmed.size).toBe(size)
  await again.close()
}
