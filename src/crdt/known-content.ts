import * as Automerge from '@automerge/automerge/slim'
import { concat, equalBytes, fromHex, toHex } from '../bytes.ts'
import { changeTag } from '../crypto/keyring.ts'
import type { VerifiedEntry } from '../verify/log.ts'
import type { ChangeTip } from './chain-place.ts'
import type { AnyDoc } from './content.ts'
import type { FileRow } from './file-row.ts'
import { placeOf } from './parked-rows.ts'
import type { KeysOf } from './receive.ts'

/**
 * The content of an entry whose body did not come, out of what is here: a replica that had it before must not lose it
 * because the relay has lost it, or withholds it by now. The tag commits to one latest change, and that to all before.
 * @param doc what is here of the document
 * @param before the author's latest change in the entries before
 * @returns undefined where it is not here
 */
export function knownContent(
  doc: AnyDoc,
  { header, actor, index }: VerifiedEntry,
  before: ChangeTip | undefined,
  keysOf: KeysOf,
): FileRow | undefined {
  if (header.kind !== 'changes') return undefined
  const { tag } = keysOf(header.document, header.epoch)
  const backend = Automerge.getBackend(doc)
  const changes: Uint8Array[] = []
  const own = backend
    .getChangesMeta([])
    .filter(meta => meta.actor === actor && meta.seq > (before?.seq ?? 0))
    .sort((a, b) => a.seq - b.seq)
  // Its author may have told another story there, which does not go on from what this entry goes on from.
  if (before !== undefined && own[0]?.deps.includes(toHex(before.hash)) !== true) return undefined
  for (const { hash, seq } of own) {
    changes.push(backend.getChangeByHash(hash) as Uint8Array)
    const tip: ChangeTip = { seq, hash: fromHex(hash) }
    if (!equalBytes(changeTag(tag, tip.hash), header.tag)) continue
    const bytes = concat(...changes)
    return { kind: 'raw', count: changes.length, index, actor, chain: placeOf(header), tip, bytes }
  }
  return undefined
}
