import {
  type ControlBody,
  type ControlState,
  currentMember,
  type DeviceRecord,
  decodeControlBody,
  decodeHeader,
  equalBytes,
  type Header,
  type MemberId,
  type Role,
  roleNumber,
  rotationBase,
} from 'sealog/protocol'
import { forgeLog } from './forged-log.ts'
import { checkpointOf, convictingLie, type Lie, signedBatch, signedLie, type Teller } from './lie.ts'
import type { StoredEntry } from './log-store.ts'

/**
 * A relay in league with a member: what the rules refuse was pushed to it, truly signed, and it puts it into the log
 * that it signs for the listener. The relay of a test refuses such an entry by itself; the lie is told from then on.
 */
export const ADMISSION_LIES: readonly Lie[] = [
  admissionLie(
    'admits-promotion-of-oneself',
    'a member that gives itself a higher role',
    ({ body, author, control }) =>
      body?.type === 'set-role' && body.member === author.member && isAbove(body.role, roleOf(control, author.member)),
  ),
  admissionLie(
    'admits-promotion-above-oneself',
    'a member that gives another one a role as high as its own, or higher',
    ({ body, author, control }) =>
      body?.type === 'set-role' && body.member !== author.member && !isAbove(roleOf(control, author.member), body.role),
  ),
  admissionLie(
    'admits-removal-of-an-equal',
    'a member that removes one of its own role',
    ({ body, author, control }) => {
      const target = targetOf(body, control)
      return (
        target !== undefined && target !== author.member && roleOf(control, target) === roleOf(control, author.member)
      )
    },
  ),
  admissionLie(
    'admits-second-use-of-invite',
    'somebody who joins by an invite that another one has used',
    ({ body, author }) => body?.type === 'join' && author.removed !== undefined,
  ),
  admissionLie(
    'admits-guest',
    'a provisional device that does something else than join',
    ({ body, author }) => body?.type !== 'join' && author.removed === undefined && author.standing !== 'member',
  ),
  admissionLie(
    'admits-write-under-taint',
    'changes in an epoch whose secret somebody has who was removed',
    ({ body, author, control }) => body === undefined && author.removed === undefined && control.rotation === 'tainted',
  ),
  admissionLie(
    'admits-write-after-removal',
    'changes of a device that was removed',
    ({ body, author }) => body === undefined && author.removed !== undefined,
  ),
  admissionLie(
    'admits-backdated-write',
    'changes in an epoch that is over',
    ({ body, header, author, control }) =>
      body === undefined && author.removed === undefined && header.epoch < control.epochs.length - 1,
  ),
  admissionLie(
    'admits-stale-rotation',
    'an epoch start that did not see the latest of the members',
    ({ body, control }) => body?.type === 'rotate' && !equalBytes(body.base, rotationBase(control)),
  ),
  admissionLie(
    'admits-expired-join',
    'somebody who joins by an invite that expired before the latest note',
    ({ body, header, control, time }) => {
      const invite = control.invites.get(header.device)
      return body?.type === 'join' && invite !== undefined && time > invite.expires
    },
    // The log alone does not show when it was let in: it is a note from between that does.
    signedLie,
  ),
]

interface Refused {
  readonly header: Header
  /** Of a control entry. */
  readonly body: ControlBody | undefined
  readonly author: DeviceRecord
  /** Before it. */
  readonly control: ControlState
  /** Of the note that it comes under. */
  readonly time: number
}

/** @param whom who is let in, or what: the rest of a sentence */
function admissionLie(
  name: string,
  whom: string,
  holds: (refused: Refused) => boolean,
  kind: typeof signedLie = convictingLie,
): Lie {
  return kind({
    name,
    says: `the relay lets in ${whom}`,
    expected: ['ERR_INVALID_ENTRY'],
    batch: (batch, teller) => {
      if (teller.refused.length === 0) return undefined
      const log = teller.log.slice(0, batch.from + batch.entries.length)
      const control = forgeLog(log).state(log.length)?.control
      const { time } = checkpointOf(batch)
      const entry = control && teller.refused.find(each => fits(each, log) && holdsOf(each, control, time, holds))
      return entry && signedBatch(teller, batch, [...log, entry])
    },
  })
}

/** Whoever wrote it has not seen more than there is, nor another log. */
function fits(entry: StoredEntry, log: Teller['log']): boolean {
  return (
    entry.seenSize <= log.length && equalBytes(forgeLog(log).root(entry.seenSize), decodeHeader(entry.header).seenRoot)
  )
}

function holdsOf(
  entry: StoredEntry,
  control: ControlState,
  time: number,
  holds: (refused: Refused) => boolean,
): boolean {
  const header = decodeHeader(entry.header)
  const author = control.devices.get(header.device)
  const body = entry.isControl ? bodyOf(entry) : undefined
  if (author === undefined || (entry.isControl && body === undefined)) return false
  return holds({ header, body, author, control, time })
}

function bodyOf({ body }: StoredEntry): ControlBody | undefined {
  try {
    return body && decodeControlBody(body)
  } catch {
    return undefined
  }
}

function targetOf(body: ControlBody | undefined, control: ControlState): MemberId | undefined {
  if (body?.type === 'remove-member') return body.member
  return body?.type === 'remove-device' ? control.devices.get(body.device)?.member : undefined
}

function roleOf(control: ControlState, member: MemberId): Role | undefined {
  return currentMember(control, member)?.role
}

function isAbove(a: Role | undefined, b: Role | undefined): boolean {
  return a !== undefined && b !== undefined && roleNumber(a) > roleNumber(b)
}
