import { describe, expect, it } from 'vitest'
import { concat, toUtf8 } from '../../src/bytes.ts'
import { sha256 } from '../../src/crypto/hash.ts'
import { nobleVerifier, verifySync } from '../../src/crypto/sign.ts'
import { nobleSigningKey } from '../../src/crypto/sign-backend.ts'
import type { ErrorCode } from '../../src/errors.ts'
import { type SpaceId, spaceIdOf } from '../../src/ids.ts'
import { getMailboxInput, putMailboxInput } from '../../src/relay/mailbox.ts'
import { MailboxClient } from '../../src/relay/mailbox-client.ts'
import type { MailboxContent } from '../../src/relay/mailbox-messages.ts'
import type { MailboxRequest, RelayMessage } from '../../src/relay/messages.ts'
import { clientOf, hurried, MailboxRelay, refusal } from '../helpers/mailbox-relay.ts'

const signingKey = nobleSigningKey(new Uint8Array(32).fill(1))
const address = signingKey.publicKey
const BYTES = toUtf8('sealed')

function setUp(relay = new MailboxRelay()) {
  const environment = hurried()
  const client = clientOf(relay, environment)
  return {
    relay,
    client,
    mailbox: new MailboxClient({ client, environment, verifier: nobleVerifier, signingKey }),
    pinned: { name: relay.name, key: relay.signingKey.publicKey },
  }
}

const gets = (relay: MailboxRelay): MailboxRequest[] => relay.requests.filter(({ type }) => type === 'get-mailbox')

describe('what the holder of a mailbox signs (R-MAILBOX-3, R-MAILBOX-4)', () => {
  const relay = { name: 'relay.test', key: new Uint8Array(32).fill(9) }
  const nameHash = sha256(toUtf8('relay.test'))
  const count = Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 2)

  it('is put for one relay, mailbox, counter and content', () => {
    const expected = concat(toUtf8('sealog/v1/mailbox-put\0'), nameHash, relay.key, address, count, sha256(BYTES))
    expect(putMailboxInput(relay, address, 2 ** 32 + 2, BYTES)).toEqual(expected)
  })

  it('is asked for at one relay, on one connection', () => {
    const challenge = new Uint8Array(32).fill(3)
    const expected = concat(toUtf8('sealog/v1/mailbox-get\0'), nameHash, relay.key, challenge, address)
    expect(getMailboxInput(relay, challenge, address)).toEqual(expected)
  })

  it('is in the messages', async () => {
    const { relay, mailbox, pinned } = setUp()
    await mailbox.put(1, BYTES)
    await mailbox.get()
    const [put, get] = relay.requests as [MailboxRequest, MailboxRequest]
    const puts = { publicKey: address, message: putMailboxInput(pinned, address, 1, BYTES), signature: put.signature }
    expect(verifySync(puts)).toBe(true)
    // Nobody else listened, so that the connection was ended in between: the second one has another challenge.
    const message = getMailboxInput(pinned, new Uint8Array(32).fill(1), address)
    expect(verifySync({ publicKey: address, message, signature: get.signature })).toBe(true)
  })
})

describe('a mailbox', () => {
  it('gives back what was put into it', async () => {
    const { mailbox } = setUp()
    expect(await mailbox.get()).toBeUndefined()
    await mailbox.put(1, BYTES)
    expect(await mailbox.get()).toEqual({ counter: 1, bytes: BYTES })
  })

  it('answers several questions at a time, each by its own reference', async () => {
    const { mailbox } = setUp()
    await mailbox.put(1, BYTES)
    const answers = await Promise.all([mailbox.get(), mailbox.put(2, BYTES), mailbox.get()])
    expect(answers).toEqual([
      expect.objectContaining({ bytes: BYTES }),
      undefined,
      expect.objectContaining({ bytes: BYTES }),
    ])
  })

  it('holds up no connection that nobody else needs', async () => {
    const { mailbox, client } = setUp()
    await mailbox.put(1, BYTES)
    expect(client.state).toBe('offline')
  })

  it('is asked again on the next connection when one is lost, and given up at no time', async () => {
    const { relay, mailbox } = setUp()
    let losses = 3
    relay.answer = () => {
      if (losses-- <= 0) return undefined
      queueMicrotask(() => relay.cut())
      return []
    }
    await mailbox.put(1, BYTES)
    expect(relay.requests).toHaveLength(4)
    expect(relay.versionsOf(address)).toHaveLength(1)
  })

  it('that is not answered is asked for on another connection', async () => {
    const { relay, mailbox } = setUp()
    await mailbox.put(1, BYTES)
    relay.answer = () => (gets(relay).length === 1 ? [] : undefined)
    expect(await mailbox.get()).toMatchObject({ counter: 1 })
    expect(gets(relay)).toHaveLength(2)
    expect(gets(relay)[0]?.signature).not.toEqual(gets(relay)[1]?.signature)
  })

  it('stops asking when the caller says so, or the client is closed', async () => {
    const { relay, mailbox, client } = setUp()
    relay.answer = () => []
    const stop = new AbortController()
    const asked = mailbox.get(stop.signal)
    stop.abort()
    await expect(asked).rejects.toMatchObject({ code: 'ERR_ABORTED' })
    await expect(mailbox.get(AbortSignal.abort())).rejects.toMatchObject({ code: 'ERR_ABORTED' })
    const waiting = mailbox.get()
    client.close()
    await expect(waiting).rejects.toMatchObject({ code: 'ERR_CLOSED' })
    await expect(mailbox.get()).rejects.toMatchObject({ code: 'ERR_CLOSED' })
  })
})

describe('a refusal', () => {
  it.each<ErrorCode>(['ERR_RATE_LIMITED', 'ERR_RELAY_STORAGE', 'ERR_UNAUTHORIZED'])(
    '%s that passes is waited for',
    async code => {
      const { relay, mailbox } = setUp()
      relay.answer = request => (relay.requests.length < 4 ? [refusal(request, code)] : undefined)
      await mailbox.put(1, BYTES)
      expect(relay.requests).toHaveLength(4)
      expect(relay.versionsOf(address)).toHaveLength(1)
    },
  )

  it.each<ErrorCode>(['ERR_STALE_MAILBOX', 'ERR_LIMIT', 'ERR_SIGNATURE', 'ERR_UPGRADE'])('%s is final', async code => {
    const { relay, mailbox } = setUp()
    relay.answer = request => [refusal(request, code)]
    await expect(mailbox.put(1, BYTES)).rejects.toMatchObject({ code })
    expect(relay.requests).toHaveLength(1)
  })

  it('that does not pass is told in the end', async () => {
    const { relay, mailbox } = setUp()
    relay.answer = request => [refusal(request, 'ERR_UNAUTHORIZED')]
    await expect(mailbox.put(1, BYTES)).rejects.toMatchObject({ code: 'ERR_UNAUTHORIZED' })
    expect(relay.requests).toHaveLength(7)
  })
})

describe('a relay that lies about a mailbox (R-MAILBOX-5)', () => {
  type Lie = (truth: MailboxContent, relay: MailboxRelay) => RelayMessage
  const LIES: readonly (readonly [string, Lie, ErrorCode])[] = [
    ['changes the content', truth => ({ ...truth, bytes: truth.bytes.with(0, 0) }), 'ERR_SIGNATURE'],
    ['says it is a later version', truth => ({ ...truth, counter: truth.counter + 1 }), 'ERR_SIGNATURE'],
    [
      'says that the old content is the later version',
      (truth, relay) => ({ ...truth, bytes: relay.versionsOf(address)[0]?.bytes as Uint8Array }),
      'ERR_SIGNATURE',
    ],
    ['makes one up', truth => ({ ...truth, signature: new Uint8Array(64) }), 'ERR_SIGNATURE'],
    [
      'confirms instead of answering',
      truth => ({ type: 'received', ref: truth.ref, space: spaceIdOf(address) }),
      'ERR_UNEXPECTED',
    ],
  ]

  it.each(LIES)('and %s is found out', async (_, lie, code) => {
    const { relay, mailbox } = setUp()
    await mailbox.put(1, toUtf8('an old one'))
    await mailbox.put(2, BYTES)
    relay.answer = (_request, serve) => [lie(serve() as MailboxContent, relay)]
    await expect(mailbox.get()).rejects.toMatchObject({ code })
  })

  it('and shows what stands there instead of replacing it is found out', async () => {
    const { relay, mailbox } = setUp()
    await mailbox.put(1, BYTES)
    const [first] = relay.versionsOf(address)
    relay.answer = ({ ref }) => [{ type: 'mailbox', ref, address, ...(first as NonNullable<typeof first>) }]
    await expect(mailbox.put(2, BYTES)).rejects.toMatchObject({ code: 'ERR_UNEXPECTED' })
  })

  it('and answers for another mailbox, or another request, is not heard', async () => {
    const { relay, mailbox } = setUp()
    await mailbox.put(1, BYTES)
    const elsewhere = 'cd'.repeat(32) as SpaceId
    relay.answer = (request, serve) => {
      const content = serve() as MailboxContent
      const denial = refusal(request, 'ERR_UNKNOWN_MAILBOX') as Extract<RelayMessage, { type: 'reject' }>
      return [
        { ...denial, space: elsewhere },
        { ...denial, ref: request.ref + 1 },
        { ...denial, ref: 0 },
        { ...content, address: new Uint8Array(32) },
        content,
      ]
    }
    expect(await mailbox.get()).toMatchObject({ counter: 1 })
  })

  it('and shows what was put into the mailbox for another relay is found out', async () => {
    const first = setUp(new MailboxRelay('first.test'))
    await first.mailbox.put(1, BYTES)
    const second = setUp(new MailboxRelay('second.test'))
    second.relay.versionsOf(address).push(...first.relay.versionsOf(address))
    await expect(second.mailbox.get()).rejects.toMatchObject({ code: 'ERR_SIGNATURE' })
  })

  it('can deny it, or show an old version: that is all', async () => {
    const { relay, mailbox } = setUp()
    await mailbox.put(1, toUtf8('an old one'))
    await mailbox.put(2, BYTES)
    relay.answer = request => [refusal(request, 'ERR_UNKNOWN_MAILBOX')]
    expect(await mailbox.get()).toBeUndefined()
    relay.answer = (_, serve) => [{ ...(serve() as MailboxContent), ...relay.versionsOf(address)[0] }]
    expect(await mailbox.get()).toMatchObject({ counter: 1 })
  })
})
