import {
  decodeSkipHead,
  encodeNote,
  encodeNoteText,
  generateSeed,
  nobleSigningKey,
  noteKeyHash,
  parseNote,
  type SpaceId,
} from 'sealog/protocol'
import { describe, expect, test } from 'vitest'
import { answerTo, cosigned } from './helpers/answers.ts'
import { authorInvite, makeDevice, type TestDevice } from './helpers/authoring.ts'
import type { TestReplica } from './helpers/replica.ts'
import { admit, openWorld } from './helpers/world.ts'

async function worldOfThree() {
  const world = await openWorld()
  const owner = await world.reader()
  const anna = await admit(world, owner)
  const ben = await admit(world, owner)
  const annas = await world.reader(anna)
  const bens = await world.reader(ben)
  await owner.follow(world.space)
  const note = annas.syncs.at(-1)?.batch.note as Uint8Array
  return { world, owner, anna, annas, ben, bens, note }
}

type Three = Awaited<ReturnType<typeof worldOfThree>>

/** @returns the code of the refusal, undefined where it was taken */
async function hand({ world }: Three, replica: TestReplica, note: Uint8Array): Promise<string | undefined> {
  const ref = replica.ref()
  replica.send({ type: 'cosign', ref, space: world.space, note })
  await world.relay.deliverAll()
  const refused = replica.rejects.find(reject => reject.ref === ref)
  expect(replica.messages.some(message => message.type === 'received' && message.ref === ref)).toBe(!refused)
  return refused?.code
}

/** The cosigners' names in what the relay offers, or undefined where it offers nothing. */
async function offered(
  { world }: Three,
  replica: TestReplica,
  attestations = 1,
): Promise<readonly string[] | undefined> {
  const ref = replica.ref()
  replica.send({ type: 'skip', ref, space: world.space, at: 0, from: 0, attestations, prove: [] })
  await world.relay.deliverAll()
  if (replica.rejects.some(reject => reject.ref === ref && reject.code === 'ERR_UNEXPECTED')) return undefined
  const { note } = decodeSkipHead(answerTo(replica, ref).head)
  return parseNote(note)
    .signatures.map(line => line.name.slice(line.name.lastIndexOf('/') + 1))
    .slice(1)
}

describe('what is kept is a note of this relay with one sound cosignature of the device that sent it (R-COSIGN-2)', () => {
  const strangerKey = nobleSigningKey(generateSeed(length => new Uint8Array(length).fill(9)))

  async function foreign(note: Uint8Array): Promise<Uint8Array> {
    const { checkpoint } = parseNote(note)
    const signature = await strangerKey.sign(encodeNoteText(checkpoint))
    const keyHash = noteKeyHash(checkpoint.origin, strangerKey.publicKey)
    return encodeNote(checkpoint, [{ name: checkpoint.origin, keyHash, signature }])
  }

  const FAULTS: Readonly<Record<string, (three: Three) => Promise<Uint8Array> | Uint8Array>> = {
    'no note': () => new Uint8Array(20),
    'no cosignature': ({ note }) => note,
    'a note by another key': async ({ note, world }) => cosigned(await foreign(note), world.space, world.owner),
    'a cosignature of another device': ({ note, world, anna }) => cosigned(note, world.space, anna),
    'a cosignature for another space': ({ note, world }) => cosigned(note, 'ab'.repeat(32) as SpaceId, world.owner),
    'a cosignature under the number of another': ({ note, world, anna }) =>
      cosigned(note, world.space, { ...anna, number: world.owner.number } as TestDevice),
    'a cosignature that does not verify': async ({ note, world }) => {
      const { checkpoint, signatures } = parseNote(await cosigned(note, world.space, world.owner))
      const [own, line] = signatures
      if (own === undefined || line === undefined) throw new Error('no cosignature')
      const signature = line.signature.with(40, (line.signature[40] as number) ^ 1)
      return encodeNote(checkpoint, [own, { ...line, signature }])
    },
    'two cosignatures of one device': async ({ note, world }) =>
      cosigned(await cosigned(note, world.space, world.owner, 5), world.space, world.owner, 6),
    'a changed text': async ({ note, world }) => {
      const text = new TextDecoder().decode(await cosigned(note, world.space, world.owner))
      return new TextEncoder().encode(text.replace(/\ntime 1/, '\ntime 2'))
    },
  }

  test.each(Object.entries(FAULTS))('%s is refused', async (_name, fault) => {
    const three = await worldOfThree()
    expect(await hand(three, three.owner, await fault(three))).toBe('ERR_SIGNATURE')
    expect(await offered(three, three.annas)).toBeUndefined()
    three.world.environment.advance(10_000)
    expect(
      await hand(three, three.owner, await cosigned(three.note, three.world.space, three.world.owner)),
    ).toBeUndefined()
    expect(await offered(three, three.annas)).toEqual([`${three.world.owner.number}`])
  })

  test('of a provisional device, and of one that has not opened the space, nothing is taken', async () => {
    const three = await worldOfThree()
    const { world, owner, note } = three
    const count = owner.view?.state?.control.count as number
    const guest = makeDevice(world.environment.random, count)
    owner.push(
      world.space,
      authorInvite(world.environment.random, world.owner, world.genesis.hash, guest, { seen: owner.seen }),
    )
    await world.relay.deliverAll()
    const guests = await world.reader(guest)
    expect(await hand(three, guests, await cosigned(note, world.space, guest))).toBe('ERR_UNAUTHORIZED')
    const stranger = await world.connect()
    expect(await hand(three, stranger, await cosigned(note, world.space, world.owner))).toBe('ERR_UNAUTHORIZED')
  })
})

test('a device cosigns once in a while, and again when the log has grown (R-COSIGN-4)', async () => {
  const three = await worldOfThree()
  const { world, owner, note } = three
  const shown = await cosigned(note, world.space, world.owner)
  expect(await hand(three, owner, shown)).toBeUndefined()
  expect(await hand(three, owner, shown)).toBe('ERR_RATE_LIMITED')
  expect(owner.rejects.at(-1)?.retryAfter).toBe(10_000)
  world.environment.advance(10_000)
  expect(await hand(three, owner, shown)).toBeUndefined()
  // A connection of its own changes nothing.
  const again = await world.reader()
  expect(await hand(three, again, shown)).toBe('ERR_RATE_LIMITED')
  expect(await hand(three, three.annas, await cosigned(note, world.space, three.anna))).toBeUndefined()
})

test('cosignatures of one text add up, one for each member, and what others put into the note is left out (R-COSIGN-3)', async () => {
  const three = await worldOfThree()
  const { world, owner, anna, annas, ben, bens, note } = three
  const { space } = world
  expect(await hand(three, annas, await cosigned(note, space, anna, 7))).toBeUndefined()
  // A writer alone is not enough for anybody else.
  expect(await offered(three, bens)).toBeUndefined()
  const busy = await cosigned(await cosigned(note, space, ben, 9), space, world.owner, 8)
  expect(await hand(three, owner, busy)).toBeUndefined()
  expect(await offered(three, bens)).toEqual([anna, world.owner].map(device => `${device.number}`))
  expect(await offered(three, bens, 2)).toBeDefined()
  expect(await offered(three, bens, 3)).toBeUndefined()
  expect(await offered(three, owner, 1)).toBeUndefined()
  world.environment.advance(10_000)
  expect(await hand(three, annas, await cosigned(note, space, anna, 77))).toBeUndefined()
  expect(await offered(three, bens, 2)).toEqual([world.owner, anna].map(device => `${device.number}`))
})

test('of two texts of one size the one with more cosigners stays (R-COSIGN-3)', async () => {
  const three = await worldOfThree()
  const { world, owner, anna, annas, bens, note } = three
  const { space } = world
  expect(await hand(three, owner, await cosigned(note, space, world.owner))).toBeUndefined()
  expect(await hand(three, annas, await cosigned(note, space, anna))).toBeUndefined()
  world.environment.advance(60_000)
  bens.pull(space)
  await world.relay.deliverAll()
  const later = bens.syncs.at(-1)?.batch.note as Uint8Array
  expect(parseNote(later).checkpoint.time).toBeGreaterThan(parseNote(note).checkpoint.time)
  expect(await hand(three, owner, await cosigned(later, space, world.owner))).toBeUndefined()
  expect(await offered(three, bens, 2)).toEqual([world.owner, anna].map(device => `${device.number}`))
})
