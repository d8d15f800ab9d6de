import type { MemberId } from '../ids.ts'
import type { History, InviteKind, Policy, Role } from '../verify/control.ts'
import type { Told } from './history-events.ts'

/** Turns a time (Unix ms) into a date. */
export type FormatDate = (time: number) => string

/** The last time that JavaScript has a date for (ECMA-262 §21.4.1.1). */
const LAST_TIME = 8.64e15
/** A name that needs no quotation marks to be told from the sentence around it. */
const PLAIN_NAME = /^[\p{L}\p{N}][\p{L}\p{M}\p{N}.'-]*( [\p{L}\p{N}][\p{L}\p{M}\p{N}.'-]*){0,2}$/u
const LONGEST_PLAIN = 40
/** Formatting characters but the two joiners, which several scripts and emoji need. */
const HIDDEN = /(?![\u200c\u200d])\p{Cf}/gu

/** As `Ada removed the device ‘old phone’ of Bob, 12 March 2026, entry 4711, keys rotated`. */
export function inWords(event: Told, formatDate: FormatDate): string {
  // An author's clock may claim any number.
  const date = event.at > LAST_TIME ? 'on no possible date' : formatDate(event.at)
  const parts = [sentence(event), date, `entry ${event.index}`]
  if (event.keys !== undefined) parts.push(event.keys === 'rotated' ? 'keys rotated' : 'keys not rotated yet')
  return parts.join(', ')
}

const formatter: Intl.DateTimeFormat = new Intl.DateTimeFormat('en-GB', { dateStyle: 'long', timeZone: 'UTC' })

/** `12 March 2026`, in UTC: in the language of the words around it, and the same for everybody who compares them. */
export function englishDate(time: number): string {
  return formatter.format(time)
}

/**
 * A name as it may stand in a sentence: in one line, without characters that reorder what is around it (UAX #9) or
 * that nobody sees, and without the quotation marks of the sentence, so that no name makes it say something else.
 */
export function plainName(name: string): string {
  return name
    .replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ')
    .replace(HIDDEN, '')
    .replace(/[‘’]/g, "'")
    .replace(/[“”]/g, '"')
    .trim()
}

/**
 * How a member is called in words.
 * @param name as `plainName` gives it; empty where it has none, or none that opens
 * @param isShared somebody else has or had the same name
 */
export function memberLabel(id: MemberId, name: string, isShared: boolean): string {
  const short = id.slice(0, 8)
  if (name === '') return `member ${short}`
  const isPlain = name.length <= LONGEST_PLAIN && PLAIN_NAME.test(name)
  return `${isPlain ? name : `“${name}”`}${isShared ? ` (${short})` : ''}`
}

function sentence(event: Told): string {
  const who = event.by.name
  switch (event.type) {
    case 'genesis':
      return `${who} created the space ${quoted(event.space)} on ${aDevice(event.device)}`
    case 'invite':
      return `${who} ${invitation(event.kind, event.role)}${reach(event.history)}`
    case 'revoke': {
      const own = event.inviter.id === event.by.member
      const what =
        event.asker === undefined ? 'revoked an invite' : `refused ${event.asker.name}, who had used an invite`
      return `${who} ${what} ${own ? 'made by the same member' : `made by ${event.inviter.name}`} (entry ${event.invited})`
    }
    case 'join':
      return `${who} ${admission(event.kind, event.role, aDevice(event.device))}${event.kind === 'device' ? '' : `, invited by ${event.inviter.name}`}`
    case 'approve':
      return `${who} let in ${event.member.name} as ${event.role} with ${aDevice(event.device)}`
    case 'add-device':
      return `${who} added ${aDevice(event.device)}`
    case 'remove-device': {
      const whose = event.member.id === event.by.member ? ' of the same member' : ` of ${event.member.name}`
      return `${who} removed ${aDevice(event.device)}${whose}${event.last ? ' and so the member' : ''}`
    }
    case 'remove-member':
      return `${who} removed ${event.member.name}`
    case 'leave':
      return `${who} left`
    case 'set-role': {
      const whose = event.member.id === event.by.member ? 'the own role' : `the role of ${event.member.name}`
      return `${who} changed ${whose} from ${event.was} to ${event.role}`
    }
    case 'rotate':
      return `${who} rotated the keys, epoch ${event.epoch} for ${count(event.devices, 'device')}`
    case 'repair':
      return `${who} repaired the keys of epoch ${event.epoch} for ${count(event.devices, 'device')}`
    case 'policy':
      return `${who} changed the policy: ${policyChanges(event).join('; ')}`
    case 'grant':
      return `${who} let ${aDevice(event.device)} of ${event.member.name} read from epoch ${event.epoch} on`
    case 'rename-space':
      return `${who} renamed the space ${quoted(event.was)} to ${quoted(event.name)}`
    case 'rename-member':
      return event.member.id === event.by.member
        ? `${who} took the name ${quoted(event.name)}`
        : `${who} renamed ${event.member.name} to ${quoted(event.name)}`
    case 'rename-device': {
      const whose = event.member.id === event.by.member ? '' : ` of ${event.member.name}`
      return `${who} renamed ${aDevice(event.device)}${whose} to ${quoted(event.name)}`
    }
  }
}

function quoted(name: string): string {
  return `‘${name}’`
}

function aDevice({ number, name }: { readonly number: number; readonly name: string }): string {
  return name === '' ? `device ${number}` : `the device ${quoted(name)}`
}

function invitation(kind: InviteKind, role: Role): string {
  switch (kind) {
    case 'instant':
      return `made an instant invite as ${role}`
    case 'approved':
      return `made an invite as ${role}, to be approved`
    case 'device':
      return 'made an invite for one more device'
  }
}

function admission(kind: InviteKind, role: Role, device: string): string {
  switch (kind) {
    case 'instant':
      return `joined as ${role} with ${device}`
    case 'approved':
      return `asked to join as ${role} with ${device}`
    case 'device':
      return `added ${device} by an invite`
  }
}

function reach(history: History): string {
  return history === 'all' ? '' : ', to read from joining on'
}

function policyChanges({ before, after, url }: { before: Policy; after: Policy; url: string | undefined }): string[] {
  const changes = POLICY_WORDS.flatMap(([key, words]) =>
    before[key] === after[key] ? [] : [`${words} from ${before[key]} to ${after[key]}`],
  )
  if (url !== undefined) changes.push(`address of the relay to ${quoted(url)}`)
  return changes.length === 0 ? ['nothing'] : changes
}

const POLICY_WORDS: readonly (readonly [keyof Policy, string])[] = [
  ['contentRules', 'content rules'],
  ['maxBodyLength', 'largest body in bytes'],
  ['attestations', 'members who must vouch'],
  ['rotateEntries', 'entries of an epoch'],
  ['rotateDays', 'days of an epoch'],
]

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : 's'}`
}
