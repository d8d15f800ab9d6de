import { assertBase, assertDuration, assertInteger } from './arguments.ts'
import { decodeInviteLink, encodeInviteLink, type Invite, inviteKeys, inviteNameKey } from './crdt/invite-link.ts'
import { approveBody, inviteBody } from './crdt/membership.ts'
import { openName, openRequestNames } from './crdt/names.ts'
import type { DeviceSecrets } from './crdt/secrets.ts'
import { SealogError } from './errors.ts'
import { memberIdOf, type SpaceId } from './ids.ts'
import type { ControlWriter } from './space-control.ts'
import { ownRecord } from './space-people.ts'
import type { AddDeviceOptions, InviteOptions } from './space-status.ts'
import { HISTORIES, type History, ROLES } from './verify/control.ts'
import type { ControlState, DeviceRecord, MemberRecord, OpenInvite } from './verify/control-state.ts'
import type { WaitOptions } from './waiting.ts'

const DAY: number = 24 * 60 * 60 * 1000

/** How people and devices come into a space: invites, and requests that an admin answers (DESIGN §7). */
export class Invites {
  readonly #space: SpaceId
  readonly #writer: ControlWriter
  readonly #spaceName: () => string

  constructor(space: SpaceId, writer: ControlWriter, spaceName: () => string) {
    this.#space = space
    this.#writer = writer
    this.#spaceName = spaceName
  }

  invite(options: InviteOptions): Promise<string> {
    const { role = 'writer', history = 'all', kind = 'instant', expiresIn = 7 * DAY, base } = options
    if (!ROLES.includes(role)) throw new TypeError(`role: expected one of ${ROLES.join(', ')}`)
    if (!HISTORIES.includes(history)) throw new TypeError(`history: expected one of ${HISTORIES.join(', ')}`)
    if (kind !== 'instant' && kind !== 'approved') throw new TypeError('kind: expected instant or approved')
    if (history !== 'all' && (role === 'admin' || role === 'owner')) {
      throw new TypeError(`history: an ${role} reads everything`)
    }
    assertDuration(expiresIn, 'expiresIn')
    assertBase(base)
    const member = memberIdOf(this.#writer.environment.random(16))
    return this.#writer.keyed(options, control => {
      assertMayGive(this.#own(control), history)
      return this.#invite({ kind, role, history, member, expiresIn }, base)
    })
  }

  inviteDevice(options: AddDeviceOptions): Promise<string> {
    const { expiresIn = DAY, base } = options
    assertDuration(expiresIn, 'expiresIn')
    assertBase(base)
    return this.#writer.keyed(options, control => {
      const { id: member, role, history } = this.#own(control)
      return this.#invite({ kind: 'device', role, history, member, expiresIn }, base)
    })
  }

  /** The same for keys that are known on the other side: those of a seed for all spaces. */
  inviteDeviceKeys(provisional: DeviceSecrets, expiresIn: number, options: WaitOptions): Promise<void> {
    assertDuration(expiresIn, 'expiresIn')
    return this.#writer.keyed(options, async () => {
      const expires = this.#writer.environment.now() + expiresIn
      await this.#writer.append((writing, control) => {
        const { id: member, role, history } = this.#own(control)
        const nameKey = new Uint8Array(32)
        return inviteBody(writing, { kind: 'device', provisional, nameKey, member, role, history, expires })
      })
    })
  }

  async #invite(
    wanted: Pick<Invite, 'kind' | 'role' | 'history' | 'member'> & { readonly expiresIn: number },
    base: string | undefined,
  ): Promise<string> {
    const writer = this.#writer
    const { environment, sync } = writer
    const { expiresIn, ...invited } = wanted
    const seed = environment.random(32)
    const expires = environment.now() + expiresIn
    const inviting = { ...invited, expires, provisional: inviteKeys(seed), nameKey: inviteNameKey(seed) }
    const index = await writer.append(writing => inviteBody(writing, inviting))
    // Who reads from its admission on reads from the next epoch on: whatever is written from here on.
    await writer.settleRotation()
    const { note } = sync
    const { control } = writer
    if (note === undefined || control === undefined) throw new SealogError('ERR_UNEXPECTED', 'no checkpoint')
    const { relay } = sync.view
    const names = { spaceName: this.#spaceName(), inviterName: openName(sync.keys, 'member', this.#own(control).name) }
    const at = { name: relay.name, key: relay.key, url: sync.secrets.url }
    return encodeInviteLink({ ...invited, relay: at, space: this.#space, seed, index, expires, note, ...names }, base)
  }

  revoke(invite: string | number, options: WaitOptions): Promise<void> {
    const found = this.#invitedAt(invite)
    return this.#writer.current(options, async () => {
      await this.#writer.append(({ time }) => ({ type: 'revoke', time, invite: found() }))
      await this.#writer.settleRotation()
    })
  }

  /** By its number, or by the link, which knows its place in the log. */
  #invitedAt(invite: string | number): () => number {
    if (typeof invite === 'number') return () => invite
    const { index } = decodeInviteLink(invite)
    return () => {
      for (const { number, since } of this.#writer.control?.devices.values() ?? []) {
        if (since.index === index) return number
      }
      throw new SealogError('ERR_INVITE', 'there is no such invite')
    }
  }

  approve(request: number, options: WaitOptions): Promise<void> {
    assertInteger(request, 'request')
    return this.#writer.keyed(options, async () => {
      await this.#writer.append((writing, control) => {
        const invite = requestAt(control, request)
        assertMayGive(this.#own(control), invite.history)
        const device = control.devices.get(request) as DeviceRecord
        return approveBody(writing, device, invite.history, openRequestNames(writing.keys, invite))
      })
      await this.#writer.settleRotation()
    })
  }

  decline(request: number, options: WaitOptions): Promise<void> {
    assertInteger(request, 'request')
    return this.#writer.current(options, async () => {
      await this.#writer.append(({ time }, control) => {
        return { type: 'revoke', time, invite: requestAt(control, request).number }
      })
    })
  }

  #own(control: ControlState): MemberRecord {
    return ownRecord(control, this.#writer.sync.member)
  }
}

function requestAt(control: ControlState, request: number): OpenInvite {
  const invite = control.invites.get(request)
  if (invite?.requested === undefined) throw new SealogError('ERR_INVITE', 'nobody asks to join under this number')
  return invite
}

/** Nobody gives away what he may not read. @throws SealogError ERR_UNAUTHORIZED */
function assertMayGive(own: MemberRecord, history: History): void {
  if (history !== 'all' || own.history === 'all') return
  throw new SealogError('ERR_UNAUTHORIZED', 'a member that may not read all history cannot give it away')
}
