import type { ActorId, MemberId } from '../ids.ts'
import type { ControlState } from '../verify/control-state.ts'
import { type DocumentRecord, findActor } from '../verify/state.ts'
import type { ChangeTip } from './chain-place.ts'
import type { AnyDoc } from './content.ts'
import { type TextPath, textAuthors } from './text-authors.ts'

/** A stretch of a text, and whose it is. */
export interface Attribution {
  /** Where the text stands: keys of maps and indices of lists, from the root on. */
  readonly path: TextPath
  /** From here on, in UTF-16 code units as in JavaScript strings. */
  readonly start: number
  readonly end: number
  /** Who wrote it, or brought it in; also one who is no member any more. Undefined: nothing proves whose it is. */
  readonly member: MemberId | undefined
  /** Number of the device; undefined where the member is, or where it is this device and speaks for nobody in the log. */
  readonly device: number | undefined
  /** Came with the import that the document began with: what is proven is who imported it, not who wrote it. */
  readonly imported: boolean
}

type Author = Pick<Attribution, 'member' | 'device' | 'imported'>

/** What is known of who wrote in a document. */
export interface KnownWriters {
  readonly control: ControlState | undefined
  /** The document in the verified state; undefined where the log has nothing of it yet. */
  readonly record: DocumentRecord | undefined
  /** The latest change of each actor that was taken from a proven entry of that actor. */
  readonly tips: ReadonlyMap<ActorId, ChangeTip>
  readonly own: {
    readonly actor: ActorId
    readonly member: MemberId
    readonly device: number | undefined
    /** The document holds own changes that no proven entry does. */
    readonly hasUnsent: boolean
    /** The document began with an own import that is not proven yet. */
    readonly hasImported: boolean
  }
}

const UNPROVEN: Author = { member: undefined, device: undefined, imported: false }

/**
 * Who wrote which stretch of the texts in a document.
 *
 * An actor id proves nothing: whoever writes a foreign document, or a change, can put any into it. An actor stands for
 * a member only where
 * - the guard took its changes from entries of that very actor (`tips`), which were signed by its device, or this
 *   replica made them itself; and all of an actor's changes are one chain, so none of them came from elsewhere;
 * - and the verified state says of which device that actor is, and of which member that device.
 *
 * All others are from the import that the document began with, if it did: nothing else can bring them.
 * @param path of one text; without, all texts
 * @throws SealogError ERR_CONTENT where the document's operations spell another text than it shows
 */
export function attribute(doc: AnyDoc, writers: KnownWriters, path?: TextPath): readonly Attribution[] {
  const known = new Map<string, Author>()
  const attributed: Attribution[] = []
  for (const text of textAuthors(doc, path)) {
    let before: (Attribution & { end: number }) | undefined
    for (const { start, end, actor } of text.runs) {
      const author = known.get(actor) ?? authorOf(actor as ActorId, writers)
      known.set(actor, author)
      if (before !== undefined && isSame(before, author)) {
        before.end = end
        continue
      }
      before = { path: text.path, start, end, ...author }
      attributed.push(before)
    }
  }
  return attributed
}

function authorOf(actor: ActorId, writers: KnownWriters): Author {
  const { control, record, tips, own } = writers
  if (actor === own.actor && own.hasUnsent) return { member: own.member, device: own.device, imported: false }
  if (tips.has(actor)) {
    const device = record && findActor(record, actor)?.device
    return device === undefined ? UNPROVEN : { ...deviceOf(device, control), imported: false }
  }
  if (own.hasImported) return { member: own.member, device: own.device, imported: true }
  if (record?.importer === undefined) return UNPROVEN
  return { ...deviceOf(record.importer, control), imported: true }
}

/** Devices and members stay in the state when they are removed. */
function deviceOf(device: number, control: ControlState | undefined): Pick<Author, 'member' | 'device'> {
  const member = control?.devices.get(device)?.member
  return member === undefined ? UNPROVEN : { member, device }
}

function isSame(a: Author, b: Author): boolean {
  return a.member === b.member && a.device === b.device && a.imported === b.imported
}
