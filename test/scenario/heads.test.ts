import { afterEach, describe, expect, it } from 'vitest'
import { toHex } from '../../src/bytes.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import type { HeadChannel } from '../../src/head-exchange.ts'
import { decodeHeadMessage, encodeHeadMessage } from '../../src/head-message.ts'
import { Replica } from '../../src/replica.ts'
import { openPair, openWorld, type World } from '../helpers/world.ts'

const TIMEOUT = 1_000_000

let world: World
afterEach(() => world.close())

/** A channel as between the tabs of one origin. */
function origin(): { readonly channel: () => HeadChannel; readonly posted: Uint8Array[] } {
  const listeners = new Set<(message: unknown) => void>()
  const posted: Uint8Array[] = []
  const channel = (): HeadChannel => {
    let own: ((message: unknown) => void) | undefined
    return {
      post: message => {
        posted.push(message)
        for (const listener of listeners) if (listener !== own) listener(message)
      },
      listen: onMessage => {
        own = onMessage
        listeners.add(onMessage)
        return () => listeners.delete(onMessage)
      },
    }
  }
  return { channel, posted }
}

describe('heads between replicas of one device (R-HEAD-1)', () => {
  it('are passed on, and compared by the others; garbage harms nobody', async () => {
    world = await openWorld({ hurry: 0.005 })
    const { channel, posted } = origin()
    const platform = (): typeof world.platform => ({ ...world.platform, heads: channel() })
    const open = (name: string): Promise<Replica> =>
      Replica.open({ store: memoryStore(), relay: 'ws://relay.test', profile: { name } }, platform())
    const one = await open('tab one')
    const two = await open('tab two')
    const first = await one.createSpace({ timeout: TIMEOUT })
    const second = await two.joinSpace(await first.invite({ timeout: TIMEOUT }), { timeout: TIMEOUT })
    const told = (): string[] => posted.map(bytes => toHex(decodeHeadMessage(bytes).note))
    await expect.poll(told).toContain(toHex(first.head as Uint8Array))
    const { space, note } = decodeHeadMessage(posted.at(-1) as Uint8Array)
    expect(space).toBe(first.id)
    const stranger = channel()
    for (const message of [new Uint8Array(9), 'text', undefined]) stranger.post(message as Uint8Array)
    stranger.post(encodeHeadMessage({ space, note: new Uint8Array(20) }))
    await expect.poll(() => second.problems.map(({ code }) => code)).toEqual(['ERR_CHECKPOINT'])
    stranger.post(encodeHeadMessage({ space, note }))
    await expect.poll(() => second.problems).toEqual([])
    expect(second.status.frozen).toBe(false)
    await Promise.all([one.close(), two.close()])
  })
})

describe('a head of another member (R-HEAD-2)', () => {
  it('behind, level or ahead is one log; fingerprints are equal, and change with every member', async () => {
    world = await openWorld({ hurry: 0.01 })
    const { annSpace, bobSpace, annNote } = await openPair(world)
    const early = bobSpace.head as Uint8Array
    annNote.change(doc => {
      doc.title = 'more'
    })
    await annSpace.sync({ timeout: TIMEOUT })
    await bobSpace.sync({ timeout: TIMEOUT })
    await annSpace.compareHead(early, { timeout: TIMEOUT })
    await annSpace.compareHead(bobSpace.head as Uint8Array, { timeout: TIMEOUT })
    const [ann, bob] = [annSpace.fingerprint(), bobSpace.fingerprint()]
    expect(ann?.digits).toMatch(/^(\d{5} ){11}\d{5}$/)
    expect(ann?.digits).toBe(bob?.digits)
    expect(await annSpace.verifyFingerprint(bob?.qr as string, { timeout: TIMEOUT })).toBe(true)
    await annSpace.invite({ timeout: TIMEOUT })
    expect(annSpace.fingerprint()?.digits).not.toBe(ann?.digits)
    expect(await annSpace.verifyFingerprint(bob?.qr as string, { timeout: TIMEOUT })).toBe(false)
    // Ahead: the log has to lead there.
    bobSpace.pause()
    annNote.change(doc => {
      doc.title = 'more and more'
    })
    await annSpace.sync({ timeout: TIMEOUT })
    bobSpace.resume()
    await bobSpace.compareHead(annSpace.head as Uint8Array, { timeout: TIMEOUT })
    await bobSpace.sync({ timeout: TIMEOUT })
    expect(bobSpace.problems).toEqual([])
    expect(annSpace.status.confirmed.byOther?.member).toBe(bobSpace.me.id)
  })

  it('shows as stale when the relay has signed nothing for long (R-FRESH-1)', async () => {
    world = await openWorld({ hurry: 0.01 })
    const ann = await world.open('Ann', memoryStore(), { staleAfter: 600 })
    const space = await ann.createSpace({ timeout: TIMEOUT })
    await space.sync({ timeout: TIMEOUT })
    world.down()
    await expect.poll(() => space.status.confirmed.stale).toBe(true)
    world.up()
    await space.sync({ timeout: TIMEOUT })
    await space.createDocument({ x: 1 })
    await space.sync({ timeout: TIMEOUT })
    expect(space.status.confirmed.stale).toBe(false)
  })
})
