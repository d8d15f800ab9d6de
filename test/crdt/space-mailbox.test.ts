import { describe, expect, it } from 'vitest'
import { encodeMailboxList, type MailboxSpace, mergeMailboxLists } from '../../src/crdt/mailbox-list.ts'
import { SpaceMailbox } from '../../src/crdt/space-mailbox.ts'
import { mailboxKeysOf, sealMailbox, spaceDeviceOf } from '../../src/crypto/mailbox.ts'
import { nobleVerifier } from '../../src/crypto/sign.ts'
import { nobleSigningKey } from '../../src/crypto/sign-backend.ts'
import type { SpaceId } from '../../src/ids.ts'
import { putMailboxInput } from '../../src/relay/mailbox.ts'
import { MailboxClient } from '../../src/relay/mailbox-client.ts'
import type { MailboxContent } from '../../src/relay/mailbox-messages.ts'
import { clientOf, hurried, MailboxRelay, refusal } from '../helpers/mailbox-relay.ts'
import { listedSpace, noteAt } from '../helpers/mailbox-spaces.ts'

const SEED = new Uint8Array(32).fill(5)
const keys = mailboxKeysOf(SEED)
const signingKey = nobleSigningKey(keys.signing)
const address = signingKey.publicKey
const [one, two, three] = [listedSpace(1), listedSpace(2), listedSpace(3)] as const

function mailboxAt(relay: MailboxRelay, seed: Uint8Array = SEED): SpaceMailbox {
  const environment = hurried()
  return new SpaceMailbox({ seed, client: clientOf(relay, environment), environment, verifier: nobleVerifier })
}

const adding =
  (...own: readonly MailboxSpace[]) =>
  (listed: readonly MailboxSpace[]): readonly MailboxSpace[] =>
    mergeMailboxLists(listed, own)
const puts = (relay: MailboxRelay): number => relay.requests.filter(({ type }) => type === 'put-mailbox').length

describe('the mailbox of a seed', () => {
  it('gives a blank machine the list, and nobody without the seed', async () => {
    const relay = new MailboxRelay()
    await mailboxAt(relay).write(adding(two, one))
    expect(await mailboxAt(relay).read()).toEqual({ counter: 1, spaces: [one, two] })
    const stranger = mailboxAt(relay, new Uint8Array(32).fill(6))
    await expect(stranger.read()).rejects.toMatchObject({ code: 'ERR_UNKNOWN_MAILBOX' })
    const [stored] = relay.versionsOf(address) as [MailboxContent]
    expect(Buffer.from(stored.bytes).includes(Buffer.from('relay.test'))).toBe(false)
  })

  it('has the keys of the seed in each space', () => {
    const space = 'ab'.repeat(32) as SpaceId
    expect(mailboxAt(new MailboxRelay()).deviceOf(space)).toEqual(spaceDeviceOf(SEED, space))
  })

  it('needs a seed of 32 bytes', () => {
    expect(() => mailboxAt(new MailboxRelay(), new Uint8Array(16))).toThrow(TypeError)
  })

  it('is replaced by later versions, and left alone where nothing changes', async () => {
    const relay = new MailboxRelay()
    const mailbox = mailboxAt(relay)
    await mailbox.write(adding(one))
    expect(await mailbox.write(adding(one))).toEqual({ counter: 1, spaces: [one] })
    expect(puts(relay)).toBe(1)
    const later = { ...one, note: noteAt(one, 11) }
    expect(await mailbox.write(adding(later))).toEqual({ counter: 2, spaces: [later] })
    expect(await mailbox.write(() => [])).toEqual({ counter: 3, spaces: [] })
  })

  it('takes an empty list, which says that there is a mailbox', async () => {
    const relay = new MailboxRelay()
    expect(await mailboxAt(relay).write(() => [])).toEqual({ counter: 1, spaces: [] })
    expect(await mailboxAt(relay).read()).toEqual({ counter: 1, spaces: [] })
  })

  it('is written by one after the other', async () => {
    const relay = new MailboxRelay()
    const mailbox = mailboxAt(relay)
    await Promise.all([one, two, three].map(each => mailbox.write(adding(each))))
    expect(await mailbox.read()).toEqual({ counter: 3, spaces: [one, two, three] })
    // None of them was in the way of another.
    expect(puts(relay)).toBe(3)
  })
})

describe('two devices that write at the same time (R-MAILBOX-7)', () => {
  it('lose nothing of each other', async () => {
    const relay = new MailboxRelay()
    const [ann, bob] = [mailboxAt(relay), mailboxAt(relay)]
    await Promise.all([ann.write(adding(one)), bob.write(adding(two))])
    await Promise.all([ann.write(adding(three)), bob.write(adding(two))])
    expect((await mailboxAt(relay).read()).spaces).toEqual([one, two, three])
  })

  it('count what arrived without being confirmed', async () => {
    const relay = new MailboxRelay()
    let isLost = false
    relay.answer = (request, serve) => {
      if (request.type === 'get-mailbox' || isLost) return undefined
      isLost = true
      serve()
      queueMicrotask(() => relay.cut())
      return []
    }
    expect(await mailboxAt(relay).write(adding(one))).toEqual({ counter: 1, spaces: [one] })
    expect(relay.versionsOf(address)).toHaveLength(1)
    expect(isLost).toBe(true)
  })
})

describe('a relay that hides versions (R-MAILBOX-8)', () => {
  it('shows no older version to who has seen a later one', async () => {
    const relay = new MailboxRelay()
    const mailbox = mailboxAt(relay)
    await mailbox.write(adding(one))
    await mailbox.write(adding(two))
    relay.answer = (_, serve) => [{ ...(serve() as MailboxContent), ...relay.versionsOf(address)[0] }]
    await expect(mailbox.read()).rejects.toMatchObject({ code: 'ERR_ROLLBACK' })
    relay.answer = request => [refusal(request, 'ERR_UNKNOWN_MAILBOX')]
    await expect(mailbox.read()).rejects.toMatchObject({ code: 'ERR_ROLLBACK' })
  })

  it('is given the list again where it lost it', async () => {
    const relay = new MailboxRelay()
    const mailbox = mailboxAt(relay)
    await mailbox.write(adding(one))
    await mailbox.write(adding(two))
    relay.versionsOf(address).pop()
    expect(await mailbox.write(adding(one, two))).toEqual({ counter: 3, spaces: [one, two] })
    relay.versionsOf(address).splice(0)
    expect(await mailbox.write(adding(one, two))).toEqual({ counter: 4, spaces: [one, two] })
  })

  it.each([
    ['an old version', 'old'],
    ['none', 'none'],
  ])('cannot keep a writer busy by refusing as old what is later than %s', async (_, shown) => {
    const relay = new MailboxRelay()
    await mailboxAt(relay).write(adding(one))
    relay.requests.splice(0)
    relay.answer = (request, serve) => {
      if (request.type === 'put-mailbox') return [refusal(request, 'ERR_STALE_MAILBOX')]
      return shown === 'none' ? [refusal(request, 'ERR_UNKNOWN_MAILBOX')] : [serve()]
    }
    await expect(mailboxAt(relay).write(adding(two))).rejects.toMatchObject({ code: 'ERR_ROLLBACK' })
    expect(relay.requests).toHaveLength(3)
  })

  it('cannot pass off an old list as a new one, even with the signature of a new one', async () => {
    const relay = new MailboxRelay()
    const pinned = { name: relay.name, key: relay.signingKey.publicKey }
    await mailboxAt(relay).write(adding(one))
    const [{ bytes }] = relay.versionsOf(address) as [MailboxContent]
    // As if the owner had been made to sign what it had sealed for another counter.
    const signature = await signingKey.sign(putMailboxInput(pinned, address, 9, bytes))
    relay.versionsOf(address).push({ counter: 9, bytes, signature })
    await expect(mailboxAt(relay).read()).rejects.toMatchObject({ code: 'ERR_OPEN' })
  })
})

describe('a mailbox that another build wrote', () => {
  it('is neither read nor replaced by one that does not know its version', async () => {
    const relay = new MailboxRelay()
    const environment = hurried()
    const payload = encodeMailboxList([one]).with(1, 2)
    const { sealing } = keys
    const sealed = sealMailbox({ sealing, address, counter: 1, payload, random: environment.random })
    const client = clientOf(relay, environment)
    await new MailboxClient({ client, environment, verifier: nobleVerifier, signingKey }).put(1, sealed)
    await expect(mailboxAt(relay).read()).rejects.toMatchObject({ code: 'ERR_UPGRADE' })
    await expect(mailboxAt(relay).write(adding(two))).rejects.toMatchObject({ code: 'ERR_UPGRADE' })
    expect(relay.versionsOf(address)).toHaveLength(1)
  })
})
