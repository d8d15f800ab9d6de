import * as Automerge from '@automerge/automerge/slim'
import { afterEach, describe, expect, it } from 'vitest'
import { verifyFiles } from '../../src/cli/verify-command.ts'
import type { Space } from '../../src/space.ts'
import type { SpaceDocument } from '../../src/space-document.ts'
import { judgeEvidence } from '../../src/verify/judge.ts'
import {
  admitted,
  allSynced,
  codesOf,
  eventually,
  type Founder,
  founded,
  noteOf,
  type Person,
  timely,
} from '../helpers/people.ts'
import { type SetBackRelay, setBackRelay } from '../helpers/set-back-relay.ts'
import { type Note, openWorld, settleKeys, type World } from '../helpers/world.ts'

let world: World
let relay: SetBackRelay

afterEach(async () => {
  await world.close()
  await relay.close()
})

interface Party extends Person {
  readonly note: SpaceDocument<Note>
}

/** Ann, Bob and Carl have the same note. */
async function opened(): Promise<{ readonly ann: Founder; readonly bob: Party; readonly carl: Party }> {
  world = await openWorld({
    hurry: 0.02,
    network: (_, environment) => {
      relay = setBackRelay(environment)
      return relay.transport
    },
  })
  const ann = await founded(world)
  const party = async (name: string): Promise<Party> => {
    const person = await admitted(world, ann.space, name)
    return { ...person, note: await noteOf(person, ann.note) }
  }
  const bob = await party('Bob')
  const carl = await party('Carl')
  await settleKeys(ann.space, timely(world))
  await allSynced(world, ann, bob, carl)
  return { ann, bob, carl }
}

/** Writes a word, in an entry of its own. */
async function write({ space, note }: Party | Founder, word: string): Promise<void> {
  note.change(doc => {
    doc.body += `${word} `
  })
  await space.sync(timely(world))
}

const bodyOf = ({ note }: Party | Founder): string => note.doc().body

function allCodes(space: Space): readonly string[] {
  const codes: string[] = []
  space.on('problem', ({ problem }) => void codes.push(problem.code))
  return codes
}

describe('a relay whose store was set back (R-RESTORE-7)', { timeout: 90_000 }, () => {
  it('is healed by its clients: nothing is lost, and nobody freezes', async () => {
    const { ann, bob, carl } = await opened()
    const backup = relay.backup()
    for (const person of [ann, bob, carl, bob]) await write(person, person.name)
    await allSynced(world, ann, bob, carl)
    const size = relay.size(ann.space.id)
    const seen = [ann, bob, carl].map(({ space }) => allCodes(space))
    await relay.restart({ from: backup })
    await allSynced(world, ann, bob, carl)
    expect(relay.size(ann.space.id)).toBe(size)
    expect(seen.flat()).toContain('ERR_RELAY_BEHIND')
    await write(carl, 'on')
    await allSynced(world, ann, bob, carl)
    for (const person of [ann, bob, carl]) expectSound(person, 'Ann Bob Carl Bob on ')
  })

  it.each([
    ['knows', false],
    ['does not know', true],
  ])('is healed step by step where it %s what it lost, and nobody alone has all of it', async (_, losesHeads) => {
    const { ann, bob, carl } = await opened()
    const backup = relay.backup()
    await write(ann, 'one')
    await allSynced(world, ann, bob, carl)
    carl.space.pause()
    await write(bob, 'two')
    await allSynced(world, ann, bob)
    ann.space.pause()
    await write(bob, 'three')
    bob.space.pause()
    const size = relay.size(ann.space.id)
    await relay.restart({ from: backup, losesHeads })
    // Carl has the least. Without its heads the relay cannot know that there is more.
    carl.space.resume()
    if (losesHeads) await carl.space.sync(timely(world))
    else await eventually(() => codesOf(carl.space)).toContain('ERR_RELAY_BEHIND')
    expect(relay.size(ann.space.id)).toBe(size - (losesHeads ? 2 : 3))
    ann.space.resume()
    if (losesHeads) await ann.space.sync(timely(world))
    bob.space.resume()
    await allSynced(world, bob, ann, carl)
    expect(relay.size(ann.space.id)).toBe(size)
    await write(carl, 'on')
    await allSynced(world, ann, bob, carl)
    for (const person of [ann, bob, carl]) expectSound(person, 'one two three on ')
  })

  it('is healed without the content that no client kept, or that is too much for it: who has it keeps it (R-RESTORE-12)', async () => {
    const { ann, bob, carl } = await opened()
    const files = await ann.space.createDocument<Record<string, Uint8Array>>({})
    await allSynced(world, ann, bob, carl)
    const backup = relay.backup()
    // Of what is as long as the first, no client keeps a second copy as it came from the relay.
    for (const [name, length] of [
      ['long', 300_000],
      ['a', 60_000],
      ['b', 60_000],
    ] as const) {
      files.change(doc => {
        doc[name] = noise(length)
      })
      await ann.space.sync(timely(world))
    }
    await allSynced(world, ann, bob, carl)
    const size = relay.size(ann.space.id)
    await relay.restart({ from: backup, limits: { stagedBytesPerSocket: 100_000 } })
    await allSynced(world, ann, bob, carl)
    expect(relay.size(ann.space.id)).toBe(size)
    await write(carl, 'on')
    await allSynced(world, ann, bob, carl)
    for (const person of [ann, bob, carl]) {
      expectSound(person, 'on ')
      const copy = await person.space.openDocument<Record<string, Uint8Array>>(files.id)
      expect(copy.heads()).toEqual(files.heads())
      expect(copy.doc().long?.length).toBe(300_000)
    }
  })
})

describe('a relay whose operator gives up what it lost', { timeout: 90_000 }, () => {
  it('has it back after all where nobody has written since (R-RESTORE-11)', async () => {
    const { ann, bob, carl } = await opened()
    const backup = relay.backup()
    for (const { space } of [ann, carl]) space.pause()
    await write(bob, 'late')
    const size = relay.size(ann.space.id)
    bob.space.pause()
    await relay.restart({ from: backup, acceptRollback: true })
    for (const { space } of [ann, carl]) {
      space.resume()
      await space.sync(timely(world))
    }
    bob.space.resume()
    await allSynced(world, bob, ann, carl)
    expect(relay.size(ann.space.id)).toBe(size)
    for (const person of [ann, bob, carl]) expectSound(person, 'late ')
  })

  it('goes on with those who did not see it; who saw more is told, and keeps all edits (R-RESTORE-11, R-RESTORE-12)', async () => {
    const { ann, bob, carl } = await rolledBack({ lost: 8, since: 2 })
    const told = allCodes(bob.space)
    bob.space.resume()
    await eventually(() => codesOf(bob.space)).toEqual(['ERR_ROLLBACK'])
    expect(told).toContain('ERR_RELAY_BEHIND')
    const [problem] = bob.space.problems.filter(({ code }) => code === 'ERR_ROLLBACK')
    expect(problem?.message).toMatch(/goes on from another log, of \d+ entries, than the one of \d+ that it signed/)
    expect(bob.space.status).toMatchObject({ connection: 'online', frozen: false, membership: 'member' })
    await expectExportable(bob, `${'lost '.repeat(8)}`)
    // Whom the operator gave up stops nobody else, also after the next start.
    await write(ann, 'on')
    await relay.restart()
    await write(carl, 'and')
    await allSynced(world, ann, carl)
    for (const person of [ann, carl]) expectSound(person, 'since since on and ')
    expect(bob.space.status.frozen).toBe(false)
  })

  it('is convicted once it has signed another log of that size: sync ends, with evidence that anybody can judge (R-FREEZE-3)', async () => {
    const { ann, bob, carl } = await rolledBack({ lost: 2, since: 5 })
    bob.space.resume()
    await eventually(() => bob.space.status.frozen).toBe(true)
    expect(codesOf(bob.space)).toContain('ERR_FROZEN')
    const evidence = bob.space.exportEvidence() as Uint8Array
    expect(judgeEvidence(evidence)).toMatchObject({ verdict: 'holds', space: bob.space.id })
    const { name, key } = bob.space.relay
    const report = verifyFiles([evidence], { key, origin: `${name}/${bob.space.id}` })
    expect(report).toMatchObject({ verdict: 'holds', facts: { origin: `${name}/${bob.space.id}` } })
    await expect(bob.space.sync(timely(world))).rejects.toMatchObject({ code: 'ERR_FROZEN' })
    await expectExportable(bob, 'lost lost ')
    await write(carl, 'on')
    await allSynced(world, ann, carl)
    for (const person of [ann, carl]) expectSound(person, 'since since since since since on ')
  })

  it('cannot go on with whom the log that it gave up was shown by somebody else', async () => {
    const { ann, bob } = await rolledBack({ lost: 3, since: 1 })
    const head = bob.space.head as Uint8Array
    await ann.space.compareHead(head, timely(world))
    ann.note.change(doc => {
      doc.body += 'kept '
    })
    await eventually(() => codesOf(ann.space)).toContain('ERR_ROLLBACK')
    expect(ann.space.status.local).toMatchObject({ pending: 1 })
    expect(bodyOf(ann)).toBe('since kept ')
  })
})

/** Bob alone has seen `lost` entries that the relay then gave up; Ann has written `since` others in their place. */
async function rolledBack({ lost, since }: { readonly lost: number; readonly since: number }) {
  const { ann, bob, carl } = await opened()
  const backup = relay.backup()
  for (const { space } of [ann, carl]) space.pause()
  for (let i = 0; i < lost; i++) await write(bob, 'lost')
  bob.space.pause()
  await relay.restart({ from: backup, acceptRollback: true })
  for (const { space } of [ann, carl]) space.resume()
  for (let i = 0; i < since; i++) await write(ann, 'since')
  await allSynced(world, ann, carl)
  await relay.restart()
  await allSynced(world, ann, carl)
  return { ann, bob, carl }
}

function expectSound(person: Party | Founder, body: string): void {
  expect(bodyOf(person)).toBe(body)
  expect(codesOf(person.space)).toEqual([])
  expect(person.space.status.frozen).toBe(false)
  expect(person.space.status.local.pending).toBe(0)
}

/** What somebody has is there, can be written to, and can be carried into another space. */
async function expectExportable(person: Party, body: string): Promise<void> {
  person.note.change(doc => {
    doc.body += 'still '
  })
  await person.note.saved()
  expect(bodyOf(person)).toBe(`${body}still `)
  const elsewhere = await person.replica.createSpace({ name: 'Elsewhere', ...timely(world) })
  const copy = await elsewhere.importDocument<Note>(Automerge.save(person.note.doc() as Automerge.Doc<Note>))
  expect(copy.doc().body).toBe(`${body}still `)
  await elsewhere.sync(timely(world))
}

/** Bytes that do not compress. */
function noise(length: number): Uint8Array {
  const { random } = world.platform.environment
  return Buffer.concat(Array.from({ length: length / 30_000 }, () => random(30_000)))
}
