import { describe, expect, it } from 'vitest'
import { fromBase64Url, toBase64Url } from '../../src/bytes.ts'
import { type Cbor, decodeCbor, encodeCbor } from '../../src/codec.ts'
import { decodeInviteLink, encodeInviteLink, type Invite, inviteQr } from '../../src/crdt/invite-link.ts'
import { idBytes } from '../../src/ids.ts'
import { bytesOf, LogBuilder, memberNamed, testDevice, verdictOf } from '../helpers/log-builder.ts'

const log = new LogBuilder()
log.append(log.genesis())
log.append(log.control(log.owner, log.inviteBody(testDevice('provisional', 1))))
log.append(log.changes(log.owner))

const MEMBER = memberNamed('guest')

const INVITE: Invite = {
  kind: 'instant',
  relay: { ...log.relay, url: 'wss://relay.test' },
  space: log.space,
  seed: bytesOf('seed'),
  index: 1,
  member: MEMBER,
  role: 'writer',
  history: 'from-join',
  expires: 1_800_000_000_000,
  note: log.note(),
  spaceName: 'Field notes',
  inviterName: 'Ann',
}

const itemsOf = (link: string): Cbor[] => decodeCbor(fromBase64Url(link.slice(link.indexOf(':') + 1)), 10_000) as Cbor[]
const linkOf = (items: Cbor): string => `sealog:${toBase64Url(encodeCbor(items))}`
const read = (link: string): Promise<string> => verdictOf(() => decodeInviteLink(link))

describe('an invite link (R-LINK-1)', () => {
  it('survives in its bare form and in the fragment of any address', () => {
    expect(decodeInviteLink(encodeInviteLink(INVITE))).toEqual(INVITE)
    expect(encodeInviteLink(INVITE)).toMatch(/^sealog:[A-Za-z0-9_-]+$/)
    const link = encodeInviteLink(INVITE, 'https://app.example/join?x=1#old')
    expect(link).toMatch(/^https:\/\/app\.example\/join\?x=1#[A-Za-z0-9_-]+$/)
    expect(decodeInviteLink(link)).toEqual(INVITE)
    expect(decodeInviteLink(`  ${link}\n`)).toEqual(INVITE)
    for (const kind of ['instant', 'approved', 'device'] as const) {
      expect(decodeInviteLink(encodeInviteLink({ ...INVITE, kind })).kind).toBe(kind)
    }
  })

  it('survives as the text of a QR code, in its alphanumeric mode and in one spelling only', async () => {
    const text = inviteQr(encodeInviteLink(INVITE))
    expect(text).toMatch(/^SEALOG:[A-Z2-7]+$/)
    expect(decodeInviteLink(text)).toEqual(INVITE)
    for (const bad of [text.slice(0, -1), `${text}A`, text.toLowerCase(), text.replace(/.$/, '1')]) {
      expect(await read(bad)).toBe('ERR_INVITE')
    }
  })

  it('keeps everything behind the #, which browsers send to no server', () => {
    const { hash, href } = new URL(encodeInviteLink(INVITE, 'https://app.example/join'))
    expect(href.replace(hash, '')).toBe('https://app.example/join')
  })

  it('has its fields in the order of the specification', () => {
    expect(itemsOf(encodeInviteLink(INVITE))).toEqual([
      2,
      0, // instant
      [INVITE.relay.name, INVITE.relay.key, INVITE.relay.url],
      idBytes(INVITE.space),
      INVITE.seed,
      1,
      idBytes(MEMBER),
      1, // writer
      1, // from-join
      INVITE.expires,
      INVITE.note,
      'Field notes',
      'Ann',
    ])
  })

  it.each<readonly [string, (items: Cbor[]) => Cbor]>([
    ['a field less', items => items.slice(0, -1)],
    ['a field more', items => [...items, 0]],
    ['a seed of 31 bytes', items => items.with(4, bytesOf('seed').slice(1))],
    ['a role that does not exist', items => items.with(7, 4)],
    ['a kind that does not exist', items => items.with(1, 3)],
    ['a history that does not exist', items => items.with(8, 2)],
    ['a member id of 15 bytes', items => items.with(6, idBytes(MEMBER).slice(1))],
    ['a space name that is too long', items => items.with(11, 'x'.repeat(257))],
    ['an address that is none of a relay', items => items.with(2, ['relay.test', INVITE.relay.key, 'https://x'])],
    ['no checkpoint', items => items.with(10, bytesOf('note'))],
    ['no array', () => 'invite'],
  ])('with %s is refused', async (_, change) => {
    expect(await read(linkOf(change(itemsOf(encodeInviteLink(INVITE)))))).toBe('ERR_INVITE')
  })

  it('that is cut short, changed, too long, or none at all is refused', async () => {
    const link = encodeInviteLink(INVITE)
    for (const bad of [link.slice(0, -5), `${link}A`, link.replace(/.$/, '!'), '', 'sealog:', 'https://app.example/']) {
      expect(await read(bad)).toBe('ERR_INVITE')
    }
    expect(await read(`sealog:${'A'.repeat(9000)}`)).toBe('ERR_INVITE')
    expect(() => decodeInviteLink(7 as never)).toThrow(TypeError)
  })

  it('of a later version is for a later build (R-UPGRADE-1)', async () => {
    expect(await read(linkOf([3, 'whatever']))).toBe('ERR_UPGRADE')
  })
})

describe('the checkpoint in an invite (R-LINK-3)', () => {
  it('is of the space and relay that the link names', async () => {
    const other = { ...log.checkpoint(), origin: `relay.test/${'ab'.repeat(32)}` }
    expect(await read(encodeInviteLink({ ...INVITE, note: log.note(other) }))).toBe('ERR_INVITE')
    const renamed = { ...INVITE, relay: { ...INVITE.relay, name: 'other.test' } }
    expect(await read(encodeInviteLink(renamed))).toBe('ERR_INVITE')
  })

  it('is about a log that has the invite in it', async () => {
    expect(await read(encodeInviteLink({ ...INVITE, note: log.note(log.checkpoint(1)) }))).toBe('ERR_INVITE')
    expect(await read(encodeInviteLink({ ...INVITE, note: log.note(log.checkpoint(2)) }))).toBe('accepted')
  })
})
