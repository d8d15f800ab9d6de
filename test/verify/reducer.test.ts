import { describe, expect, it } from 'vitest'
import { concat } from '../../src/bytes.ts'
import { ZERO_32 } from '../../src/crypto/hash.ts'
import { publicKeyOf, verifySync } from '../../src/crypto/sign.ts'
import { CONTROL_DOCUMENT, documentIdOf, idBytes } from '../../src/ids.ts'
import { type InviteBody, MAX_CONTROL_BODY_LENGTH, type Role } from '../../src/verify/control.ts'
import { encodeControlBody } from '../../src/verify/control-codec.ts'
import { actorOf } from '../../src/verify/entry.ts'
import { applyHeader, MAX_OPEN_ACTORS } from '../../src/verify/reducer.ts'
import { findActor, findDocument, type SpaceState } from '../../src/verify/state.ts'
import {
  type BuiltEntry,
  bytesOf,
  DOCUMENT,
  deviceKeys,
  type EntryOptions,
  LogBuilder,
  memberNamed,
  type TestDevice,
  testDevice,
  verdictOf,
} from '../helpers/log-builder.ts'

const { log, writer } = LogBuilder.withWriter()
const first = log.append(log.changes(writer))
log.append(log.changes(log.owner))
/** Devices 0 to 2: the owner's, a spent provisional one, and the writer's. */
const SIZE = log.size

const judge = (entry: BuiltEntry): Promise<string> => verdictOf(() => log.judge(entry))
const OTHER = documentIdOf(bytesOf('other').slice(0, 16))
const incarnation = (n: number): Uint8Array => bytesOf(`incarnation ${n}`).slice(0, 8)

/** A log of the same beginning, to be gone on with. */
function sameLog(): { log: LogBuilder; writer: TestDevice } {
  const made = LogBuilder.withWriter()
  made.log.append(made.log.changes(made.writer))
  return made
}

describe('an entry that fits', () => {
  it('becomes the latest of its actor, and changes nothing in the state before', () => {
    const before = log.state as SpaceState
    const entry = log.changes(writer)
    const { state, actor, signer, checks, control } = log.judge(entry)
    const record = findDocument(state, DOCUMENT)
    expect(signer).toEqual(publicKeyOf(writer.signing))
    expect(actor).toBe(actorOf(log.spaceBytes, DOCUMENT, signer, writer.incarnation))
    expect(record && findActor(record, actor)).toEqual({
      actor,
      device: writer.number,
      seq: 1,
      hash: entry.hash,
      epoch: 0,
      tag: entry.decoded.tag,
      tagEpoch: 0,
      seenSize: SIZE,
      retired: false,
    })
    expect(checks).toEqual([])
    expect(control).toBeUndefined()
    const old = findDocument(before, DOCUMENT)
    expect(old && findActor(old, actor)?.hash).toEqual(first.hash)
    expect(log.state).toBe(before)
  })

  it('brings its document into being, with the epoch as its birth', () => {
    const document = documentIdOf(bytesOf('new').slice(0, 16))
    const { state } = log.judge(log.changes(writer, { document }))
    expect(findDocument(state, document)).toMatchObject({ document, birthEpoch: 0 })
  })
})

describe('space and device', () => {
  it('of another space are refused (R-SPACE-1)', async () => {
    expect(await judge(log.changes(writer, { space: bytesOf('other') }))).toBe('ERR_INVALID_ENTRY space')
    expect(await judge(log.changes(writer, { space: ZERO_32 }))).toBe('ERR_INVALID_ENTRY space')
  })

  it('that nobody admitted, or that were removed, are refused (R-DEVICE-1)', async () => {
    expect(await judge(log.changes(writer, { device: 99 }))).toBe('ERR_UNAUTHORIZED device')
    const spent = testDevice('writer provisional', 1)
    expect(await judge(log.changes(spent))).toBe('ERR_UNAUTHORIZED device')
    expect(await judge(log.control(spent, log.joinBody(testDevice('again', 9))))).toBe('ERR_UNAUTHORIZED device')
  })
})

describe('kind and document', () => {
  it('fit together: control entries in the control document and nowhere else (R-KIND-1)', async () => {
    expect(await judge(log.changes(writer, { document: CONTROL_DOCUMENT }))).toBe('ERR_INVALID_ENTRY kind')
    expect(await judge(log.retire(writer, { document: CONTROL_DOCUMENT }))).toBe('ERR_INVALID_ENTRY kind')
    const invite = log.inviteBody(testDevice('misplaced', 3))
    expect(await judge(log.control(log.owner, invite, { document: DOCUMENT }))).toBe('ERR_INVALID_ENTRY kind')
  })
})

describe('imports and snapshots (R-IMPORT-1, R-SNAPSHOT-1)', () => {
  it('an import is the first entry of its document, or none', async () => {
    expect(await judge(log.changes(writer, { kind: 'import' }))).toBe('ERR_INVALID_ENTRY import')
    expect(await judge(log.changes(writer, { kind: 'import', document: OTHER }))).toBe('accepted')
    const { log: other, writer: author } = sameLog()
    const entry = other.changes(author, { kind: 'import', document: OTHER })
    other.append(entry)
    expect(findDocument(other.state as SpaceState, OTHER)?.importTag).toEqual(entry.decoded.tag)
  })

  it('a snapshot repeats the tag of its chain, and covers what the one before did not', async () => {
    const { log: other, writer: author } = sameLog()
    other.append(other.changes(author))
    const { tag } = (other.entries.at(-1) as BuiltEntry).decoded
    const snapshot = (): BuiltEntry => other.changes(author, { kind: 'snapshot', tag })
    expect(await verdictOf(() => other.judge(other.changes(author, { kind: 'snapshot' })))).toBe(
      'ERR_INVALID_ENTRY tag',
    )
    expect(await verdictOf(() => other.judge(snapshot()))).toBe('accepted')
    other.append(snapshot())
    // Nothing new since, by whomever.
    expect(await verdictOf(() => other.judge(snapshot()))).toBe('ERR_INVALID_ENTRY snapshot')
    const byOwner = other.changes(other.owner, { kind: 'snapshot' })
    expect(await verdictOf(() => other.judge(byOwner))).toBe('ERR_INVALID_ENTRY snapshot')
    const unborn = other.changes(author, { kind: 'snapshot', document: OTHER })
    expect(await verdictOf(() => other.judge(unborn))).toBe('ERR_INVALID_ENTRY snapshot')
    // One that had not seen more than the latest covers no more.
    other.append(other.changes(other.owner))
    const behind = findDocument(other.state as SpaceState, DOCUMENT)?.snapshots[0]?.seenSize as number
    const late = other.changes(author, { kind: 'snapshot', tag, seenSize: behind, seenRoot: other.rootAt(behind) })
    expect(await verdictOf(() => other.judge(late))).toBe('ERR_INVALID_ENTRY snapshot')
  })

  it('the latest snapshots of two members stay, and one of each (R-SNAPSHOT-2)', async () => {
    const { log: other, writer: author } = sameLog()
    const third = other.admit('third', 'writer')
    const snapshots = (): readonly number[] =>
      (findDocument(other.state as SpaceState, DOCUMENT)?.snapshots ?? []).map(item => item.index)
    const snapshot = (device: TestDevice): number => {
      other.append(other.changes(device))
      const { tag } = (other.entries.at(-1) as BuiltEntry).decoded
      other.append(other.changes(device, { kind: 'snapshot', tag }))
      return other.size - 1
    }
    const first = snapshot(author)
    const second = snapshot(author)
    expect(snapshots()).toEqual([second])
    const byOwner = snapshot(other.owner)
    expect(snapshots()).toEqual([second, byOwner])
    const byThird = snapshot(third)
    expect(snapshots()).toEqual([byOwner, byThird])
    expect(first).toBeLessThan(second)
  })
})

describe('roles (R-ROLE-1)', () => {
  it.each<readonly [Role, string]>([
    ['reader', 'ERR_UNAUTHORIZED role'],
    ['writer', 'accepted'],
    ['admin', 'accepted'],
    ['owner', 'accepted'],
  ])('a %s writes documents: %s', async (role, verdict) => {
    const { log } = sameLog()
    const device = log.admit(`some ${role}`, role)
    expect(await verdictOf(() => log.judge(log.changes(device)))).toBe(verdict)
  })

  it('a provisional device writes nothing but its join', async () => {
    const { log } = sameLog()
    const provisional = testDevice('provisional', 3)
    log.append(log.control(log.owner, log.inviteBody(provisional, 'owner')))
    const judge = (entry: BuiltEntry): Promise<string> => verdictOf(() => log.judge(entry))
    expect(await judge(log.changes(provisional))).toBe('ERR_UNAUTHORIZED role')
    const invite = log.inviteBody(testDevice('friend', 4))
    expect(await judge(log.control(provisional, invite))).toBe('ERR_UNAUTHORIZED role')
    expect(await judge(log.control(provisional, log.joinBody(testDevice('own', 4))))).toBe('accepted')
  })
})

describe('the epoch (R-EPOCH-1)', () => {
  it('is the one in force; whatever else is stale', async () => {
    expect(await judge(log.changes(writer, { epoch: 1 }))).toBe('ERR_STALE_EPOCH epoch')
    const invite = log.inviteBody(testDevice('epoch', 3))
    expect(await judge(log.control(log.owner, invite, { epoch: 7 }))).toBe('ERR_STALE_EPOCH epoch')
  })
})

describe('the chain of an actor', () => {
  it('begins at seq 0 with nothing before it (R-CHAIN-1)', async () => {
    const fresh: EntryOptions = { incarnation: incarnation(1) }
    expect(await judge(log.changes(writer, fresh))).toBe('accepted')
    expect(await judge(log.changes(writer, { ...fresh, seq: 1 }))).toBe('ERR_STALE_CHAIN chain')
    expect(await judge(log.changes(writer, { ...fresh, prev: bytesOf('x') }))).toBe('ERR_STALE_CHAIN chain')
  })

  it('goes on with the next seq on top of its latest entry (R-CHAIN-2)', async () => {
    expect(await judge(log.changes(writer, { seq: 0, prev: ZERO_32 }))).toBe('ERR_STALE_CHAIN chain')
    expect(await judge(log.changes(writer, { seq: 2 }))).toBe('ERR_STALE_CHAIN chain')
    expect(await judge(log.changes(writer, { prev: ZERO_32 }))).toBe('ERR_STALE_CHAIN chain')
    const other = log.entries.at(-1)?.hash as Uint8Array
    expect(await judge(log.changes(writer, { prev: other }))).toBe('ERR_STALE_CHAIN chain')
    // An entry that is in the log already is not taken a second time.
    expect(await judge(first)).toBe('ERR_STALE_CHAIN chain')
  })

  it('is another one in another document, of another device or incarnation', async () => {
    const document = documentIdOf(bytesOf('other document').slice(0, 16))
    expect(await judge(log.changes(writer, { document, seq: 1, prev: first.hash }))).toBe('ERR_STALE_CHAIN chain')
    expect(await judge(log.changes(writer, { document }))).toBe('accepted')
  })

  it('ends with a retire entry, which needs a chain to end (R-CHAIN-3)', async () => {
    const { log, writer } = sameLog()
    const judge = (entry: BuiltEntry): Promise<string> => verdictOf(() => log.judge(entry))
    expect(await judge(log.retire(writer, { incarnation: incarnation(1) }))).toBe('ERR_INVALID_ENTRY retired')
    log.append(log.retire(writer))
    expect(await judge(log.changes(writer))).toBe('ERR_INVALID_ENTRY retired')
    expect(await judge(log.retire(writer))).toBe('ERR_INVALID_ENTRY retired')
    expect(await judge(log.changes(writer, { incarnation: incarnation(1) }))).toBe('accepted')
  })

  it('is one of at most 16 that a device has open in a document (R-ACTOR-3)', async () => {
    const { log, writer } = sameLog()
    const judge = (entry: BuiltEntry): Promise<string> => verdictOf(() => log.judge(entry))
    for (let n = 1; n < MAX_OPEN_ACTORS; n++) log.append(log.changes(writer, { incarnation: incarnation(n) }))
    const next: EntryOptions = { incarnation: incarnation(MAX_OPEN_ACTORS) }
    expect(MAX_OPEN_ACTORS).toBe(16)
    expect(await judge(log.changes(writer, next))).toBe('ERR_INVALID_ENTRY actors')
    // Those that exist go on, other devices and documents are not concerned, and one that ends makes room.
    expect(await judge(log.changes(writer))).toBe('accepted')
    expect(await judge(log.changes(log.owner, next))).toBe('accepted')
    const document = documentIdOf(bytesOf('other document').slice(0, 16))
    expect(await judge(log.changes(writer, { ...next, document }))).toBe('accepted')
    log.append(log.retire(writer))
    expect(await judge(log.changes(writer, next))).toBe('accepted')
  })
})

describe('what the author had seen', () => {
  it('lies before the entry, and never shrinks in a chain (R-SEEN-1)', async () => {
    expect(await judge(log.changes(writer, { seenSize: SIZE + 1 }))).toBe('ERR_INVALID_ENTRY seen')
    // Whatever root is handed in for a size that there is not.
    const future = log.changes(writer, { seenSize: SIZE + 1, seenRoot: bytesOf('future') })
    expect(await verdictOf(() => log.judge(future, { seenRoot: bytesOf('future') }))).toBe('ERR_INVALID_ENTRY seen')
    expect(await judge(log.changes(writer, { seenSize: first.decoded.seenSize }))).toBe('accepted')
    expect(await judge(log.changes(writer, { seenSize: first.decoded.seenSize - 1 }))).toBe('ERR_INVALID_ENTRY seen')
  })

  it('is this very log (R-SEEN-2)', async () => {
    expect(await judge(log.changes(writer, { seenRoot: bytesOf('another log') }))).toBe('ERR_INVALID_ENTRY seen')
    expect(await judge(log.changes(writer, { seenSize: 4, seenRoot: log.rootAt(5) }))).toBe('ERR_INVALID_ENTRY seen')
    const fresh: EntryOptions = { incarnation: incarnation(1), seenSize: 0 }
    expect(await judge(log.changes(writer, { ...fresh, seenRoot: ZERO_32 }))).toBe('ERR_INVALID_ENTRY seen')
    expect(await judge(log.changes(writer, fresh))).toBe('accepted')
  })
})

describe('tags and lengths', () => {
  it('a retire entry repeats the tag of its chain, a control entry has none (R-TAG-1)', async () => {
    expect(await judge(log.retire(writer))).toBe('accepted')
    expect(await judge(log.retire(writer, { tag: ZERO_32 }))).toBe('ERR_INVALID_ENTRY tag')
    expect(await judge(log.retire(writer, { tag: bytesOf('new tag') }))).toBe('ERR_INVALID_ENTRY tag')
    const invite = log.inviteBody(testDevice('tagged', 3))
    expect(await judge(log.control(log.owner, invite, { tag: bytesOf('tag') }))).toBe('ERR_INVALID_ENTRY tag')
  })

  it('bodies are within the policy, of control entries within 64 KiB, and retire entries have none (R-LENGTH-1)', async () => {
    const limit = log.genesisBody().policy.maxBodyLength
    expect(await judge(log.changes(writer, { bodyLength: limit }))).toBe('accepted')
    expect(await judge(log.changes(writer, { bodyLength: limit + 1 }))).toBe('ERR_INVALID_ENTRY length')
    expect(await judge(log.retire(writer, { bodyLength: 1 }))).toBe('ERR_INVALID_ENTRY length')
    const invite = log.inviteBody(testDevice('long', 3))
    const bodyLength = MAX_CONTROL_BODY_LENGTH + 1
    expect(await judge(log.control(log.owner, invite, { bodyLength }))).toBe('ERR_INVALID_ENTRY length')
  })
})

describe('the genesis (R-GENESIS-1)', () => {
  const empty = new LogBuilder()
  const judgeFirst = (options: EntryOptions): Promise<string> => {
    return verdictOf(() => empty.judge(empty.genesis(empty.genesisBody(), options)))
  }

  it('founds a space with its owner', () => {
    const { state, signer, actor } = empty.judge(empty.genesis())
    const { control } = state
    const hash = empty.genesis().hash
    expect(control.space).toEqual(hash)
    expect(control.head).toEqual(hash)
    expect(control.count).toBe(1)
    expect([...control.members.values()]).toEqual([expect.objectContaining({ role: 'owner', history: 'all' })])
    expect([...control.devices.keys()]).toEqual([0])
    expect(control.epochs).toEqual([expect.objectContaining(empty.genesisBody().epoch)])
    expect(signer).toEqual(publicKeyOf(empty.owner.signing))
    // Its own leaf hash stands for the space in the actor's name (R-ACTOR-2).
    expect(actor).toBe(actorOf(hash, CONTROL_DOCUMENT, signer, empty.owner.incarnation))
  })

  it.each<readonly [string, EntryOptions, string]>([
    ['names a space', { space: bytesOf('space') }, 'ERR_INVALID_ENTRY space'],
    ['is no control entry', { kind: 'changes' }, 'ERR_INVALID_ENTRY kind'],
    ['is of a document', { document: DOCUMENT }, 'ERR_INVALID_ENTRY kind'],
    ['is by a device of another number', { device: 1 }, 'ERR_INVALID_ENTRY device'],
    ['is of a later epoch', { epoch: 1 }, 'ERR_INVALID_ENTRY epoch'],
    ['is not the first of its chain', { seq: 1 }, 'ERR_STALE_CHAIN chain'],
    ['follows something', { prev: bytesOf('x') }, 'ERR_STALE_CHAIN chain'],
    ['has seen something', { seenSize: 1 }, 'ERR_INVALID_ENTRY seen'],
    ['has seen another nothing', { seenRoot: ZERO_32 }, 'ERR_INVALID_ENTRY seen'],
    ['has a tag', { tag: bytesOf('tag') }, 'ERR_INVALID_ENTRY tag'],
    ['is too long', { bodyLength: MAX_CONTROL_BODY_LENGTH + 1 }, 'ERR_INVALID_ENTRY length'],
  ])('that %s is refused', async (_, options, verdict) => {
    expect(await judgeFirst(options)).toBe(verdict)
  })

  it('has a genesis in it, and is the only one', async () => {
    const join = empty.genesis({ ...log.joinBody(testDevice('x', 1)) })
    expect(await verdictOf(() => empty.judge(join))).toBe('ERR_INVALID_ENTRY control-body')
    expect(await judge(log.control(log.owner, log.genesisBody()))).toBe('ERR_INVALID_ENTRY control-body')
    expect(await judge(log.genesis())).toBe('ERR_INVALID_ENTRY space')
  })
})

describe('the body of a control entry (R-CONTROL-1)', () => {
  it('is there and is one, byte for byte', async () => {
    const body = encodeControlBody(log.inviteBody(testDevice('body', 3)))
    const entry = log.control(log.owner, log.inviteBody(testDevice('body', 3)))
    expect(await judge({ ...entry, body: concat(body, Uint8Array.of(0)) })).toBe('ERR_INVALID_ENTRY control-body')
    expect(await judge({ ...entry, body: new Uint8Array(0) })).toBe('ERR_INVALID_ENTRY control-body')
    const { decoded: header, hash } = entry
    const at = { header, hash, index: SIZE, seenRoot: log.rootAt(SIZE), controlBody: undefined }
    expect(await verdictOf(() => applyHeader(log.state, at))).toBe('ERR_INVALID_ENTRY control-body')
  })
})

describe('keys of new devices', () => {
  const inviting = (change: Partial<ReturnType<typeof deviceKeys>>): BuiltEntry => {
    const body = log.inviteBody(testDevice('keys', 3))
    return log.control(log.owner, { ...body, device: { ...body.device, ...change } })
  }

  it('are sound points and sound KEM keys (R-KEY-1, R-KEY-2)', async () => {
    expect(await judge(inviting({}))).toBe('accepted')
    const identity = Uint8Array.of(1, ...new Uint8Array(31))
    expect(await judge(inviting({ signing: identity }))).toBe('ERR_INVALID_ENTRY key')
    expect(await judge(inviting({ signing: new Uint8Array(32).fill(0xff) }))).toBe('ERR_INVALID_ENTRY key')
    expect(await judge(inviting({ kem: new Uint8Array(1216).fill(0xff) }))).toBe('ERR_INVALID_ENTRY key')
    expect(await judge(inviting({ kem: new Uint8Array(1216) }))).toBe('ERR_INVALID_ENTRY key')
  })

  it('were never admitted before, not even to a device that is gone (R-KEY-3)', async () => {
    for (const used of [log.owner, writer, testDevice('writer provisional', 1)]) {
      expect(await judge(inviting({ signing: publicKeyOf(used.signing) }))).toBe('ERR_INVALID_ENTRY key')
      expect(await judge(inviting({ kem: used.kem }))).toBe('ERR_INVALID_ENTRY key')
    }
  })

  it('come with a proof of possession for this space, member and KEM key (R-KEY-4)', () => {
    const device = testDevice('keys', 3)
    const { checks } = log.judge(inviting({}))
    expect(checks.map(verifySync)).toEqual([true])
    const member = memberNamed('member 3')
    const elsewhere = [
      deviceKeys(device, bytesOf('another space'), member),
      deviceKeys(device, log.spaceBytes, memberNamed('somebody else')),
      deviceKeys({ ...device, kem: writer.kem }, log.spaceBytes, member),
    ]
    for (const { possession } of elsewhere) {
      expect(log.judge(inviting({ possession })).checks.map(verifySync)).toEqual([false])
    }
    expect(log.judge(inviting({ possession: new Uint8Array(64) })).checks.map(verifySync)).toEqual([false])
  })
})

describe('invites', () => {
  const ROLES: readonly Role[] = ['reader', 'writer', 'admin', 'owner']
  const MAY: Readonly<Record<Role, readonly Role[]>> = {
    owner: ['reader', 'writer', 'admin', 'owner'],
    admin: ['reader', 'writer'],
    writer: [],
    reader: [],
  }

  it.each(ROLES)(
    'of a %s: an owner invites anybody, an admin below itself, nobody else anyone (R-INVITE-1)',
    async role => {
      const { log } = sameLog()
      const inviter = log.admit(`inviting ${role}`, role)
      for (const wanted of ROLES) {
        const entry = log.control(inviter, log.inviteBody(testDevice('guest', 5), wanted))
        const expected = MAY[role].includes(wanted) ? 'accepted' : 'ERR_UNAUTHORIZED role'
        expect(await verdictOf(() => log.judge(entry)), `${role} invites ${wanted}`).toBe(expected)
      }
    },
  )

  it('give admins and owners all history, and never reuse a member (R-INVITE-2)', async () => {
    const inviting = (change: Partial<InviteBody>): BuiltEntry => {
      return log.control(log.owner, log.bodies.invite(testDevice('guest', 3), change))
    }
    expect(await judge(inviting({ history: 'from-join' }))).toBe('accepted')
    expect(await judge(inviting({ history: 'from-join', role: 'admin' }))).toBe('ERR_INVALID_ENTRY invite')
    expect(await judge(inviting({ history: 'from-join', role: 'owner' }))).toBe('ERR_INVALID_ENTRY invite')
    for (const member of log.state?.control.members.keys() ?? []) {
      expect(await judge(inviting({ member }))).toBe('ERR_INVALID_ENTRY invite')
    }
    const { log: second } = sameLog()
    second.append(second.control(second.owner, second.inviteBody(testDevice('guest', 3))))
    const member = memberNamed('member 3')
    const again = second.control(second.owner, { ...second.inviteBody(testDevice('other', 4)), member })
    expect(await verdictOf(() => second.judge(again))).toBe('ERR_INVALID_ENTRY invite')
  })

  it('are used once, by the device that they admit, which its own one replaces (R-INVITE-3)', async () => {
    const { log, writer } = sameLog()
    const judge = (entry: BuiltEntry): Promise<string> => verdictOf(() => log.judge(entry))
    const provisional = testDevice('provisional', 3)
    const invite = log.inviteBody(provisional, 'admin')
    log.append(log.control(log.owner, invite))
    expect([...(log.state?.control.invites.keys() ?? [])]).toEqual([3])

    const device = testDevice('joiner', 4)
    const join = log.joinBody(device)
    for (const other of [log.owner, writer]) {
      expect(await judge(log.control(other, join))).toBe('ERR_UNAUTHORIZED invite')
    }
    log.append(log.control(provisional, join))
    const control = log.state?.control as SpaceState['control']
    expect(control.invites.size).toBe(0)
    const removed = { number: 4, index: 5, epoch: 0 }
    expect(control.devices.get(3)).toMatchObject({ standing: 'provisional', removed })
    expect(control.devices.get(4)).toMatchObject({ standing: 'member', removed: undefined, member: invite.member })
    const name = { epoch: 0, sealed: join.memberName }
    expect(control.members.get(invite.member)).toMatchObject({ role: 'admin', history: 'all', name, since: removed })

    // The device that is spent, and the one that came in its place, join no more.
    const second = log.joinBody(testDevice('second', 5))
    expect(await judge(log.control(provisional, second))).toBe('ERR_UNAUTHORIZED device')
    expect(await judge(log.control(device, second))).toBe('ERR_UNAUTHORIZED invite')
  })
})

describe('the control state (R-CONTROL-2)', () => {
  it('numbers devices by the control entry that admitted them, and names the latest control entry', () => {
    const { control } = log.state as SpaceState
    expect(control.count).toBe(3)
    expect([...control.devices.keys()]).toEqual([0, 1, 2])
    expect(control.head).toEqual(log.entries[2]?.hash)
    expect(idBytes(log.space)).toEqual(control.space)
  })
})
