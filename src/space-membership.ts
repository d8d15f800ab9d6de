import { assertInteger, assertName } from './arguments.ts'
import { addDeviceBody, grantBody, grantStretches, nameBody } from './crdt/membership.ts'
import { SealogError } from './errors.ts'
import type { MemberId } from './ids.ts'
import type { ControlWriter } from './space-control.ts'
import { devicesOf, ownRecord } from './space-people.ts'
import { type DeviceKeys, ROLES, type Role } from './verify/control.ts'
import { type ControlState, currentMember, type MemberRecord } from './verify/control-state.ts'
import type { WaitOptions } from './waiting.ts'

/** What members do about each other, and to their devices, once they are in a space (DESIGN §4, §7). */
export class Membership {
  readonly #writer: ControlWriter

  constructor(writer: ControlWriter) {
    this.#writer = writer
  }

  // -- Devices ----------------------------------------------------------------------------------------------------

  /** One more device of the own member, whose keys are known. @returns its number */
  async addDevice(keys: DeviceKeys, name: string, options: WaitOptions): Promise<number> {
    assertName(name, 'name')
    const writer = this.#writer
    return writer.keyed(options, async () => {
      const index = await writer.append((writing, control) => {
        return addDeviceBody(writing, keys, this.#own(control).history, name)
      })
      for (const { number, since } of writer.control?.devices.values() ?? []) if (since.index === index) return number
      throw new SealogError('ERR_UNEXPECTED', 'the device is not there')
    })
  }

  removeDevice(device: number, options: WaitOptions): Promise<void> {
    assertInteger(device, 'device')
    return this.#writer.current(options, async () => {
      await this.#writer.append(({ time }) => ({ type: 'remove-device', time, device }))
      await this.#writer.settleRotation()
    })
  }

  renameDevice(device: number, name: string, options: WaitOptions): Promise<void> {
    assertInteger(device, 'device')
    assertName(name, 'name')
    return this.#writer.keyed(options, async control => {
      const { id: member } = this.#own(control)
      await this.#writer.append(writing => {
        const sealed = nameBody(writing, 'device', name)
        return { type: 'rename', time: writing.time, what: 'device', member, device, name: sealed }
      })
    })
  }

  // -- Members ----------------------------------------------------------------------------------------------------

  removeMember(member: string, options: WaitOptions): Promise<void> {
    const id = parseMember(member)
    return this.#writer.current(options, async () => {
      await this.#writer.append(({ time }) => ({ type: 'remove-member', time, member: id }))
      await this.#writer.settleRotation()
    })
  }

  setRole(member: string, role: Role, options: WaitOptions): Promise<void> {
    const id = parseMember(member)
    if (!ROLES.includes(role)) throw new TypeError(`role: expected one of ${ROLES.join(', ')}`)
    return this.#writer.current(options, async () => {
      await this.#writer.append(({ time }) => ({ type: 'set-role', time, member: id, role }))
      await this.#writer.settleRotation()
    })
  }

  leave(options: WaitOptions): Promise<void> {
    return this.#writer.current(options, async () => {
      await this.#writer.append(({ time }) => ({ type: 'leave', time }))
    })
  }

  rename(what: 'space' | 'member', name: string, options: WaitOptions): Promise<void> {
    assertName(name, 'name')
    return this.#writer.keyed(options, async control => {
      const { id: member } = this.#own(control)
      await this.#writer.append(writing => {
        return { type: 'rename', time: writing.time, what, member, device: 0, name: nameBody(writing, what, name) }
      })
    })
  }

  /**
   * Every device of the member is given all there is from this epoch on. What it was given before is not taken for
   * granted: an earlier grant may have held nothing, which only the device can tell.
   */
  grantHistory(member: string, from: number, options: WaitOptions): Promise<void> {
    const id = parseMember(member)
    assertInteger(from, 'from')
    const writer = this.#writer
    return writer.current(options, async control => {
      const record = currentMember(control, id)
      if (record === undefined) throw new SealogError('ERR_UNAUTHORIZED', 'there is no such member')
      if (this.#own(control).history !== 'all' && !writer.sync.keys.canRead(from)) {
        throw new SealogError('ERR_UNAUTHORIZED', 'this member may not read as far back itself')
      }
      // Who may read everything finds the way by itself.
      if (record.history === 'all') return
      for (const device of devicesOf(control, id)) {
        for (const stretch of grantStretches(control, writer.sync.keys, device, from)) {
          await writer.append(writing => grantBody(writing, device, stretch.from, stretch.end))
        }
      }
    })
  }

  #own(control: ControlState): MemberRecord {
    return ownRecord(control, this.#writer.sync.member)
  }
}

function parseMember(member: string): MemberId {
  if (typeof member !== 'string' || !/^[0-9a-f]{32}$/.test(member)) {
    throw new TypeError('member: expected the id of a member, 32 lower-case hex digits')
  }
  return member as MemberId
}
