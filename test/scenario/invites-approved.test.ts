import { afterEach, describe, expect, it, vi } from 'vitest'
import { SpaceKeys } from '../../src/crdt/epoch-secrets.ts'
import { decodeInviteLink, encodeInviteLink, inviteKeys, inviteQr } from '../../src/crdt/invite-link.ts'
import { deviceKeysOf, joinBody, newDevice } from '../../src/crdt/membership.ts'
import { sealControl } from '../../src/crdt/seal.ts'
import { nobleSigningKey } from '../../src/crypto/sign-backend.ts'
import { idBytes } from '../../src/ids.ts'
import type { Replica } from '../../src/replica.ts'
import type { Space } from '../../src/space.ts'
import type { JoinRequest } from '../../src/space-status.ts'
import { encodeControlBody } from '../../src/verify/control-codec.ts'
import { emptyView } from '../../src/verify/log.ts'
import { openMember, pushAs } from '../helpers/hostile-member.ts'
import { plunder, relayLoot, thiefOf } from '../helpers/loot.ts'
import { admitted, allSynced, epochIn, eventually, founded, idOf, retitle, timely } from '../helpers/people.ts'
import { type Note, openWorld, type World } from '../helpers/world.ts'

vi.setConfig({ testTimeout: 60_000 })

const HURRY = 0.02
const HOUR = 60 * 60 * 1000

let world: World
afterEach(() => world.close())

interface Asking {
  readonly replica: Replica
  readonly joining: Promise<Space>
  readonly request: JoinRequest
}

/** Somebody who has used an approved link, and waits. */
async function asking(link: string, name: string, ...seers: Space[]): Promise<Asking> {
  const replica = await world.open(name)
  const joining = replica.joinSpace(link, timely(world))
  joining.catch(() => {})
  for (const seer of seers) await eventually(() => seer.requests().map(each => each.name)).toContain(name)
  const request = seers[0]?.requests().find(each => each.name === name) as JoinRequest
  return { replica, joining, request }
}

const outcome = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'joined',
    error => error.code,
  )

describe('an invite to be approved', () => {
  it('shows both sides the same keys, and lets in who was approved', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const bob = await admitted(world, ann.space, 'Bob')
    const link = await ann.space.invite({ kind: 'approved', role: 'writer', ...timely(world) })
    const before = await epochIn(ann.space)
    const carl = await asking(link, 'Carl', ann.space, bob.space)
    expect(carl.request).toMatchObject({ name: 'Carl', device: "Carl's laptop", role: 'writer', history: 'all' })
    expect(ann.space.invites()).toEqual([])
    const waiting = await carl.replica.openSpace(ann.space.id)
    await eventually(() => waiting.status.membership).toBe('pending')
    expect(waiting.ownFingerprint).toBe(carl.request.fingerprint)
    expect(bob.space.requests()[0]?.fingerprint).toBe(carl.request.fingerprint)
    // Before that he is nobody: he sees no name, no content, and is shown to nobody as a member.
    expect(waiting.documents()).toEqual([])
    expect(waiting.name).toBe('')
    expect(ann.space.members()).toHaveLength(2)
    expect(await epochIn(ann.space)).toBe(before)
    await expect(waiting.createDocument({})).rejects.toMatchObject({ code: 'ERR_READ_ONLY' })
    await ann.space.approve(carl.request.id, timely(world))
    const his = await carl.joining
    await his.sync(timely(world))
    const note = await his.openDocument<Note>(ann.note.id)
    expect(note.doc().title).toBe('Day 1')
    retitle(note, 'by Carl')
    await his.sync(timely(world))
    await ann.space.sync(timely(world))
    expect(ann.note.doc().title).toBe('by Carl')
    const member = ann.space.members().find(({ name }) => name === 'Carl')
    expect(member?.devices[0]?.fingerprint).toBe(carl.request.fingerprint)
    expect(ann.space.requests()).toEqual([])
    expect((await ann.space.history()).some(({ type }) => type === 'approve')).toBe(true)
  })

  it('is refused to who was declined; the link is used up, and content never was within reach', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const link = await ann.space.invite({ kind: 'approved', ...timely(world) })
    const carl = await asking(link, 'Carl', ann.space)
    const { id } = ann.space
    const waiting = await carl.replica.openSpace(id)
    await eventually(() => waiting.status.membership).toBe('pending')
    await ann.space.decline(carl.request.id, timely(world))
    expect(await outcome(carl.joining)).toBe('ERR_INVITE')
    expect(await carl.replica.spaces()).toEqual([])
    expect(ann.space.members()).toHaveLength(1)
    const dora = await world.open('Dora')
    expect(await outcome(dora.joinSpace(link, timely(world)))).toBe('ERR_INVITE')
    // Nobody has to change keys for it: none was given.
    expect(await epochIn(ann.space)).toBe(0)
    await ann.replica.close()
    const opened = plunder(await relayLoot(world, id), [{ seeds: [], secrets: [decodeInviteLink(link).seed] }])
    expect(opened.content.size).toBe(0)
    const all = plunder(await relayLoot(world, id), [thiefOf(await openMember(ann.store.twin(), id))])
    expect(all.content.size).toBeGreaterThan(0)
  })

  it('that a thief used first shows another name and other keys; the owner of the invite finds it used', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const link = await ann.space.invite({ kind: 'approved', ...timely(world) })
    const thief = await asking(link, 'Thief', ann.space)
    const carl = await world.open('Carl')
    expect(await outcome(carl.joinSpace(link, timely(world)))).toBe('ERR_INVITE')
    expect(ann.space.requests().map(({ name }) => name)).toEqual(['Thief'])
    await ann.space.decline(thief.request.id, timely(world))
    expect(await outcome(thief.joining)).toBe('ERR_INVITE')
    expect(ann.space.members()).toHaveLength(1)
  })

  it('is void when its maker is removed or made a writer, before and after somebody asked', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const bob = await admitted(world, ann.space, 'Bob', { role: 'admin' })
    await allSynced(world, ann, bob)
    const open = await bob.space.invite({ kind: 'approved', ...timely(world) })
    const asked = await bob.space.invite({ kind: 'approved', ...timely(world) })
    const carl = await asking(asked, 'Carl', ann.space)
    await ann.space.setRole(idOf(ann.space, 'Bob'), 'writer', timely(world))
    expect(await outcome(carl.joining)).toBe('ERR_INVITE')
    expect(ann.space.requests()).toEqual([])
    expect(ann.space.invites()).toEqual([])
    const dora = await world.open('Dora')
    expect(await outcome(dora.joinSpace(open, timely(world)))).toBe('ERR_INVITE')
    await expect(bob.space.approve(carl.request.id, timely(world))).rejects.toMatchObject({ code: 'ERR_INVITE' })
    await ann.space.setRole(idOf(ann.space, 'Bob'), 'admin', timely(world))
    await bob.space.sync(timely(world))
    const instant = await bob.space.invite(timely(world))
    await ann.space.removeMember(idOf(ann.space, 'Bob'), timely(world))
    const emil = await world.open('Emil')
    expect(await outcome(emil.joinSpace(instant, timely(world)))).toBe('ERR_INVITE')
    expect(ann.space.members().map(({ name }) => name)).toEqual(['Ann'])
  })
})

describe.each(['instant', 'approved'] as const)('an %s invite', kind => {
  it('that was revoked, or has expired, is refused; who may ends it without being asked', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const revoked = await ann.space.invite({ kind, ...timely(world) })
    expect(ann.space.invites()).toMatchObject([{ kind, role: 'writer', history: 'all' }])
    await ann.space.revokeInvite(revoked, timely(world))
    expect(ann.space.invites()).toEqual([])
    const carl = await world.open('Carl')
    expect(await outcome(carl.joinSpace(revoked, timely(world)))).toBe('ERR_INVITE')
    await expect(ann.space.revokeInvite(revoked, timely(world))).rejects.toMatchObject({ code: 'ERR_INVALID_ENTRY' })
    const expiring = await ann.space.invite({ kind, expiresIn: HOUR, ...timely(world) })
    const before = await epochIn(ann.space)
    world.later(2 * HOUR)
    expect(await outcome(carl.joinSpace(expiring, timely(world)))).toBe('ERR_INVITE')
    await eventually(() => ann.space.invites()).toEqual([])
    expect((await ann.space.history()).filter(({ type }) => type === 'revoke')).toHaveLength(2)
    await ann.space.sync(timely(world))
    // A link that held a key is a reason for new ones, one without is not.
    await eventually(() => epochIn(ann.space)).toBe(kind === 'instant' ? before + 1 : before)
    retitle(ann.note, 'after')
    await ann.space.sync(timely(world))
  })

  it('is good for one person, in any of its forms, and says beforehand what it is', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const base = 'https://app.example/notes?tab=1'
    const link = await ann.space.invite({ kind, role: 'reader', history: 'from-join', base, ...timely(world) })
    expect(link).toMatch(/^https:\/\/app\.example\/notes\?tab=1#[\w-]+$/)
    const invite = decodeInviteLink(link)
    const forms = [link, encodeInviteLink(invite), inviteQr(link)]
    expect(forms[1]).toMatch(/^sealog:[\w-]+$/)
    expect(forms[2]).toMatch(/^SEALOG:[A-Z2-7]+$/)
    const carl = await world.open('Carl')
    for (const form of forms) {
      expect(await carl.previewInvite(form)).toMatchObject({
        kind,
        role: 'reader',
        history: 'from-join',
        spaceName: 'Field notes',
        inviterName: 'Ann',
        expired: false,
        known: false,
      })
    }
    // Nothing of that is committed.
    expect(await carl.spaces()).toEqual([])
    expect(ann.space.invites()).toHaveLength(1)
    const joining = carl.joinSpace(forms[2] as string, timely(world))
    if (kind === 'approved') {
      await eventually(() => ann.space.requests()).toHaveLength(1)
      await ann.space.approve(ann.space.requests()[0]?.id ?? -1, timely(world))
    }
    const space = await joining
    expect(space.me).toMatchObject({ role: 'reader', history: 'from-join' })
    expect(await carl.previewInvite(link)).toMatchObject({ known: true })
    for (const form of forms) {
      const other = await world.open('Dora')
      expect(await outcome(other.joinSpace(form, timely(world)))).toBe('ERR_INVITE')
      expect(await other.spaces()).toEqual([])
    }
    expect(ann.space.members()).toHaveLength(2)
  })

  it('leads nowhere but to the space and relay that it was made for', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const other = await founded(world, 'Otto')
    const mine = decodeInviteLink(await ann.space.invite({ kind, ...timely(world) }))
    const his = decodeInviteLink(await other.space.invite({ kind, ...timely(world) }))
    const carl = await world.open('Carl')
    const wait = { timeout: world.patience(2000) }
    // Keys of one invite with the space of the other: the relay of that space knows no such device.
    expect(await outcome(carl.joinSpace(encodeInviteLink({ ...mine, seed: his.seed }), wait))).toBe('ERR_INVITE')
    expect(await carl.spaces()).toEqual([])
    // The space of one with the checkpoint of the other does not even read as an invite.
    expect(() => decodeInviteLink(encodeInviteLink({ ...mine, space: his.space }))).toThrow(/ERR_INVITE/)
    const key = mine.relay.key.slice()
    key[5] = (key[5] ?? 0) ^ 1
    const forged = encodeInviteLink({ ...mine, relay: { ...mine.relay, key } })
    expect(await outcome(carl.joinSpace(forged, wait))).toBe('ERR_INVITE')
    expect(await carl.spaces()).toEqual([])
    expect(ann.space.members()).toHaveLength(1)
  })
})

describe('a hundred', () => {
  /** What a device says that uses this link, without a replica: only its `join`, on top of nothing. */
  async function joinThinly(link: string, number: number): Promise<void> {
    const { space, relay, seed, member } = decodeInviteLink(link)
    const { random, now } = world.platform.environment
    const { signing } = inviteKeys(seed)
    const keys = deviceKeysOf(newDevice(random), idBytes(space), member)
    const writing = { space: idBytes(space), time: now(), random }
    const body = joinBody(writing, keys, { member: 'Guest', device: 'thin' }, random(32))
    const view = emptyView(space, relay, [])
    const signer = nobleSigningKey(signing)
    const context = { view, keys: new SpaceKeys(new Map()), signer, device: number, random }
    await pushAs(world, view, signer, [await sealControl(context, random(8), encodeControlBody(body))])
  }

  // Whole replicas verify each other: a hundred of them in one process take a minute, and show no more than a few.
  it('that join at once all get in, whole replicas among them', async () => {
    world = await openWorld()
    const wait = { timeout: 250_000 }
    const ann = await founded(world)
    const links: string[] = []
    for (let i = 0; i < 100; i++) links.push(await ann.space.invite(wait))
    const whole = ['Bob', 'Carl', 'Dora']
    const [spaces] = await Promise.all([
      Promise.all(whole.map(async (name, i) => (await world.open(name)).joinSpace(links[i] as string, wait))),
      ...links.slice(whole.length).map((link, i) => joinThinly(link, i + whole.length + 1)),
    ])
    await ann.space.sync(wait)
    expect(ann.space.members()).toHaveLength(101)
    expect(ann.space.invites()).toEqual([])
    expect(ann.space.members().map(({ name }) => name)).toEqual(expect.arrayContaining(whole))
    retitle(ann.note, 'to all')
    await ann.space.sync(wait)
    for (const space of spaces) {
      await space.sync(wait)
      expect((await space.openDocument<Note>(ann.note.id)).doc().title).toBe('to all')
    }
  }, 300_000)
})
