import type { MemberId } from '../ids.ts'
import type { ControlType, InviteBody, JoinBody, Policy, RenameBody, Role } from '../verify/control.ts'
import type { ControlState, SealedName } from '../verify/control-state.ts'
import type { HistoryDetail, HistoryEvent, NamedDevice, NamedMember, Told } from './history-events.ts'
import type { HistoryRow } from './history-rows.ts'
import { englishDate, type FormatDate, inWords, memberLabel, plainName } from './history-words.ts'

/** Names in control entries are sealed; who holds the keys opens them. What does not open has the name ''. */
export interface NameOpener {
  readonly open: (what: RenameBody['what'], name: SealedName) => string
  /** Names of somebody who waits for approval: sealed under a key that the invite carries. */
  readonly openRequest: (
    nameKey: SealedName,
    requested: Pick<JoinBody, 'memberName' | 'deviceName'>,
  ) => { readonly member: string; readonly device: string }
}

/**
 * What happened in a space, as its control entries say: all of them, in order. Names are those that members and devices
 * had at that moment, so that renaming somebody later does not rewrite what was.
 * @param rows all control entries that `control` has folded
 */
export function tellHistory(
  rows: readonly HistoryRow[],
  control: ControlState,
  names: NameOpener,
  formatDate: FormatDate = englishDate,
): readonly HistoryEvent[] {
  const teller = new Teller(control, names)
  return rows.map(row => {
    const event = teller.tell(row)
    return { ...event, text: inWords(event, formatDate) }
  })
}

/** What an invite said, or a request on it. */
interface Invited extends Pick<InviteBody, 'kind' | 'member' | 'role' | 'history'> {
  readonly index: number
  readonly inviter: MemberId
  readonly nameKey: SealedName
  readonly isRequest: boolean
}

/** Goes through the entries, and knows what was so far. */
class Teller {
  readonly #control: ControlState
  readonly #opener: NameOpener
  readonly #memberNames = new Map<MemberId, string>()
  readonly #deviceNames = new Map<number, string>()
  /** Who ever had a name. */
  readonly #bearers = new Map<string, Set<MemberId>>()
  readonly #roles = new Map<MemberId, Role>()
  readonly #invites = new Map<number, Invited>()
  #spaceName = ''
  #policy: Policy
  #url: string

  constructor(control: ControlState, opener: NameOpener) {
    this.#control = control
    this.#opener = opener
    this.#policy = control.policy
    this.#url = control.relay.url
  }

  tell(row: HistoryRow): Told {
    // Who joins speaks by the keys of the invite, and for itself.
    const device = row.body.type === 'join' ? row.number : row.device
    const renames = row.body.type === 'rename'
    const before = renames ? this.#author(device) : undefined
    const detail = this.#detail(row)
    const { number, index, body } = row
    const by = before ?? this.#author(device)
    return { ...detail, number, index, at: body.time, by, keys: this.#keys(row, detail) }
  }

  #detail(row: HistoryRow): HistoryDetail {
    const { body, number, index, epoch } = row
    const open = (what: RenameBody['what'], sealed: Uint8Array): string =>
      plainName(this.#opener.open(what, { epoch, sealed }))
    switch (body.type) {
      case 'genesis':
        this.#spaceName = open('space', body.spaceName)
        this.#policy = body.policy
        this.#url = body.relay.url
        this.#roles.set(body.member, 'owner')
        this.#call(body.member, open('member', body.memberName))
        this.#deviceNames.set(0, open('device', body.deviceName))
        return { type: 'genesis', space: this.#spaceName, device: this.#device(0) }
      case 'invite': {
        const { type, kind, role, history, expires, member } = body
        const inviter = this.#memberOf(row.device)
        const nameKey = { epoch, sealed: body.nameKey }
        this.#invites.set(number, { kind, member, role, history, index, inviter, nameKey, isRequest: false })
        return { type, kind, role, history, expires }
      }
      case 'revoke': {
        const { index: invited, member, isRequest, inviter } = this.#invite(body.invite)
        const asker = isRequest ? this.#member(member) : undefined
        return { type: body.type, invited, inviter: this.#member(inviter), asker }
      }
      case 'join': {
        const invite = this.#invite(row.device)
        const { kind, role, history, member, inviter, nameKey } = invite
        const isPending = kind === 'approved'
        const names = isPending
          ? this.#opener.openRequest(nameKey, body)
          : { member: open('member', body.memberName), device: open('device', body.deviceName) }
        if (isPending) this.#invites.set(number, { ...invite, index, isRequest: true })
        if (kind === 'instant') this.#roles.set(member, role)
        if (kind !== 'device') this.#call(member, plainName(names.member))
        this.#deviceNames.set(number, plainName(names.device))
        return { type: 'join', kind, role, history, inviter: this.#member(inviter), device: this.#device(number) }
      }
      case 'approve': {
        const { member, role } = this.#invite(body.request)
        this.#roles.set(member, role)
        this.#call(member, open('member', body.memberName))
        this.#deviceNames.set(body.request, open('device', body.deviceName))
        return { type: 'approve', role, member: this.#member(member), device: this.#device(body.request) }
      }
      case 'add-device':
        this.#deviceNames.set(number, open('device', body.deviceName))
        return { type: 'add-device', device: this.#device(number) }
      case 'remove-device': {
        const member = this.#memberOf(body.device)
        const last = this.#control.members.get(member)?.removed?.number === number
        return { type: 'remove-device', member: this.#member(member), device: this.#device(body.device), last }
      }
      case 'remove-member':
        return { type: 'remove-member', member: this.#member(body.member) }
      case 'leave':
        return { type: 'leave' }
      case 'set-role': {
        const { type, member, role } = body
        const was = this.#roles.get(member) ?? role
        this.#roles.set(member, role)
        return { type, member: this.#member(member), was, role }
      }
      case 'rotate': {
        const started = this.#control.epochs.findIndex(record => record.index === index)
        return { type: 'rotate', epoch: started, devices: body.delivery.wrapsCount }
      }
      case 'repair':
        return { type: 'repair', epoch: body.epoch, devices: body.delivery.wrapsCount }
      case 'policy': {
        const before = this.#policy
        const url = body.url === this.#url ? undefined : plainName(body.url)
        this.#policy = body.policy
        this.#url = body.url
        return { type: 'policy', before, after: body.policy, url }
      }
      case 'grant': {
        const member = this.#member(this.#memberOf(body.device))
        return { type: 'grant', member, device: this.#device(body.device), epoch: body.from }
      }
      case 'rename':
        return this.#rename(body, open(body.what, body.name))
    }
  }

  #rename({ what, member, device }: RenameBody, name: string): HistoryDetail {
    switch (what) {
      case 'space': {
        const was = this.#spaceName
        this.#spaceName = name
        return { type: 'rename-space', was, name }
      }
      case 'member': {
        const before = this.#member(member)
        this.#call(member, name)
        return { type: 'rename-member', member: before, name }
      }
      case 'device': {
        const before = this.#device(device)
        this.#deviceNames.set(device, name)
        return { type: 'rename-device', member: this.#member(this.#memberOf(device)), device: before, name }
      }
    }
  }

  /** Who goes takes keys along, and a link may have been seen by others than who used it. */
  #keys({ index, body }: HistoryRow, detail: HistoryDetail): Told['keys'] {
    const isDue =
      CALLS_FOR_KEYS.has(body.type) ||
      (detail.type === 'join' && detail.kind !== 'approved') ||
      (body.type === 'revoke' && this.#invites.get(body.invite)?.kind !== 'approved')
    if (!isDue) return undefined
    return this.#control.epochs.some(epoch => epoch.index > index) ? 'rotated' : 'waiting'
  }

  #author(device: number): Told['by'] {
    const member = this.#memberOf(device)
    const deviceName = this.#deviceNames.get(device) ?? ''
    return { member, name: this.#member(member).name, device, deviceName }
  }

  #call(member: MemberId, name: string): void {
    this.#memberNames.set(member, name)
    const key = alike(name)
    this.#bearers.set(key, (this.#bearers.get(key) ?? new Set()).add(member))
  }

  #member(id: MemberId): NamedMember {
    const name = this.#memberNames.get(id) ?? ''
    return { id, name: memberLabel(id, name, (this.#bearers.get(alike(name))?.size ?? 0) > 1) }
  }

  #device(number: number): NamedDevice {
    return { number, name: this.#deviceNames.get(number) ?? '' }
  }

  /** Every device that the log ever admitted is in the state. */
  #memberOf(device: number): MemberId {
    const record = this.#control.devices.get(device)
    if (record === undefined) throw new TypeError('rows: not those of this state')
    return record.member
  }

  #invite(number: number): Invited {
    const invite = this.#invites.get(number)
    if (invite === undefined) throw new TypeError('rows: not those of this state')
    return invite
  }
}

const CALLS_FOR_KEYS: ReadonlySet<ControlType> = new Set<ControlType>(['remove-device', 'remove-member', 'leave'])

/** Names that people take for the same: compatibility forms, case, spaces and what is invisible make no difference. */
function alike(name: string): string {
  return name
    .normalize('NFKC')
    .replace(/\p{Cf}/gu, '')
    .toLowerCase()
    .replace(/\s+/g, ' ')
    .trim()
}
