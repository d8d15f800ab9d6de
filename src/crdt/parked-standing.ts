import type { ActorId } from '../ids.ts'
import { entryBefore } from './chain-place.ts'
import type { DocumentMeta, Stopped } from './document-meta.ts'
import type { ParkedEntry } from './parked-rows.ts'

/** As long as it was not tried again, an entry waits for its body, or for its turn. */
export function standAt(entry: ParkedEntry | undefined): Stopped | undefined {
  if (entry === undefined) return undefined
  const code = entry.content === 'missing' ? 'ERR_BODY' : 'ERR_DEPENDENCY'
  return { reason: 'parked', index: entry.index, code, covered: entryBefore(entry.chain), needs: undefined }
}

/** The bookkeeping after an actor went on by some stored rows. @param stop where it stands then */
export function movedOn(meta: DocumentMeta, actor: ActorId, stop: Stopped | undefined, files: number): DocumentMeta {
  const stopped = new Map(meta.stopped)
  if (stop === undefined) stopped.delete(actor)
  else stopped.set(actor, stop)
  return { ...meta, stopped, nextFile: meta.nextFile + files, judged: meta.judged + files }
}

/** Is this what was told of the actor already? */
export function isSameStop(a: Stopped, b: Stopped | undefined): boolean {
  return a.index === b?.index && a.code === b.code && a.reason === b.reason
}
