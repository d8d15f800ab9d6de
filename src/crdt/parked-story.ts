import { equalBytes } from '../bytes.ts'
import { SealogError } from '../errors.ts'
import { decodeHeader } from '../verify/entry.ts'
import type { AnyDoc } from './content.ts'
import { decodeFileRow } from './file-row.ts'
import type { ParkedEntry } from './parked-rows.ts'
import type { KeysOf } from './receive.ts'
import type { CoveredActor } from './snapshot-payload.ts'
import { taggedChange, type WalkPlace, type WalkTarget, walkTo } from './tag-walk.ts'

export interface StorySources {
  readonly keysOf: KeysOf
  /** What is stored of the content of a parked entry. */
  readonly body: (index: number) => Promise<Uint8Array | undefined>
}

/**
 * Every parked entry that a snapshot covers commits to a change that the snapshot holds, the later one to the later
 * change, see chain-check.ts: otherwise who had the body of one of them holds something else than the snapshot brings.
 * @param parked the actor's, up to the covered one, ascending; only of these entries anything is taken
 * @param floor seq of the actor's latest change that is here
 * @throws SealogError ERR_CONTENT where that is not so, ERR_KEY where it cannot be told
 */
export async function assertOneStory(
  doc: AnyDoc,
  { actor, seq, latestSeq, latestHash }: CoveredActor,
  parked: readonly ParkedEntry[],
  floor: number,
  { keysOf, body }: StorySources,
): Promise<void> {
  let place: WalkPlace = { change: { seq: latestSeq, hash: latestHash }, isPassed: false }
  for (const entry of parked.toReversed()) {
    const target = await targetOf(entry, floor, { keysOf, body })
    if (target === undefined) continue
    // The last covered one was held against its tag with the snapshot.
    if (entry.chain.seq === seq) {
      place = { ...place, isPassed: true }
      continue
    }
    const step = walkTo(doc, actor, place, target, { left: Number.POSITIVE_INFINITY })
    if (step.outcome !== 'found') throw new SealogError('ERR_CONTENT', 'a snapshot that contradicts an earlier entry')
    place = step.place
  }
}

/** The change that a parked entry ends with; undefined where it is none of changes. */
async function targetOf(
  { index, header }: ParkedEntry,
  floor: number,
  { keysOf, body }: StorySources,
): Promise<WalkTarget | undefined> {
  if (header === undefined) {
    // It was opened before, and is what its tag commits to.
    const stored = await body(index)
    const hash = stored && decodeFileRow(stored).tip?.hash
    return hash && { isIt: other => equalBytes(other, hash), floor }
  }
  const { kind, document, epoch, tag } = decodeHeader(header)
  return kind === 'changes' ? taggedChange(tag, keysOf(document, epoch).tag, floor) : undefined
}
