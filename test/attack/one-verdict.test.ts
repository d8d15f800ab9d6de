import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { judgeVerified } from '../../relay-server/src/judge-verified.ts'
import { readPush } from '../../relay-server/src/pushed-entry.ts'
import { sha256, ZERO_32 } from '../../src/crypto/hash.ts'
import { nobleVerifier } from '../../src/crypto/sign.ts'
import { CONTROL_DOCUMENT, DIRECTORY_DOCUMENT } from '../../src/ids.ts'
import { appendLeaves, emptyRange } from '../../src/verify/compact-range.ts'
import { encodeControlBody } from '../../src/verify/control.ts'
import type { Header } from '../../src/verify/entry.ts'
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

const kinds: fc.Arbitrary<string> = fc.constantFrom('changes', 'retire', 'invite', 'join', 'junk')

function playground(): { log: LogBuilder; authors: readonly TestDevice[]; guest: TestDevice } {
  const { log, writer } = LogBuilder.withWriter()
  const reader = log.admit('reader', 'reader')
  const guest = testDevice('guest', log.state?.control.count ?? 0)
  log.append(log.control(log.owner, log.inviteBody(guest)))
  log.append(log.changes(writer))
  return { log, authors: [log.owner, writer, reader, guest], guest }
}

function bodyOf(log: LogBuilder, kind: string): Partial<Header> & { readonly body?: Uint8Array } {
  const number = log.state?.control.count ?? 0
  const control = { document: CONTROL_DOCUMENT, kind: 'control', tag: ZERO_32 } as const
  switch (kind) {
    case 'invite':
      return { ...control, body: encodeControlBody(log.inviteBody(testDevice('another guest', number), 'admin')) }
    case 'join':
      return { ...control, body: encodeControlBody(log.joinBody(testDevice('guest own', number))) }
    case 'junk':
      return { ...control, body: bytesOf('junk') }
    case 'retire':
      return { kind: 'retire', body: new Uint8Array(0) }
    default:
      return { tag: bytesOf('tag'), body: bytesOf('body') }
  }
}

/** The relay, with what it has; then a replica, of a relay that took the entry whatever it is. */
async function verdicts(log: LogBuilder, entry: BuiltEntry): Promise<readonly [relay: string, replica: string]> {
  const hashes = log.entries.map(item => item.hash)
  const view = { space: log.space, range: appendLeaves(emptyRange, hashes), state: log.state }
  const push = readPush([{ header: entry.header, signature: entry.signature, body: entry.body }], () => undefined)
  const seenRoots = new Map(Array.from({ length: log.size + 1 }, (_, size) => [size, log.rootAt(size)]))
  const judged = await judgeVerified(view, [push], { relay: log.relay, now: 0, seenRoots }, nobleVerifier)
  const [refusal] = judged.refused
  const before = await log.viewAt(log.size)
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
    await fc.assert(
      fc.asyncProperty(kinds, fc.nat(3), anyFields, fc.boolean(), async (kind, who, fields, isSigned) => {
        const { log, authors } = playground()
        const author = authors[who] as TestDevice
        const draft = log.entry(author, { ...bodyOf(log, kind), ...fields })
        const entry = isSigned ? draft : { ...draft, signature: signed(log.owner, draft.decoded, draft.body).signature }
        const [relay, replica] = await verdicts(log, entry)
        counts[relay === 'accepted' ? 'accepted' : 'refused']++
        expect([relay, replica].filter(verdict => verdict === 'accepted').length).not.toBe(1)
        expect(relay === 'ERR_UPGRADE').toBe(replica === 'ERR_UPGRADE')
      }),
      { numRuns: 50 },
    )
    expect(counts.accepted).toBeGreaterThan(0)
    expect(counts.refused).toBeGreaterThan(15)
  })
})
