import { describe, expect, it } from 'vitest'
import { fromBase64Url, toBase64Url } from '../../src/bytes.ts'
import { type Cbor, decodeCbor, encodeCbor } from '../../src/codec.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import { type Note, openPair, openWorld, settle } from '../helpers/world.ts'
import { controlledStore } from './controlled-store.ts'

/** The link with some of its fields replaced. */
function forged(link: string, change: (fields: Cbor[]) => void): string {
  const fields = [...(decodeCbor(fromBase64Url(link.slice('sealog:'.length)), 8192) as Cbor[])]
  change(fields)
  return `sealog:${toBase64Url(encodeCbor(fields))}`
}

describe('joining twice at once', () => {
  it('with one link (a double click) makes one member and a store that opens', async () => {
    const world = await openWorld()
    const { ann, bob, annSpace } = await openPair(world)
    const link = await annSpace.invite({ timeout: 30_000 })
    const store = memoryStore()
    const carl = await world.open('Carl', store)
    const [first, second] = await Promise.all([
      carl.joinSpace(link, { timeout: 30_000 }),
      carl.joinSpace(link, { timeout: 30_000 }),
    ])
    expect(second).toBe(first)
    await settle(first, annSpace)
    expect(annSpace.members()).toHaveLength(3)
    await carl.close()
    const again = await world.open('Carl', store.twin())
    const space = await again.openSpace(annSpace.id)
    await settle(space)
    expect(space.members()).toHaveLength(3)
    await Promise.all([ann.close(), bob.close(), again.close()])
  })

  it('with two invites uses one of them', async () => {
    const world = await openWorld()
    const { ann, bob, annSpace } = await openPair(world)
    const links = [await annSpace.invite({ timeout: 30_000 }), await annSpace.invite({ timeout: 30_000 })]
    const store = memoryStore()
    const carl = await world.open('Carl', store)
    const [first, second] = await Promise.all(links.map(link => carl.joinSpace(link, { timeout: 30_000 })))
    expect(second).toBe(first)
    await carl.close()
    // The other one is still good.
    const dora = await world.open('Dora')
    await expect(Promise.any(links.map(link => dora.joinSpace(link, { timeout: 30_000 })))).resolves.toMatchObject({
      id: annSpace.id,
    })
    const again = await world.open('Carl', store.twin())
    await settle(await again.openSpace(annSpace.id))
    await Promise.all([ann.close(), bob.close(), dora.close(), again.close()])
  })

  it('with a used invite first and a good one second joins by the good one', async () => {
    const world = await openWorld()
    const { ann, bob, annSpace } = await openPair(world)
    const used = await annSpace.invite({ timeout: 30_000 })
    const dora = await world.open('Dora')
    await dora.joinSpace(used, { timeout: 30_000 })
    const good = await annSpace.invite({ timeout: 30_000 })
    const carl = await world.open('Carl')
    const [first, second] = await Promise.allSettled([
      carl.joinSpace(used, { timeout: 30_000 }),
      carl.joinSpace(good, { timeout: 30_000 }),
    ])
    expect(first).toMatchObject({ status: 'rejected', reason: { code: 'ERR_INVITE' } })
    expect(second.status).toBe('fulfilled')
    expect(await carl.spaces()).toEqual([annSpace.id])
    await Promise.all([ann.close(), bob.close(), carl.close(), dora.close()])
  })
})

describe('a join that is interrupted', () => {
  it('goes on after a restart, whatever was the last thing stored', async () => {
    const world = await openWorld({ hurry: 0.2 })
    const { ann, bob, annSpace, annNote } = await openPair(world)
    let members = annSpace.members().length
    for (let last = 1; ; last++) {
      const link = await annSpace.invite({ timeout: world.patience(30_000) })
      const inner = memoryStore()
      const store = controlledStore(inner)
      let commits = 0
      const stop = new AbortController()
      store.after = () => {
        if (++commits !== last) return
        world.down()
        stop.abort()
      }
      const carl = await world.open('Carl', store)
      const joining = carl.joinSpace(link, { signal: stop.signal, timeout: world.patience(30_000) })
      const space = await joining.catch(() => undefined)
      await carl.close()
      world.up()
      const again = await world.open('Carl', inner.twin())
      const resumed = await again.joinSpace(link, { timeout: world.patience(30_000) })
      await settle(resumed, annSpace)
      expect(annSpace.members()).toHaveLength(++members)
      expect((await resumed.openDocument<Note>(annNote.id)).heads()).toEqual(annNote.heads())
      await again.close()
      if (space !== undefined && commits < last) break
    }
    expect(members).toBeGreaterThan(5)
    await ann.close()
    await bob.close()
  }, 120_000)

  it('by its signal can be waited for again', async () => {
    const world = await openWorld()
    const { ann, bob, annSpace } = await openPair(world)
    const link = await annSpace.invite({ timeout: 30_000 })
    const carl = await world.open('Carl')
    await expect(carl.joinSpace(link, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ERR_ABORTED' })
    world.down()
    await expect(carl.joinSpace(link, { timeout: 50 })).rejects.toMatchObject({ code: 'ERR_TIMEOUT' })
    world.up()
    await carl.joinSpace(link, { timeout: 30_000 })
    await Promise.all([ann.close(), bob.close(), carl.close()])
  })
})

describe('an invite', () => {
  it('to a space that one is in just opens it, offline too, and stays unused', async () => {
    const world = await openWorld()
    const { ann, bob, annSpace, bobSpace } = await openPair(world)
    const link = await annSpace.invite({ timeout: 30_000 })
    expect(await annSpace.members()).toHaveLength(2)
    world.down()
    expect(await bob.joinSpace(link, { timeout: 2000 })).toBe(bobSpace)
    expect(await ann.joinSpace(link, { timeout: 2000 })).toBe(annSpace)
    world.up()
    const carl = await world.open('Carl')
    await carl.joinSpace(link, { timeout: 30_000 })
    await Promise.all([ann.close(), bob.close(), carl.close()])
  })

  it('that leads to no address of a relay is refused before anything is stored', async () => {
    const world = await openWorld()
    const { ann, bob, annSpace } = await openPair(world)
    const link = await annSpace.invite({ timeout: 30_000 })
    const carl = await world.open('Carl')
    for (const url of ['', 'javascript:alert(1)', 'https://relay.test', 'ws://', `ws://${'x'.repeat(600)}`]) {
      const bad = forged(link, fields => {
        const [name, key] = fields[2] as Cbor[]
        fields[2] = [name as Cbor, key as Cbor, url]
      })
      await expect(carl.joinSpace(bad, { timeout: 1000 })).rejects.toMatchObject({ code: 'ERR_INVITE' })
    }
    expect(await carl.spaces()).toEqual([])
    await Promise.all([ann.close(), bob.close(), carl.close()])
  })

  it('with one byte changed anywhere never does more than fail with a code', async () => {
    const world = await openWorld()
    const { ann, bob, annSpace } = await openPair(world)
    const link = await annSpace.invite({ timeout: 30_000 })
    const bytes = fromBase64Url(link.slice('sealog:'.length))
    const carl = await world.open('Carl')
    for (let at = 0; at < bytes.length; at += 3) {
      const copy = bytes.slice()
      copy[at] = (copy[at] as number) ^ 0x15
      const preview = await carl.previewInvite(`sealog:${toBase64Url(copy)}`).catch(error => error)
      if (preview instanceof Error) expect(preview).toMatchObject({ code: expect.stringMatching(/^ERR_/) })
    }
    await Promise.all([ann.close(), bob.close(), carl.close()])
  })

  it('that names a relay other than the one at its address is refused, and does not spoil the address', async () => {
    const world = await openWorld()
    const { ann, bob, annSpace } = await openPair(world)
    // Another relay of the same name, with its own key, has signed this one.
    const elsewhere = await openWorld()
    const other = await openPair(elsewhere)
    const move = (link: string, url: string): string =>
      forged(link, fields => {
        const [name, key] = fields[2] as Cbor[]
        fields[2] = [name as Cbor, key as Cbor, url]
      })
    const wrong = await other.annSpace.invite({ timeout: 30_000 })
    const right = await annSpace.invite({ timeout: 30_000 })
    const carl = await world.open('Carl')
    // At an address that was never met, and at the one that was.
    for (const url of ['ws://new.test', 'ws://relay.test']) {
      await expect(carl.joinSpace(move(wrong, url), { timeout: 30_000 })).rejects.toMatchObject({
        code: 'ERR_RELAY_IDENTITY',
      })
      expect(await carl.spaces()).toEqual([])
    }
    const space = await carl.joinSpace(move(right, 'ws://new.test'), { timeout: 30_000 })
    expect(space.id).toBe(annSpace.id)
    await Promise.all([ann, bob, carl, other.ann, other.bob].map(replica => replica.close()))
  })

  it('whose time is over is refused on both sides', async () => {
    const world = await openWorld()
    const { ann, bob, annSpace } = await openPair(world)
    const link = await annSpace.invite({ timeout: 5000, expiresIn: 1 })
    await new Promise(resolve => setTimeout(resolve, 5))
    const carl = await world.open('Carl')
    expect(await carl.previewInvite(link)).toMatchObject({ expired: true })
    await expect(carl.joinSpace(link, { timeout: 2000 })).rejects.toMatchObject({ code: 'ERR_INVITE' })
    // A person who sets the clock back, or changes the link, finds that the relay knows the time.
    const later = forged(link, fields => {
      fields[9] = Date.now() + 1e6
    })
    await expect(carl.joinSpace(later, { timeout: 30_000 })).rejects.toMatchObject({ code: 'ERR_INVITE' })
    expect(await carl.spaces()).toEqual([])
    await Promise.all([ann.close(), bob.close(), carl.close()])
  })
})
