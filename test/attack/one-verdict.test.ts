import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { judgeVerified } from '../../relay-server/src/judge-verified.ts'
import { readPush } from '../../relay-server/src/pushed-entry.ts'
import { sha256, ZERO_32 } from '../../src/crypto/hash.ts'
import { nobleVerifier } from '../../src/crypto/sign.ts'
import { CONTROL_DOCUMENT, DIRECTORY_DOCUMENT, type MemberId } from '../../src/ids.ts'
import { appendLeaves, emptyRange } from '../../src/verify/compact-range.ts'
import type { ControlBody } from '../../src/verify/control.ts'
import { encodeControlBody } from '../../src/verify/control-codec.ts'
import type { Header } from '../../src/verify/entry.ts'
import type { LogView } from '../../src/verify/log.ts'
import {
  accept,
  type BuiltEntry,
  bytesOf,
  DOCUMENT,
  LogBuilder,
  signed,
  type TestDevice,
  testDevice,
  verdictOf,
} from '../helpers/log-builder.ts'

/** What may be wrong with an entry, each by itself or several together. */
const FIELDS = {
  space: fc.constantFrom(ZERO_32, bytesOf('another space')),
  document: fc.constantFrom(CONTROL_DOCUMENT, DIRECTORY_DOCUMENT, DOCUMENT),
  device: fc.constantFrom(0, 1, 2, 3, 4, 5, 2 ** 31, Number.MAX_SAFE_INTEGER),
  incarnation: fc.constantFrom(new Uint8Array(8), new Uint8Array(8).fill(255)),
  seq: fc.constantFrom(0, 1, 2, Number.MAX_SAFE_INTEGER),
  prev: fc.constantFrom(ZERO_32, bytesOf('elsewhere')),
  seenSize: fc.constantFrom(0, 1, 4, 6, 7, 8, Number.MAX_SAFE_INTEGER),
  seenRoot: fc.constantFrom(sha256(), ZERO_32),
  epoch: fc.constantFrom(0, 1, Number.MAX_SAFE_INTEGER),
  kind: fc.constantFrom('changes', 'snapshot', 'import', 'retire', 'control'),
  tag: fc.constantFrom(ZERO_32, bytesOf('another tag')),
  bodyHash: fc.constantFrom(sha256(), bytesOf('another body')),
  bodyLength: fc.constantFrom(0, 1, 1024 * 1024, 1024 * 1024 + 1),
} as const satisfies { readonly [K in keyof Header]: fc.Arbitrary<Header[K]> }

type Field = readonly [name: keyof Header, value: Header[keyof Header]]

const anyFields: fc.Arbitrary<Partial<Header>> = fc
  .uniqueArray(
    fc.oneof(
      ...Object.entries(FIELDS).map(([name, values]: [string, fc.Arbitrary<Header[keyof Header]>]) =>
        values.map((value): Field => [name as keyof Header, value]),
      ),
    ),
    { maxLength: 3, selector: ([name]) => name },
  )
  .map(fields => Object.fromEntries(fields))

const kinds: fc.Arbitrary<string> = fc.constantFrom(
  'changes',
  'retire',
  'invite',
  'join',
  'approve',
  'revoke',
  'remove-device',
  'remove-member',
  'leave',
  'set-role',
  'add-device',
  'grant',
  'rename',
  'junk',
)

/** Devices 0 to 8: owner, writer, reader, who waits for approval, and an open invite. */
function playground(): { log: LogBuilder; authors: readonly TestDevice[] } {
  const { log, writer } = LogBuilder.withWriter()
  const reader = log.admit('reader', 'reader', { history: 'from-join' })
  const asking = testDevice('asking', log.nextNumber)
  log.act(log.owner, log.bodies.invite(asking, { kind: 'approved' }))
  const asker = testDevice('asker', log.nextNumber)
  log.act(asking, log.bodies.join(asker))
  const guest = testDevice('guest', log.nextNumber)
  log.act(log.owner, log.inviteBody(guest))
  log.append(log.changes(writer))
  return { log, authors: [log.owner, writer, reader, guest, asker] }
}

const { log: base, authors } = playground()
const [, writer, reader, guest, asker] = authors as readonly [
  TestDevice,
  TestDevice,
  TestDevice,
  TestDevice,
  TestDevice,
]

function controlBodyOf(kind: string, author: TestDevice): ControlBody | undefined {
  const { bodies, nextNumber: number } = base
  const member = base.controlState.devices.get(writer.number)?.member as MemberId
  switch (kind) {
    case 'invite':
      return bodies.invite(testDevice('another guest', number), { role: 'admin' })
    case 'join':
      return bodies.join(testDevice('guest own', number), guest.number)
    case 'approve':
      return bodies.approve(asker.number)
    case 'revoke':
      return bodies.revoke(guest.number)
    case 'remove-device':
      return bodies.removeDevice(writer.number)
    case 'remove-member':
      return bodies.removeMember(member)
    case 'leave':
      return bodies.leave()
    case 'set-role':
      return bodies.setRole(member, 'owner')
    case 'add-device':
      return bodies.addDevice(author, testDevice('added', number))
    case 'grant':
      return bodies.grant(reader.number, 0)
    case 'rename':
      return bodies.rename({ device: author.number }, 'Another name')
    default:
      return undefined
  }
}

function bodyOf(kind: string, author: TestDevice): Partial<Header> & { readonly body?: Uint8Array } {
  const control = { document: CONTROL_DOCUMENT, kind: 'control', tag: ZERO_32 } as const
  const body = controlBodyOf(kind, author)
  if (body !== undefined) return { ...control, body: encodeControlBody(body) }
  if (kind === 'junk') return { ...control, body: bytesOf('junk') }
  if (kind === 'retire') return { kind: 'retire', body: new Uint8Array(0) }
  return { tag: bytesOf('tag'), body: bytesOf('body') }
}

/** The relay, with what it has; then a replica, of a relay that took the entry whatever it is. */
async function verdicts(entry: BuiltEntry, before: LogView): Promise<readonly [relay: string, replica: string]> {
  const log = base.fork()
  const hashes = log.entries.map(item => item.hash)
  const view = { space: log.space, range: appendLeaves(emptyRange, hashes), state: log.state }
  const push = readPush([{ header: entry.header, signature: entry.signature, body: entry.body }], () => undefined)
  const seenRoots = new Map(Array.from({ length: log.size + 1 }, (_, size) => [size, log.rootAt(size)]))
  const judged = await judgeVerified(view, [push], { relay: log.relay, now: 0, seenRoots }, nobleVerifier)
  const [refusal] = judged.refused
  const { state } = log
  if (refusal === undefined) log.state = judged.view.state
  log.force(entry)
  const replica = await verdictOf(() => accept(before, log.batch(log.size - 1)))
  expect(log.state === state).toBe(refusal !== undefined)
  return [refusal === undefined ? 'accepted' : refusal.error.code, replica]
}

describe('relay and replica judge every entry alike', () => {
  it('whatever is wrong with it: the relay takes exactly what a replica would take from it', async () => {
    const counts = { accepted: 0, refused: 0 }
    const before = await base.viewAt(base.size)
    await fc.assert(
      fc.asyncProperty(kinds, fc.nat(4), anyFields, fc.boolean(), async (kind, who, fields, isSigned) => {
        const author = authors[who] as TestDevice
        const draft = base.entry(author, { ...bodyOf(kind, author), ...fields })
        const forged = isSigned ? undefined : signed(reader, draft.decoded, draft.body).signature
        const [relay, replica] = await verdicts({ ...draft, signature: forged ?? draft.signature }, before)
        counts[relay === 'accepted' ? 'accepted' : 'refused']++
        expect([relay, replica].filter(verdict => verdict === 'accepted').length).not.toBe(1)
        expect(relay === 'ERR_UPGRADE').toBe(replica === 'ERR_UPGRADE')
      }),
      { numRuns: 80 },
    )
    expect(counts.accepted).toBeGreaterThan(0)
    expect(counts.refused).toBeGreaterThan(15)
  })
})
