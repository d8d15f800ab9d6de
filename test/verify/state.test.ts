import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, toHex, toUtf8 } from '../../src/bytes.ts'
import { type Cbor, decodeCbor, encodeCbor } from '../../src/codec.ts'
import { sha256 } from '../../src/crypto/hash.ts'
import { actorIdOf, CONTROL_DOCUMENT, type DocumentId, documentIdOf, idBytes } from '../../src/ids.ts'
import { decodeControlState, encodeControlState } from '../../src/verify/control-rows.ts'
import type { ControlState } from '../../src/verify/control-state.ts'
import {
  type ActorRecord,
  actorsOf,
  decodeActorRecord,
  decodeDocumentRecord,
  documentsOf,
  emptyDocument,
  encodeActorRecord,
  encodeDocumentRecord,
  findActor,
  findDocument,
  initialState,
  openActorsOf,
  type SpaceState,
  stateKey,
  stateRoot,
  withActor,
  withDocument,
} from '../../src/verify/state.ts'
import { bytesOf, DOCUMENT, LogBuilder, testDevice, verdictOf } from '../helpers/log-builder.ts'
import { naiveStateRoot } from './naive-state.ts'

const { log, writer } = LogBuilder.withWriter()
log.append(log.control(log.owner, log.inviteBody(testDevice('guest', 3), 'reader')))
for (let i = 0; i < 5; i++) log.append(log.changes(writer))
const SECOND = documentIdOf(bytesOf('second').slice(0, 16))
log.append(log.changes(log.owner))
log.append(log.changes(log.owner, { document: SECOND }))
log.append(log.retire(writer))
const STATE = log.state as SpaceState

const labelled = (label: string, ...parts: readonly Uint8Array[]): Uint8Array => concat(toUtf8(`${label}\0`), ...parts)

/** The state root as the specification defines it, without the tree that is used for it. */
function definedRoot(state: SpaceState): Uint8Array {
  const documents = new Map<string, Uint8Array>()
  for (const document of documentsOf(state)) {
    const actors = new Map<string, Uint8Array>()
    for (const actor of actorsOf(document)) {
      const record = encodeCbor([
        idBytes(actor.actor),
        actor.device,
        actor.seq,
        actor.hash,
        actor.epoch,
        actor.tag,
        actor.tagEpoch,
        actor.seenSize,
        actor.retired ? 1 : 0,
      ])
      const key = sha256(labelled('sealog/v1/state-key', idBytes(actor.actor)))
      actors.set(toHex(key), labelled('sealog/v1/actor-record', record))
    }
    const key = sha256(labelled('sealog/v1/state-key', idBytes(document.document)))
    const writers = new Map<string, Uint8Array>()
    for (const device of new Set([...actorsOf(document)].map(actor => actor.device))) {
      const open = [...actorsOf(document)].filter(actor => actor.device === device && !actor.retired).length
      const writer = labelled('sealog/v1/writer-record', encodeCbor([device, open]))
      writers.set(toHex(sha256(labelled('sealog/v1/writer-key', encodeCbor(device)))), writer)
    }
    const { birthEpoch, importTag, importer, contentEnd, snapshots } = document
    const record = encodeCbor([
      idBytes(document.document),
      birthEpoch,
      importTag === undefined ? [] : [importTag],
      importer === undefined ? [] : [importer],
      contentEnd,
      snapshots.map(({ member, index, hash, seenSize }) => [idBytes(member), index, hash, seenSize]),
    ])
    const root = labelled('sealog/v1/document-record', record, naiveStateRoot(actors), naiveStateRoot(writers))
    documents.set(toHex(key), root)
  }
  return sha256(labelled('sealog/v1/state', naiveStateRoot(documents), definedControl(state.control)))
}

/** The same of the control state: hash of its core, and of the hashes of its rows. */
function definedControl(control: ControlState): Uint8Array {
  const [core, ...lists] = decodeCbor(encodeControlState(control), 1 << 20) as [Uint8Array, ...Uint8Array[][]]
  const hashed = lists.map(rows => sha256(concat(...rows.map(row => sha256(row)))))
  expect(hashed).toHaveLength(3)
  return sha256(labelled('sealog/v1/control-state', sha256(core), ...hashed))
}

const anActor = (n: number): ActorRecord => ({
  actor: actorIdOf(bytesOf(`actor ${n}`).slice(0, 16)),
  device: 2,
  seq: n,
  hash: bytesOf(`hash ${n}`),
  epoch: 0,
  tag: bytesOf(`tag ${n}`),
  tagEpoch: 0,
  seenSize: n,
  retired: false,
})

describe('the state root (R-STATE-1)', () => {
  it('is that of the definition, at every size of a log', () => {
    const again = new LogBuilder()
    for (const entry of log.entries) {
      again.append(entry)
      expect(toHex(stateRoot(again.state as SpaceState))).toBe(toHex(definedRoot(again.state as SpaceState)))
    }
    expect(toHex(stateRoot(again.state as SpaceState))).toBe(toHex(stateRoot(STATE)))
  })

  it('does not depend on the order in which actors came', () => {
    const records = [1, 2, 3, 4, 5].map(anActor)
    const fold = (list: readonly ActorRecord[]): SpaceState =>
      list.reduce((state, record) => put(state, DOCUMENT, 0, record), initialState(STATE.control))
    expect(stateRoot(fold(records))).toEqual(stateRoot(fold(records.toReversed())))
    expect(stateRoot(fold(records))).not.toEqual(stateRoot(fold(records.slice(1))))
  })

  it('is another one when any field of any record is', () => {
    const record = anActor(1)
    const changes: Partial<ActorRecord>[] = [
      {},
      { actor: anActor(2).actor },
      { device: 3 },
      { seq: 2 },
      { hash: bytesOf('x') },
      { epoch: 1 },
      { tag: bytesOf('x') },
      { tagEpoch: 1 },
      { seenSize: 2 },
      { retired: true },
    ]
    const base = initialState(STATE.control)
    const roots = changes.map(change => stateRoot(put(base, DOCUMENT, 0, { ...record, ...change })))
    roots.push(stateRoot(base), stateRoot(put(base, SECOND, 0, record)))
    roots.push(stateRoot(put(base, DOCUMENT, 1, record)))
    const { control } = STATE
    const others: Partial<ControlState>[] = [
      { space: bytesOf('x') },
      { relay: { ...control.relay, name: 'x' } },
      { relay: { ...control.relay, key: bytesOf('x') } },
      { relay: { ...control.relay, url: 'ws://x' } },
      { policy: { ...control.policy, maxBodyLength: 1 } },
      { policy: { ...control.policy, attestations: 2 } },
      { spaceName: { epoch: 0, sealed: bytesOf('x') } },
      { spaceName: { ...control.spaceName, epoch: 1 } },
      { policy: { ...control.policy, rotateEntries: 1 } },
      { policy: { ...control.policy, rotateDays: 1 } },
      { rotation: 'tainted' },
      { devices: new Map() },
      { members: new Map() },
      { invites: new Map() },
      { epochs: [] },
      { count: 9 },
      { head: bytesOf('x') },
    ]
    roots.push(...others.map(change => stateRoot(initialState({ ...control, ...change }))))
    expect(new Set(roots.map(toHex)).size).toBe(changes.length + 3 + others.length)
  })

  it('lists the control chain like any other: its actors stand under the control document', () => {
    const record = findDocument(STATE, CONTROL_DOCUMENT)
    expect([...actorsOf(record as NonNullable<typeof record>)].map(actor => actor.device).sort()).toEqual([0, 1])
  })
})

describe('the rows of a state (R-STATE-2)', () => {
  it('give back the very same state', () => {
    let again = initialState(decodeControlState(encodeControlState(STATE.control)))
    for (const document of documentsOf(STATE)) {
      let read = decodeDocumentRecord(encodeDocumentRecord(document))
      for (const actor of actorsOf(document)) {
        const record = decodeActorRecord(encodeActorRecord(actor))
        expect(record).toEqual(actor)
        read = withActor(read, record)
      }
      again = withDocument(again, read)
    }
    expect(again.control).toEqual(STATE.control)
    expect(stateRoot(again)).toEqual(stateRoot(STATE))
  })

  it('list devices, members and invites in the order of admission', () => {
    const [core, devices, members] = decodeCbor(encodeControlState(STATE.control), 100_000) as [Uint8Array, ...Cbor[][]]
    const numberOf = (row: Cbor): Cbor | undefined => (decodeCbor(row as Uint8Array, 4096) as Cbor[])[0]
    expect(devices?.map(numberOf)).toEqual([0, 1, 2, 3])
    expect(members).toHaveLength(2)
    const invites = (decodeCbor(core, 100_000) as Cbor[])[4] as Cbor[][]
    expect(invites.map(row => row[0])).toEqual([3])
  })

  it('of any other form are refused', async () => {
    const control = decodeCbor(encodeControlState(STATE.control), 100_000) as Cbor[]
    const actor = decodeCbor(encodeActorRecord(anActor(1)), 1000) as Cbor[]
    const core = (decodeCbor(control[0] as Uint8Array, 100_000) as Cbor[]).with(2, [2, 1, 1, 0, 0])
    expect(await verdictOf(() => decodeControlState(encodeCbor(control.slice(1))))).toBe('ERR_MALFORMED')
    expect(await verdictOf(() => decodeControlState(encodeCbor(control.with(1, [[1]]))))).toBe('ERR_MALFORMED')
    expect(await verdictOf(() => decodeControlState(encodeCbor(control.with(0, encodeCbor(core)))))).toBe('ERR_UPGRADE')
    expect(await verdictOf(() => decodeActorRecord(encodeCbor(actor.with(8, 2))))).toBe('ERR_MALFORMED')
    expect(await verdictOf(() => decodeActorRecord(new Uint8Array(257)))).toBe('ERR_LIMIT')
    expect(await verdictOf(() => decodeDocumentRecord(encodeCbor([new Uint8Array(15), 0, [], [], 0, []])))).toBe(
      'ERR_MALFORMED',
    )
  })
})

function put(state: SpaceState, document: DocumentId, birthEpoch: number, actor: ActorRecord): SpaceState {
  return withDocument(state, withActor(findDocument(state, document) ?? emptyDocument(document, birthEpoch), actor))
}

describe('the number of open actors of a device (R-ACTOR-3)', () => {
  it('is what counting gives, whenever it is asked for and whatever comes of the state', () => {
    const step = fc.record({
      actor: fc.nat({ max: 5 }),
      device: fc.nat({ max: 1 }),
      retired: fc.boolean(),
      asks: fc.boolean(),
      goesBack: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), steps => {
        let state = initialState(STATE.control)
        let older = state
        for (const { actor, device, retired, asks, goesBack } of steps) {
          if (goesBack) [state, older] = [older, state]
          // An actor is of one device for good.
          const record = { ...anActor(actor + 10 * device), device, retired }
          state = put(state, DOCUMENT, 0, record)
          const document = findDocument(state, DOCUMENT) as NonNullable<ReturnType<typeof findDocument>>
          if (!asks) continue
          for (const each of [0, 1]) {
            const counted = [...actorsOf(document)].filter(found => found.device === each && !found.retired).length
            expect(openActorsOf(document, each)).toBe(counted)
          }
        }
      }),
      { numRuns: 300 },
    )
  })
})

describe('an update', () => {
  it('leaves the state before it as it was, and shares what it did not change', () => {
    const before = stateRoot(STATE)
    const next = put(STATE, DOCUMENT, 0, anActor(7))
    expect(stateRoot(STATE)).toEqual(before)
    expect(next.control).toBe(STATE.control)
    expect(findDocument(next, SECOND)).toBe(findDocument(STATE, SECOND))
    const record = findDocument(next, DOCUMENT) as NonNullable<ReturnType<typeof findDocument>>
    expect(findActor(record, anActor(7).actor)).toEqual(anActor(7))
    expect(stateKey(DOCUMENT)).toEqual(sha256(labelled('sealog/v1/state-key', idBytes(DOCUMENT))))
  })
})
