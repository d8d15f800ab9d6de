import * as Automerge from '@automerge/automerge/slim'
import { beforeAll, describe, expect, it } from 'vitest'
import { concat, fromHex, toHex } from '../../src/bytes.ts'
import { type Cbor, decodeCbor, encodeCbor } from '../../src/codec.ts'
import type { ChangeTip } from '../../src/crdt/chain-place.ts'
import { emptyDoc } from '../../src/crdt/content.ts'
import { SpaceKeys } from '../../src/crdt/epoch-secrets.ts'
import { CausalIndex } from '../../src/crdt/guard/causal-index.ts'
import { pushInt, pushUint } from '../../src/crdt/guard/column-writer.ts'
import { inspect } from '../../src/crdt/guard.ts'
import { judgeRow } from '../../src/crdt/judge.ts'
import type { LocalChange } from '../../src/crdt/local-row.ts'
import { type ChangesPayload, decodeChangesPayload, encodeChangesPayload } from '../../src/crdt/payload.ts'
import { keysIn, type ReceiveContext, receiveEntry } from '../../src/crdt/receive.ts'
import { sha256 } from '../../src/crypto/hash.ts'
import { changeTag, sealBody } from '../../src/crypto/keyring.ts'
import { type ActorId, actorIdOf } from '../../src/ids.ts'
import { type Header, headerContext } from '../../src/verify/entry.ts'
import type { VerifiedEntry } from '../../src/verify/log.ts'
import { initializeAutomerge } from '../helpers/automerge.ts'
import { bytesOf, DOCUMENT, verdictOf } from '../helpers/log-builder.ts'
import { replaced } from '../helpers/replaced.ts'
import { chunkOf, hashOf, partsOf } from './guard-support.ts'

const ACTOR = actorIdOf(bytesOf('actor').slice(0, 16))
const OTHER = actorIdOf(bytesOf('other').slice(0, 16))
const KEYS = new SpaceKeys(new Map([[0, { kind: 'all', secret: bytesOf('epoch secret') }]]))
const INDEX = 12
/** Columns of a change chunk: text of keys, and actions. */
const KEY_COLUMN = 0x15
const ACTION_COLUMN = 0x42

/** Two changes of one actor, the second on top of the first. */
interface Written {
  readonly first: LocalChange
  readonly second: LocalChange
}

function write(actor: ActorId, value: string): Written {
  let doc = emptyDoc(actor)
  const next = (seq: number): LocalChange => {
    doc = Automerge.change(doc, { time: 0 }, d => {
      d[`key ${seq}`] = value
    })
    return {
      seq,
      hash: fromHex(Automerge.getHeads(doc)[0] as string),
      bytes: Automerge.getLastLocalChange(doc) as Uint8Array,
    }
  }
  return { first: next(1), second: next(2) }
}

let mine: Written
let theirs: Written

beforeAll(async () => {
  await initializeAutomerge()
  mine = write(ACTOR, 'mine')
  theirs = write(OTHER, 'theirs')
})

const tipOf = ({ seq, hash }: LocalChange): ChangeTip => ({ seq, hash })

function payloadOf(change: LocalChange, differing: Partial<ChangesPayload> = {}): Uint8Array {
  const { seq: latestSeq, hash: latestHash, bytes: chunks } = change
  return encodeChangesPayload({ encoding: 'raw', latestHash, latestSeq, count: 1, chunks, ...differing })
}

/** The same change with a counter that runs ahead, which no replica takes, and the hash that it has then. */
function spoilt(change: LocalChange): LocalChange {
  const parts = partsOf(change.bytes)
  const bytes = chunkOf({ ...parts, startOp: parts.startOp + 1000 })
  return { ...change, bytes, hash: hashOf(bytes) }
}

/** A verified entry as its author sealed it; `tagged` is the change that its header commits to. */
function entryOf(payload: Uint8Array, tagged: Uint8Array, sealedUnder: SpaceKeys = KEYS): VerifiedEntry {
  const draft: Omit<Header, 'bodyHash' | 'bodyLength'> = {
    space: bytesOf('space'),
    document: DOCUMENT,
    device: 1,
    incarnation: new Uint8Array(8),
    seq: 0,
    prev: new Uint8Array(32),
    seenSize: 3,
    seenRoot: bytesOf('seen'),
    epoch: 0,
    kind: 'changes',
    tag: changeTag(KEYS.forDocument(DOCUMENT, 0, 0).tag, tagged),
  }
  const key = sealedUnder.forDocument(DOCUMENT, 0, 0).content
  const body = sealBody({ key, payload, aad: headerContext(draft), random: () => bytesOf('random'), seq: 0 })
  const header: Header = { ...draft, bodyHash: sha256(body), bodyLength: body.length }
  return { index: INDEX, header, hash: bytesOf('hash'), actor: ACTOR, body, control: undefined }
}

const entryWith = (change: LocalChange, differing?: Partial<ChangesPayload>): VerifiedEntry =>
  entryOf(payloadOf(change, differing), change.hash)

/** What becomes of an entry: opened, and where it is somebody else's content judged on top of `tip`. */
function receive(
  entry: VerifiedEntry,
  { tip, keys = KEYS, ...differing }: Partial<ReceiveContext> & { tip?: ChangeTip; keys?: SpaceKeys } = {},
): object {
  const keysOf = keysIn(keys, undefined)
  const none = { stopped: undefined, awaitsImport: false, importing: undefined, locals: undefined }
  const context = { keysOf, ...none, ...differing }
  const received = receiveEntry(entry, context)
  if (received.outcome === 'stopped') return { ...received, reason: 'parked' }
  if (received.outcome !== 'content' && received.outcome !== 'cloned') return received
  const index = new CausalIndex()
  if (tip !== undefined) {
    index.add(inspect(mine.first.bytes, { actor: ACTOR, nextSeq: 1 }), toHex(mine.first.hash))
  }
  const verdict = judgeRow(received.row, index, tip)
  return 'reason' in verdict ? { outcome: 'stopped', reason: verdict.reason, code: verdict.code } : received
}

const parked = (code: string): object => ({ outcome: 'stopped', reason: 'parked', code })
const refused = (code: string): object => ({ outcome: 'stopped', reason: 'refused', code })

describe('an entry of changes', () => {
  it('that is as announced brings its changes', () => {
    const { first, second } = mine
    expect(receive(entryWith(first))).toMatchObject({ outcome: 'content', row: { tip: tipOf(first) } })
    expect(receive(entryWith(second), { tip: tipOf(first) })).toMatchObject({
      outcome: 'content',
      row: { tip: tipOf(second) },
    })
  })

  it('is judged by key, then by tag, then by the guard (R-CONTENT-1)', () => {
    const bad = { ...mine.first, bytes: new Uint8Array(30) }
    const strange = new SpaceKeys(new Map([[0, { kind: 'all', secret: bytesOf('another secret') }]]))
    expect(receive(entryOf(payloadOf(bad), bytesOf('another hash'), strange))).toEqual(parked('ERR_OPEN'))
    expect(receive(entryOf(payloadOf(bad), bytesOf('another hash')))).toEqual(parked('ERR_TAG'))
    expect(receive(entryWith(bad))).toEqual(parked('ERR_GUARD'))
  })

  it('is parked where its bytes are not those that its author committed to (R-CONTENT-2)', () => {
    const { first } = mine
    expect(receive(entryOf(new Uint8Array(50).fill(0xff), first.hash))).toEqual(parked('ERR_MALFORMED'))
    expect(receive(entryOf(payloadOf(first), bytesOf('another hash')))).toEqual(parked('ERR_TAG'))
    expect(receive(entryWith(first), { keys: new SpaceKeys(new Map()) })).toEqual(parked('ERR_KEY'))
    const body = entryWith(first).body as Uint8Array
    const header = { ...entryWith(first).header, seq: 1 }
    expect(receive({ ...entryWith(first), header, body })).toEqual(parked('ERR_OPEN'))
  })

  it('without its body parks its author, and stops nobody else (R-BODY-3)', () => {
    expect(receive({ ...entryWith(mine.first), body: undefined })).toEqual(parked('ERR_BODY'))
  })

  it('is refused where its author provably committed to what no replica may take (R-CONTENT-3)', () => {
    const { first, second } = mine
    const ahead = spoilt(first)
    expect(receive(entryWith(ahead))).toEqual(refused('ERR_GUARD'))
    // A good change before the bad one is no excuse, as it is named by hash; nor are dependencies that are missing.
    const next = spoilt(second)
    const both = { ...next, bytes: concat(first.bytes, next.bytes) }
    expect(receive(entryWith(both, { count: 2 }))).toEqual(refused('ERR_GUARD'))
    expect(receive(entryWith(next), { tip: tipOf(first) })).toEqual(refused('ERR_GUARD'))
  })

  it('is parked where what the guard refuses may not be what its tag commits to (R-CONTENT-6)', () => {
    const { first, second } = mine
    const ahead = spoilt(first)
    const next = spoilt(second)
    const cases: [VerifiedEntry, ChangeTip | undefined, string][] = [
      // Framed in another way than it says.
      [entryWith(first, { count: 1, latestSeq: 5 }), undefined, 'ERR_CONTENT'],
      [entryWith(second, { count: 2 }), tipOf(first), 'ERR_CONTENT'],
      [entryWith(ahead, { latestSeq: 2, count: 2 }), undefined, 'ERR_GUARD'],
      [entryWith(first, { encoding: 'bundle' }), undefined, 'ERR_GUARD'],
      // The hash in the tag is another's.
      [entryWith({ ...ahead, hash: first.hash }), undefined, 'ERR_GUARD'],
      [entryWith({ ...theirs.first, hash: first.hash }), undefined, 'ERR_GUARD'],
      // A bad change that the good one does not name, and a good one that does not name the change before.
      [entryWith({ ...second, bytes: concat(ahead.bytes, second.bytes) }, { count: 2 }), undefined, 'ERR_GUARD'],
      [entryWith(next), { seq: 1, hash: bytesOf('another first change') }, 'ERR_GUARD'],
      [entryWith(next), undefined, 'ERR_GUARD'],
    ]
    for (const [entry, tip, code] of cases) {
      expect(receive(entry, tip === undefined ? {} : { tip })).toEqual(parked(code))
    }
  })

  it('changes nothing behind one that was parked or refused (R-CONTENT-4)', () => {
    const at = { index: 3, code: 'ERR_BODY', covered: undefined, needs: undefined } as const
    expect(receive(entryWith(mine.first), { stopped: { ...at, reason: 'parked' } })).toEqual({ outcome: 'behind' })
    expect(receive(entryWith(mine.first), { stopped: { ...at, reason: 'refused' } })).toEqual({ outcome: 'none' })
    const retire = { ...entryWith(mine.first), body: undefined }
    for (const kind of ['retire', 'snapshot'] as const) {
      expect(receive({ ...retire, header: { ...retire.header, kind } })).toEqual({ outcome: 'none' })
    }
  })

  it('is parked as long as the import that its document begins with is (R-PARK-5)', () => {
    expect(receive(entryWith(mine.first), { awaitsImport: true })).toEqual(parked('ERR_DEPENDENCY'))
  })

  it('of a later version or encoding is parked, not judged: no member can stop the others (R-CONTENT-5)', () => {
    const items = decodeCbor(payloadOf(mine.first), 10_000) as Cbor[]
    for (const later of [items.with(0, 1), items.with(1, 2), [7]]) {
      const entry = entryOf(encodeCbor(later), mine.first.hash)
      expect(receive(entry)).toEqual(parked('ERR_UPGRADE'))
    }
  })
})

describe('the guard in front of an entry', () => {
  it('takes changes of the entry’s own actor only (R-GUARD-3)', () => {
    expect(receive(entryWith(theirs.first))).toEqual(parked('ERR_GUARD'))
  })

  it('takes the very next change, on top of the one before (R-GUARD-4)', () => {
    const { first, second } = mine
    expect(receive(entryWith(second))).toEqual(parked('ERR_GUARD'))
    expect(receive(entryWith(first), { tip: tipOf(first) })).toEqual(parked('ERR_GUARD'))
    const another = { seq: 1, hash: bytesOf('another first change') }
    expect(receive(entryWith(second), { tip: another })).toEqual(parked('ERR_GUARD'))
  })

  it('takes chunks in their one spelling, and nothing behind them (R-GUARD-2)', () => {
    const { first } = mine
    const { bytes } = first
    for (const bad of [
      bytes.slice(0, -1),
      Uint8Array.of(...bytes, 0),
      bytes.with(0, 0),
      bytes.with(5, (bytes[5] as number) ^ 1),
      new Uint8Array(0),
      Automerge.save(Automerge.init()),
    ]) {
      expect(receive(entryWith({ ...first, bytes: bad }))).toEqual(parked('ERR_GUARD'))
    }
  })
})

describe('the guard against what Automerge is not hardened against', () => {
  /** The first change with one column replaced. */
  function withColumn(specification: number, bytes: Uint8Array): LocalChange {
    const parts = partsOf(mine.first.bytes)
    const columns = parts.columns.map(([at, data]): [number, Uint8Array] => [at, at === specification ? bytes : data])
    return { ...mine.first, bytes: chunkOf({ ...parts, columns }) }
  }

  it('counts operations before it expands them (R-GUARD-5)', () => {
    const run: number[] = []
    pushInt(run, 2 ** 30)
    pushUint(run, 1)
    const start = performance.now()
    expect(receive(entryWith(withColumn(ACTION_COLUMN, Uint8Array.from(run))))).toEqual(parked('ERR_GUARD'))
    expect(performance.now() - start).toBeLessThan(1000)
  })

  it('takes no key that would set the prototype of an application’s object (R-GUARD-6)', () => {
    const doc = Automerge.change(emptyDoc(ACTOR), { time: 0 }, d => {
      d.prototype = { isAdmin: true }
    })
    const good = Automerge.getLastLocalChange(doc) as Uint8Array
    const parts = partsOf(good)
    const columns = parts.columns.map(([at, data]): [number, Uint8Array] => [
      at,
      at === KEY_COLUMN ? replaced(data, 'prototype', '__proto__') : data,
    ])
    const bad = chunkOf({ ...parts, columns })
    expect(receive(entryWith({ seq: 1, hash: hashOf(good), bytes: good }))).toMatchObject({ outcome: 'content' })
    expect(receive(entryWith({ seq: 1, hash: hashOf(bad), bytes: bad }))).toEqual(refused('ERR_GUARD'))
  })

  it('takes no operation that replaces what is on another key (R-GUARD-7)', () => {
    let doc = emptyDoc(ACTOR)
    for (const value of [1, 2]) {
      doc = Automerge.change(doc, { time: 0 }, d => {
        d.here = value
      })
    }
    const [first, second] = Automerge.getAllChanges(doc) as [Uint8Array, Uint8Array]
    const parts = partsOf(second)
    const elsewhere = parts.columns.map(([at, data]): [number, Uint8Array] => [
      at,
      at === KEY_COLUMN ? replaced(data, 'here', 'away') : data,
    ])
    const entry = (last: Uint8Array): VerifiedEntry => {
      const hash = hashOf(last)
      return entryOf(payloadOf({ seq: 2, hash, bytes: concat(first, last) }, { count: 2 }), hash)
    }
    expect(receive(entry(second))).toMatchObject({ outcome: 'content' })
    expect(receive(entry(chunkOf({ ...parts, columns: elsewhere })))).toEqual(refused('ERR_GUARD'))
  })
})

describe('an entry of an own actor', () => {
  it('whose latest change is known is an acknowledgement, however late (R-OUTBOX-4)', () => {
    const { first, second } = mine
    const locals = [first, second]
    // Also where the relay withholds the body: the tag alone says which change it is.
    const bare = { ...entryWith(first), body: undefined }
    expect(receive(bare, { locals })).toMatchObject({ outcome: 'own', row: { tip: tipOf(first), count: 1 } })
    expect(receive({ ...entryWith(theirs.first), body: undefined }, { locals })).toEqual(parked('ERR_BODY'))
    expect(receive(entryWith(first), { locals })).toMatchObject({ outcome: 'own', row: { tip: tipOf(first) } })
  })

  it('with changes that this replica did not make was written by a clone (R-CLONE-1)', () => {
    const foreign = write(ACTOR, 'by the clone')
    expect(receive(entryWith(foreign.first), { locals: [mine.first] })).toMatchObject({ outcome: 'cloned' })
    expect(receive(entryWith(foreign.first), { locals: [] })).toMatchObject({ outcome: 'cloned' })
    // A clone is no way around the guard.
    expect(receive(entryWith(theirs.first), { locals: [] })).toEqual(parked('ERR_GUARD'))
  })
})

describe('a payload (R-PAYLOAD-1)', () => {
  it('is version, encoding, latest hash and seq, count and chunks', () => {
    const { seq, hash, bytes } = mine.second
    expect(decodeCbor(payloadOf(mine.second), 10_000)).toEqual([0, 0, hash, seq, 1, bytes])
    expect(decodeCbor(payloadOf(mine.second, { encoding: 'bundle' }), 10_000)).toEqual([0, 1, hash, seq, 1, bytes])
  })

  it('holds at least one change, and no more than its actor has', async () => {
    const items = decodeCbor(payloadOf(mine.second), 10_000) as Cbor[]
    const decode = (changed: readonly Cbor[]): Promise<string> =>
      verdictOf(() => decodeChangesPayload(encodeCbor(changed)))
    expect(await decode(items)).toBe('accepted')
    expect(await decode(items.with(4, 0))).toBe('ERR_MALFORMED')
    expect(await decode(items.with(4, 3))).toBe('ERR_MALFORMED')
    expect(await decode(items.with(2, new Uint8Array(31)))).toBe('ERR_MALFORMED')
    expect(await decode(items.slice(0, 5))).toBe('ERR_MALFORMED')
  })
})
