import type { Space } from 'sealog'
import { say, type Tone } from './dom.ts'

type Line = readonly [text: string, tone: Tone]

export interface StatusParts {
  readonly connection: HTMLElement
  readonly own: HTMLElement
  readonly log: HTMLElement
  readonly members: HTMLElement
  readonly problems: HTMLElement
}

/** Says how things stand: nothing is called sent that is only on its way, and nothing safe that is only in memory. */
export function showStatus(space: Space, parts: StatusParts): void {
  say(parts.connection, ...connectionLine(space))
  say(parts.own, ...ownLine(space))
  say(parts.log, logLine(space), 'good')
  say(parts.members, space.members().map(memberName).join(', '), 'good')
  const problems = space.problems.map(({ code, message }) => `${code}: ${message}`)
  parts.problems.hidden = problems.length === 0
  parts.problems.replaceChildren(...problems.map(item))
}

function connectionLine({ status }: Space): Line {
  if (status.halted !== undefined) return ['Needs a newer version of this app', 'bad']
  switch (status.connection) {
    case 'online':
      return ['Connected to the relay', 'good']
    case 'connecting':
      return ['Connecting…', 'wait']
    case 'paused':
      return ['Switched offline', 'wait']
    case 'offline':
      return ['Relay out of reach; trying again', 'wait']
  }
}

function ownLine({ status: { local, storage } }: Space): Line {
  if (storage === 'full') return ['This browser has no space left: new changes are only in memory', 'bad']
  if (storage === 'failed') return ['This browser does not store: new changes are only in memory', 'bad']
  if (local.unsaved > 0) return [`${changes(local.unsaved)} being saved`, 'wait']
  if (local.sequenced > 0) return [`${changes(local.pending)} saved here, on the way to the relay`, 'wait']
  if (local.pending > 0) return [`${changes(local.pending)} saved here, not sent yet`, 'wait']
  return ['Every change is proven to be in the log', 'good']
}

function logLine({ status: { confirmed } }: Space): string {
  if (confirmed.at === undefined) return `${confirmed.size} entries verified`
  return `${confirmed.size} entries verified, signed by the relay at ${new Date(confirmed.at).toLocaleTimeString()}`
}

function memberName({ name, role, me }: ReturnType<Space['members']>[number]): string {
  return `${name === '' ? 'nameless' : name} (${me ? `me, ${role}` : role})`
}

function changes(count: number): string {
  return count === 1 ? '1 change' : `${count} changes`
}

function item(text: string): HTMLLIElement {
  const element = document.createElement('li')
  element.textContent = text
  return element
}
