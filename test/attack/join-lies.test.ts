import { describe, expect, it } from 'vitest'
import { decodeInviteLink, encodeInviteLink } from '../../src/crdt/invite-link.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import { loadView } from '../../src/crdt/view-rows.ts'
import { wrapSecret } from '../../src/crypto/wrap.ts'
import { idBytes } from '../../src/ids.ts'
import type { BodyPart } from '../../src/relay/body-messages.ts'
import { decodeControlBody, encodeControlBody } from '../../src/verify/control-codec.ts'
import { type ControlState, latestEpoch } from '../../src/verify/control-state.ts'
import type { PinnedRelay } from '../../src/verify/log.ts'
import { bytesOf, memberNamed, verdictOf } from '../helpers/log-builder.ts'
import { type Note, openPair, openWorld } from '../helpers/world.ts'

/** The invite as the relay may rewrite it: sealed to the same link, but with a secret that the relay knows. */
function withRelaysSecret(part: BodyPart, epoch: number): BodyPart {
  const body = decodeControlBody(part.bytes)
  if (body.type !== 'invite') return part
  const context = { space: idBytes(part.space), epoch, device: undefined, payloadKind: 0 } as const
  const wrap = wrapSecret({ ...context, secret: bytesOf('known to the relay'), kemPublicKey: body.device.kem })
  return { ...part, bytes: encodeControlBody({ ...body, wrap }) }
}

describe('an invite that is served with a secret of the relay’s choice', () => {
  it('seals nothing, and spoils the join only for as long as the relay lies', async () => {
    const world = await openWorld({ hurry: 0.1 })
    const annStore = memoryStore()
    const { ann, bob, annSpace, annNote } = await openPair(world, { ann: annStore })
    const link = await annSpace.invite({ timeout: world.patience(5000) })
    const control = (await loadView(annStore, annSpace.id))?.view.state?.control as ControlState
    const size = await world.logSize(annSpace.id)
    const carl = await world.open('Carl')
    let lies = 0
    world.tamper = message => {
      if (message.type !== 'body-part') return [message]
      lies++
      return [withRelaysSecret(message, latestEpoch(control))]
    }
    await expect(carl.joinSpace(link, { timeout: world.patience(700) })).rejects.toThrow()
    expect(lies).toBeGreaterThan(0)
    expect(await world.logSize(annSpace.id)).toBe(size)
    world.tamper = undefined

    const carlSpace = await carl.joinSpace(link, { timeout: world.patience(3000) })
    const carlNote = await carlSpace.openDocument<Note>(annNote.id)
    expect(carlNote.doc().title).toBe('Day 1')
    await Promise.all([ann.close(), bob.close(), carl.close()])
  })
})

describe('a link to a space that this replica made itself', () => {
  it('does not make it throw the space away, whatever the relay says of it', async () => {
    const world = await openWorld({ hurry: 0.1 })
    const store = memoryStore()
    const ann = await world.open('Ann', store)
    let note: Uint8Array | undefined
    world.tamper = message => {
      if (message.type !== 'sync') return [message]
      note = message.batch.note
      const { ref, space } = message
      return [{ type: 'reject', ref, space, code: 'ERR_INVITE', message: 'no', position: 0, retryAfter: 0 }]
    }
    const space = await ann.createSpace({ name: 'Only here', timeout: world.patience(3000) })
    const document = await space.createDocument<Note>({ title: 'A year of work', body: '' }, { name: 'Diary' })
    await document.saved()
    await expect.poll(() => space.problems.map(problem => problem.code), { timeout: 5000 }).toContain('ERR_INVITE')
    const pinned = (await loadView(store, space.id))?.view.relay
    const relay = { ...(pinned as PinnedRelay), url: 'ws://relay.test' }
    const link = encodeInviteLink({
      relay,
      space: space.id,
      seed: bytesOf('seed'),
      kind: 'instant',
      index: 0,
      member: memberNamed('somebody'),
      role: 'writer',
      history: 'all',
      expires: Date.now() + 1_000_000,
      note: note as Uint8Array,
      spaceName: 'Something nice',
      inviterName: 'Mallory',
    })
    await ann.joinSpace(link, { timeout: world.patience(1000) }).catch(() => {})
    expect(await ann.spaces()).toContain(space.id)
    world.tamper = undefined
    await ann.close()
  })
})

describe('the address in an invite', () => {
  it.each([
    'ws+unix:///var/run/docker.sock:/',
    'http://127.0.0.1/admin',
    'file:///etc/passwd',
    'javascript:alert(1)',
    '',
  ])('is that of a WebSocket: not %j', async url => {
    const world = await openWorld({ hurry: 0.1 })
    const { ann, bob, annSpace } = await openPair(world)
    const invite = decodeInviteLink(await annSpace.invite({ timeout: world.patience(5000) }))
    const link = encodeInviteLink({ ...invite, relay: { ...invite.relay, url } })
    expect(await verdictOf(() => decodeInviteLink(link))).toBe('ERR_INVITE')
    await Promise.all([ann.close(), bob.close()])
  })
})
