import * as Automerge from '@automerge/automerge/slim'
import { concat, fromHex } from '../../src/bytes.ts'
import type { ChangeTip } from '../../src/crdt/chain-place.ts'
import { type AnyDoc, emptyDoc } from '../../src/crdt/content.ts'
import { ByteReader } from '../../src/crdt/guard/byte-reader.ts'
import { readChunk, writeChunk } from '../../src/crdt/guard/chunk.ts'
import { pushUint } from '../../src/crdt/guard/column-writer.ts'
import type { ActorToCover, ProvenActor } from '../../src/crdt/snapshot.ts'
import { changeTag } from '../../src/crypto/keyring.ts'
import { SealogError } from '../../src/errors.ts'
import type { ActorId } from '../../src/ids.ts'
import { bytesOf } from '../helpers/log-builder.ts'

export const ALICE: ActorId = 'a1'.repeat(16) as ActorId
export const BOB: ActorId = 'b2'.repeat(16) as ActorId
export const CAROL: ActorId = 'c3'.repeat(16) as ActorId
export const MALLORY: ActorId = 'e5'.repeat(16) as ActorId

/** The tag key of the document. */
const TAG_KEY: Uint8Array = bytesOf('tag key')

export function tagOf(committed: Uint8Array): Uint8Array {
  return changeTag(TAG_KEY, committed)
}

/** One more change, by this actor. */
export function edit(doc: AnyDoc, actor: ActorId, fn: (draft: Record<string, unknown>) => void): AnyDoc {
  return Automerge.change(Automerge.clone(doc, { actor }), { time: 0 }, fn)
}

export function set(doc: AnyDoc, actor: ActorId, key: string, value: unknown): AnyDoc {
  return edit(doc, actor, draft => {
    draft[key] = value
  })
}

export function headOf(doc: AnyDoc): Uint8Array {
  return fromHex(Automerge.getHeads(doc)[0] as string)
}

/** Two authors who edited at the same time: Alice 3 changes, Bob 2. */
export function writtenByTwo(): AnyDoc {
  const first = edit(emptyDoc(ALICE), ALICE, draft => {
    draft.title = 'A day in the field'
    draft.list = ['x', { deep: 1 }, 'y']
    draft.count = new Automerge.Counter(3)
  })
  const hers = edit(first, ALICE, draft => {
    Automerge.splice(draft as never, ['title'], 2, 3, 'night')
  })
  const his = edit(set(first, BOB, 'bob', 'here'), BOB, draft => {
    ;(draft.list as unknown[]).splice(0, 1)
    ;(draft.count as Automerge.Counter).increment(2)
    Automerge.splice(draft as never, ['title'], 0, 0, 'B: ')
  })
  return set(Automerge.merge(hers, his), ALICE, 'merged', true)
}

/** The latest change of an actor, found by looking at all of them. */
export function tipIn(doc: AnyDoc, actor: ActorId): ChangeTip | undefined {
  const own = Automerge.getBackend(doc)
    .getChangesMeta([])
    .filter(meta => meta.actor === actor)
  const last = own.sort((a, b) => a.seq - b.seq).at(-1)
  return last === undefined ? undefined : { seq: last.seq, hash: fromHex(last.hash) }
}

/** An actor's last entry, as a snapshot of `doc` covers it. */
export function coverage(doc: AnyDoc, actor: ActorId): ActorToCover {
  return { actor, seq: 4, hash: bytesOf(`entry of ${actor}`), tip: tipIn(doc, actor) }
}

/** The same as the log proves it; `committed` is what its tag commits to. */
export function provenBy({ actor, seq, hash, tip }: ActorToCover, committed?: Uint8Array): ProvenActor {
  return { actor, seq, hash, tag: tagOf(committed ?? tip?.hash ?? new Uint8Array(32)) }
}

/** `code reason` of what was refused, 'accepted' otherwise; anything but a `SealogError` is thrown on. */
export function faultOf(act: () => unknown): string {
  try {
    act()
  } catch (error) {
    if (!(error instanceof SealogError)) throw error
    return error.details.reason === undefined ? error.code : `${error.code} ${error.details.reason}`
  }
  return 'accepted'
}

/** A chunk with its body changed, and its length and checksum made good. */
export function forged(saved: Uint8Array, change: (body: Uint8Array) => Uint8Array): Uint8Array {
  const { type, body } = readChunk(new ByteReader(saved))
  return writeChunk(type, change(body.slice()))
}

export function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const out = bytes.slice()
  out[bit >> 3] = (out[bit >> 3] as number) ^ (1 << (bit & 7))
  return out
}

/** A saved document with one column of its operations replaced, and its length and checksum made good. */
export function withOpColumn(
  saved: Uint8Array,
  specification: number,
  column: Uint8Array,
  deflated: boolean,
): Uint8Array {
  return forged(saved, body => {
    const reader = new ByteReader(body)
    for (let actors = reader.uint(); actors > 0; actors--) reader.take(reader.uint())
    reader.take(32 * reader.uint())
    const table = (): [number, number][] => Array.from({ length: reader.uint() }, () => [reader.uint(), reader.uint()])
    const changeTable = table()
    const opsAt = reader.position
    const opTable = table()
    const dataAt = reader.position
    reader.take(changeTable.reduce((sum, [, length]) => sum + length, 0))
    const changesEnd = reader.position
    const columns = opTable.map(([type, length]) => [type, reader.take(length)] as const)
    const out: number[] = []
    pushUint(out, columns.length)
    const written = columns.map(([type, bytes]) => {
      const isIt = (type & ~8) === specification
      return isIt ? ([specification | (deflated ? 8 : 0), column] as const) : ([type, bytes] as const)
    })
    for (const [type, bytes] of written) {
      pushUint(out, type)
      pushUint(out, bytes.length)
    }
    const data = written.map(([, bytes]) => bytes)
    const head = [body.subarray(0, opsAt), Uint8Array.from(out), body.subarray(dataAt, changesEnd)]
    return concat(...head, ...data, body.subarray(reader.position))
  })
}
