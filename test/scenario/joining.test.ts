import { type LoopbackRelay, loopbackRelay } from 'sealog-relay/testing'
import { describe, expect, it } from 'vitest'
import { encodeCbor } from '../../src/codec.ts'
import { decodeInviteLink, encodeInviteLink } from '../../src/crdt/invite-link.ts'
import { spaceKey } from '../../src/crdt/rows.ts'
import { decodeSecrets, encodeSecrets, type SpaceSecrets } from '../../src/crdt/secrets.ts'
import type { ReplicaStore, StoreBatch } from '../../src/crdt/store.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import { signSync } from '../../src/crypto/sign.ts'
import { defaultVerifier, nobleSigningKey } from '../../src/crypto/sign-backend.ts'
import { platformEnvironment } from '../../src/environment-platform.ts'
import type { SpaceId } from '../../src/ids.ts'
import type { Sync } from '../../src/relay/log-messages.ts'
import { decodeRelayMessage, encodeMessage } from '../../src/relay/message-codec.ts'
import type { Transport } from '../../src/relay/transport.ts'
import { Replica } from '../../src/replica.ts'
import { encodeNote, encodeNoteText, parseNote } from '../../src/verify/checkpoint.ts'
import { appendLeaves, emptyRange, rootOf } from '../../src/verify/compact-range.ts'
import { entryHash } from '../../src/verify/entry.ts'
import { noteKeyHash } from '../../src/verify/note-key.ts'
import { initializeAutomerge } from '../helpers/automerge.ts'
import { bytesOf, RELAY_SEED } from '../helpers/log-builder.ts'
import { type Note, openWorld, type World } from '../helpers/world.ts'

const HURRY = 0.1
const WAIT = { timeout: 5000 }

/** Replaces the epoch secrets of a space in a store that is closed. @returns those that were there */
async function swapSecret(store: ReplicaStore, space: SpaceId): Promise<SpaceSecrets['epochs']> {
  await store.open()
  const key = spaceKey(space, 'secrets')
  const secrets = decodeSecrets((await store.get(key)) as Uint8Array)
  const epochs = new Map([...secrets.epochs].map(([epoch, known]) => [epoch, { ...known, secret: bytesOf('another') }]))
  await store.commit({ puts: [[key, encodeSecrets({ ...secrets, epochs })]], deletes: [] })
  await store.close()
  return secrets.epochs
}

async function founded(world: World) {
  const ann = await world.open('Ann')
  const space = await ann.createSpace({ name: 'Field notes', timeout: world.patience(5000) })
  const link = await space.invite({ timeout: world.patience(5000) })
  return { ann, space, link }
}

describe('the secret of an epoch', () => {
  it('is held against the commitment in the log before anything is opened with it (R-EPOCH-3)', async () => {
    const world = await openWorld({ hurry: HURRY })
    const first = await world.open('Ann', memoryStore())
    await first.createSpace({ name: 'first contact', timeout: world.patience(5000) })
    await first.close()

    const store = memoryStore()
    const ann = await world.open('Ann', store)
    const met = await ann.createSpace({ name: 'met', timeout: world.patience(5000) })
    world.down()
    const { id } = await ann.createSpace({ name: 'founded offline', timeout: world.patience(5000) })
    await met.close()
    await ann.close()
    const secret = await swapSecret(store, id)

    const again = await world.open('Ann', store)
    const space = await again.openSpace(id)
    const note = await space.createDocument<Note>({ title: 'under which key', body: '' })
    // The relay withholds the entry that holds the true one, sealed to this device.
    world.tamper = message => (message.type === 'body-part' ? [] : [message])
    world.up()
    await expect.poll(() => world.count('get-body'), WAIT).toBeGreaterThan(0)
    expect(await world.logSize(id)).toBe(1)
    world.tamper = message => (message.type === 'body-part' ? [{ ...message, bytes: bytesOf('noise') }] : [message])
    world.cut()
    await expect.poll(() => space.problems.map(({ code }) => code), WAIT).toContain('ERR_KEY')
    await expect.poll(() => space.status.confirmed.size, WAIT).toBe(1)
    await expect(space.sync({ timeout: world.patience(300) })).rejects.toMatchObject({ code: 'ERR_TIMEOUT' })
    expect(note.receipt.state).toBe('pending')
    expect(await world.logSize(id)).toBe(1)
    // Once it serves that, what waited goes out, under the secret that the log commits to.
    world.tamper = undefined
    await space.sync({ timeout: world.patience(5000) })
    expect(space.problems).toEqual([])
    expect(space.name).toBe('founded offline')
    await again.close()
    expect(await swapSecret(store, id)).toEqual(secret)
  })
})

describe('the checkpoint in an invite', () => {
  it('is signed by the relay that the invite names (R-LINK-3)', async () => {
    const world = await openWorld({ hurry: HURRY })
    const { ann, link } = await founded(world)
    const invite = decodeInviteLink(link)
    const forged = encodeInviteLink({ ...invite, note: invite.note.with(-9, 65) })
    const bob = await world.open('Bob')
    await expect(bob.previewInvite(forged)).rejects.toMatchObject({ code: 'ERR_INVITE' })
    const elsewhere = encodeInviteLink({ ...invite, relay: { ...invite.relay, key: bytesOf('another key') } })
    const refused = { code: expect.stringMatching(/^ERR_(INVITE|CHECKPOINT_SIGNATURE)$/) }
    await expect(bob.joinSpace(elsewhere)).rejects.toMatchObject(refused)
    expect(await bob.spaces()).toEqual([])
    await Promise.all([ann.close(), bob.close()])
  })

  it('must be reproduced by the log that the relay shows (R-LINK-4)', async () => {
    const world = await openWorld({ hurry: HURRY })
    const { ann, space, link } = await founded(world)
    const second = await space.invite({ timeout: world.patience(5000) })
    // A relay that hides the last entries from the guest: it shows what it signed before them.
    const { note } = decodeInviteLink(link)
    world.tamper = message =>
      message.type === 'sync' ? [{ ...message, batch: { ...message.batch, entries: [], note } }] : [message]
    const bob = await world.open('Bob')
    const joining = bob.joinSpace(second, { timeout: world.patience(1500) })
    await expect(joining).rejects.toMatchObject({ code: 'ERR_TIMEOUT' })
    const bobSpace = await bob.openSpace(space.id)
    expect(bobSpace.problems).toMatchObject([{ code: 'ERR_ROLLBACK' }])
    expect(bobSpace.members()).toEqual([])
    world.tamper = undefined
    await bobSpace.sync({ timeout: world.patience(5000) })
    expect(bobSpace.members()).toHaveLength(2)
    await Promise.all([ann.close(), bob.close()])
  })
})

describe('a join', () => {
  it('is in the store with its keys before the relay hears of it (R-STORE-3)', async () => {
    const world = await openWorld({ hurry: HURRY })
    const { ann, space, link } = await founded(world)
    const inner = memoryStore()
    const sizes: number[] = []
    const store: ReplicaStore = {
      ...inner,
      commit: async batch => {
        if (keepsJoin(batch, space.id)) sizes.push(await world.logSize(space.id))
        await inner.commit(batch)
      },
    }
    const bob = await world.open('Bob', store)
    await bob.joinSpace(link, { timeout: world.patience(5000) })
    // Genesis, invite, and the entries of the directory: but no join when it was kept.
    expect(sizes).toEqual([2])
    await Promise.all([ann.close(), bob.close()])
  })
})

describe('an invite that has expired', () => {
  it('is not used by the device that holds it (R-INVITE-5)', async () => {
    const world = await openWorld({ hurry: HURRY })
    const { ann, space, link } = await founded(world)
    const late = { ...world.platform.environment, now: () => decodeInviteLink(link).expires }
    const store = memoryStore()
    const bob = await Replica.open({ store, relay: 'ws://relay.test' }, { ...world.platform, environment: late })
    expect(await bob.previewInvite(link)).toMatchObject({ space: space.id, expired: true, known: false })
    await expect(bob.joinSpace(link)).rejects.toMatchObject({ code: 'ERR_INVITE' })
    expect(await bob.spaces()).toEqual([])
    await Promise.all([ann.close(), bob.close()])
  })
})

function keepsJoin({ puts }: StoreBatch, space: SpaceId): boolean {
  const wanted = new TextDecoder().decode(spaceKey(space, 'secrets'))
  return puts.some(([key, value]) => {
    if (new TextDecoder().decode(key) !== wanted) return false
    const { admission } = decodeSecrets(value)
    return admission?.type === 'join' && admission.body !== undefined
  })
}

describe('what a later build wrote', () => {
  it('stops sync and nothing else: the replica keeps what it has, and can be written (R-UPGRADE-3)', async () => {
    await initializeAutomerge()
    const environment = platformEnvironment()
    const relay = loopbackRelay({ environment, signingKey: nobleSigningKey(RELAY_SEED) })
    const { transport, update } = laterRelay(relay)
    const platform = { transport, environment, verifier: await defaultVerifier() }
    const ann = await Replica.open({ store: memoryStore(), relay: 'ws://relay.test' }, platform)
    const space = await ann.createSpace({ timeout: 5000 })
    const note = await space.createDocument<Note>({ title: 'Day 1', body: '' })
    await space.sync({ timeout: 5000 })
    const { size } = space.status.confirmed
    update()
    relay.cut()
    await expect.poll(() => space.status.halted?.code, WAIT).toBe('ERR_UPGRADE')
    note.change(doc => {
      doc.title = 'still here'
    })
    await note.saved()
    expect(note.doc().title).toBe('still here')
    expect(space.status.confirmed.size).toBe(size)
    expect(space.status.local.pending).toBe(1)
    await ann.close()
  })
})

/** From `update` on, the log goes on with an entry of a later version, and the relay has signed it. */
function laterRelay(relay: LoopbackRelay): { readonly transport: Transport; update(): void } {
  const leaves: Uint8Array[] = []
  let isLater = false
  function seen(message: Sync): Sync {
    const { batch, space } = message
    for (const [i, { header }] of batch.entries.entries()) leaves[batch.from + i] = entryHash(header)
    if (!isLater) return message
    const header = encodeCbor([2, 'whatever'])
    const range = appendLeaves(emptyRange, [...leaves, entryHash(header)])
    const { origin, time } = parseNote(batch.note).checkpoint
    const checkpoint = { origin, size: range.size, root: rootOf(range), stateRoot: bytesOf('later state'), time }
    const signature = signSync(RELAY_SEED, encodeNoteText(checkpoint))
    const note = encodeNote(checkpoint, [{ name: origin, keyHash: noteKeyHash(origin, relay.key), signature }])
    const entries = [...batch.entries, { header, signature: undefined, body: undefined }]
    return { type: 'sync', ref: message.ref, space, batch: { ...batch, entries, note, consistency: [] } }
  }
  const transport: Transport = {
    connect: (url, events) =>
      relay.connect(url, {
        onOpen: () => events.onOpen(),
        onClose: cause => events.onClose(cause),
        onFrame: frame => {
          const message = decodeRelayMessage(frame)
          events.onFrame(message.type === 'sync' ? encodeMessage(seen(message)) : frame)
        },
      }),
  }
  return {
    transport,
    update: () => {
      isLater = true
    },
  }
}
