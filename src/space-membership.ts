import { decodeInviteLink, encodeInviteLink, type Invite, inviteKeys, inviteNameKey } from './crdt/invite-link.ts'
import {
  addDeviceBody,
  approveBody,
  grantBody,
  inviteBody,
  MAX_GRANTED,
  nameBody,
  type Writing,
} from './crdt/membership.ts'
import { openName, openRequestNames } from './crdt/names.ts'
import type { PreparedControl } from './crdt/outbox.ts'
import { assertKeeper, canRotate, mayStartEpoch } from './crdt/rotation.ts'
import type { DeviceSecrets } from './crdt/secrets.ts'
import type { SpaceSync } from './crdt/space-sync.ts'
import { labelledHash, ZERO_32 } from './crypto/hash.ts'
import type { Environment } from './environment.ts'
import { SealogError } from './errors.ts'
import { CONTROL_DOCUMENT, idBytes, type MemberId, memberIdOf, type SpaceId } from './ids.ts'
import type {
  AddDeviceOptions,
  InviteOptions,
  JoinRequest,
  Member,
  MemberDevice,
  OpenInviteInfo,
  PolicyChange,
} from './space-status.ts'
import {
  type ControlBody,
  type DeviceKeys,
  HISTORIES,
  type History,
  type Policy,
  ROLES,
  type Role,
} from './verify/control.ts'
import { encodeControlBody } from './verify/control-codec.ts'
import { applyControl } from './verify/control-rules.ts'
import {
  type ControlState,
  currentMember,
  type DeviceRecord,
  isMemberDevice,
  latestEpoch,
  type MemberRecord,
  type OpenInvite,
} from './verify/control-state.ts'
import { fingerprintDigits } from './verify/fingerprint.ts'
import type { WaitOptions } from './waiting.ts'

const DAY: number = 24 * 60 * 60 * 1000
/** Longest name in UTF-8, in bytes. */
const MAX_NAME = 256

export interface MembershipHost {
  readonly space: SpaceId
  readonly environment: Environment
  readonly sync: SpaceSync
  readonly spaceName: () => string
  /** Runs `task` within the limits of the caller, once the log is here as far as the relay has it. */
  current<T>(options: WaitOptions, task: (control: ControlState) => Promise<T>): Promise<T>
  /** The same, once the epoch is one that this member may seal names and keys under. */
  keyed<T>(options: WaitOptions, task: (control: ControlState) => Promise<T>): Promise<T>
}

/** Who is in a space, and everything that members do about each other (DESIGN §4, §7). */
export class Membership {
  readonly #host: MembershipHost

  constructor(host: MembershipHost) {
    this.#host = host
  }

  // -- Who is there -----------------------------------------------------------------------------------------------

  get #control(): ControlState | undefined {
    return this.#host.sync.view.state?.control
  }

  members(): readonly Member[] {
    const control = this.#control
    if (control === undefined) return []
    const current = [...control.members.values()].filter(({ removed }) => removed === undefined)
    return current.map(record => this.#member(control, record))
  }

  #member(control: ControlState, { id, role, history, name, since }: MemberRecord): Member {
    const { sync } = this.#host
    const devices = [...control.devices.values()].filter(device => device.member === id && isMemberDevice(device))
    return {
      id,
      name: openName(sync.keys, 'member', name),
      role,
      history,
      me: id === sync.member,
      since: { index: since.index, epoch: since.epoch },
      devices: devices.map(device => this.#device(device)),
    }
  }

  #device({ number, name, since, signing, kem, readsFrom }: DeviceRecord): MemberDevice {
    const { sync } = this.#host
    return {
      id: number,
      name: openName(sync.keys, 'device', name),
      me: number === sync.device,
      since: { index: since.index, epoch: since.epoch },
      readsFrom,
      fingerprint: keyFingerprint(signing, kem),
    }
  }

  invites(): readonly OpenInviteInfo[] {
    const invites = [...(this.#control?.invites.values() ?? [])].filter(({ requested }) => requested === undefined)
    return invites.map(({ number, kind, role, history, expires, inviter }) => {
      return { id: number, kind, role, history, expires, inviter }
    })
  }

  requests(): readonly JoinRequest[] {
    const control = this.#control
    const requests = [...(control?.invites.values() ?? [])].filter(({ requested }) => requested !== undefined)
    return requests.map(invite => {
      const { number, role, history, inviter } = invite
      const names = openRequestNames(this.#host.sync.keys, invite)
      const device = control?.devices.get(number) as DeviceRecord
      const fingerprint = keyFingerprint(device.signing, device.kem)
      return { id: number, name: names.member, device: names.device, role, history, inviter, fingerprint }
    })
  }

  // -- Invites ----------------------------------------------------------------------------------------------------

  invite(options: InviteOptions): Promise<string> {
    const { role = 'writer', history = 'all', kind = 'instant', expiresIn = 7 * DAY, base } = options
    if (!ROLES.includes(role)) throw new TypeError(`role: expected one of ${ROLES.join(', ')}`)
    if (!HISTORIES.includes(history)) throw new TypeError(`history: expected one of ${HISTORIES.join(', ')}`)
    if (kind !== 'instant' && kind !== 'approved') throw new TypeError('kind: expected instant or approved')
    if (history !== 'all' && (role === 'admin' || role === 'owner')) {
      throw new TypeError(`history: an ${role} reads everything`)
    }
    assertInviteOptions(expiresIn, base)
    const member = memberIdOf(this.#host.environment.random(16))
    return this.#host.keyed(options, control => {
      assertMayGive(this.#own(control), history)
      return this.#invite({ kind, role, history, member, expiresIn }, base)
    })
  }

  inviteDevice(options: AddDeviceOptions): Promise<string> {
    const { expiresIn = DAY, base } = options
    assertInviteOptions(expiresIn, base)
    return this.#host.keyed(options, control => {
      const own = this.#own(control)
      const { id: member, role, history } = own
      return this.#invite({ kind: 'device', role, history, member, expiresIn }, base)
    })
  }

  /** The same for keys that are known on the other side: those of a seed for all spaces. */
  inviteDeviceKeys(provisional: DeviceSecrets, expiresIn: number, options: WaitOptions): Promise<void> {
    assertInviteOptions(expiresIn, undefined)
    const { environment } = this.#host
    return this.#host.keyed(options, async () => {
      const expires = environment.now() + expiresIn
      await this.#append((writing, control) => {
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
    const { environment, sync, space, spaceName } = this.#host
    const { expiresIn, ...invited } = wanted
    const seed = environment.random(32)
    const expires = environment.now() + expiresIn
    const inviting = { ...invited, expires, provisional: inviteKeys(seed), nameKey: inviteNameKey(seed) }
    const index = await this.#append(writing => inviteBody(writing, inviting))
    // Who reads from its admission on reads from the next epoch on: whatever is written from here on.
    await this.#settleRotation()
    const { note } = sync
    const control = this.#control
    if (note === undefined || control === undefined) throw new SealogError('ERR_UNEXPECTED', 'no checkpoint')
    const { relay } = sync.view
    const names = { spaceName: spaceName(), inviterName: openName(sync.keys, 'member', this.#own(control).name) }
    const at = { name: relay.name, key: relay.key, url: sync.secrets.url }
    return encodeInviteLink({ ...invited, relay: at, space, seed, index, expires, note, ...names }, base)
  }

  revokeInvite(invite: string | number, options: WaitOptions): Promise<void> {
    const found = this.#invitedAt(invite)
    return this.#host.current(options, async () => {
      await this.#append(({ time }) => ({ type: 'revoke', time, invite: found() }))
      await this.#settleRotation()
    })
  }

  /** By its number, or by the link, which knows its place in the log. */
  #invitedAt(invite: string | number): () => number {
    if (typeof invite === 'number') return () => invite
    const { index } = decodeInviteLink(invite)
    return () => {
      for (const { number, since } of this.#control?.devices.values() ?? []) if (since.index === index) return number
      throw new SealogError('ERR_INVITE', 'there is no such invite')
    }
  }

  approve(request: number, options: WaitOptions): Promise<void> {
    assertNumber(request, 'request')
    return this.#host.keyed(options, async () => {
      await this.#append((writing, control) => {
        const invite = this.#requestAt(control, request)
        assertMayGive(this.#own(control), invite.history)
        const device = control.devices.get(request) as DeviceRecord
        return approveBody(writing, device, invite.history, openRequestNames(writing.keys, invite))
      })
      await this.#settleRotation()
    })
  }

  decline(request: number, options: WaitOptions): Promise<void> {
    assertNumber(request, 'request')
    return this.#host.current(options, async () => {
      await this.#append(({ time }, control) => {
        return { type: 'revoke', time, invite: this.#requestAt(control, request).number }
      })
    })
  }

  #requestAt(control: ControlState, request: number): OpenInvite {
    const invite = control.invites.get(request)
    if (invite?.requested === undefined) throw new SealogError('ERR_INVITE', 'nobody asks to join under this number')
    return invite
  }

  // -- Devices ----------------------------------------------------------------------------------------------------

  /** One more device of the own member, whose keys are known. @returns its number */
  async addDevice(keys: DeviceKeys, name: string, options: WaitOptions): Promise<number> {
    assertText(name, 'name')
    return this.#host.keyed(options, async () => {
      const index = await this.#append((writing, control) => {
        return addDeviceBody(writing, keys, this.#own(control).history, name)
      })
      for (const { number, since } of this.#control?.devices.values() ?? []) if (since.index === index) return number
      throw new SealogError('ERR_UNEXPECTED', 'the device is not there')
    })
  }

  removeDevice(device: number, options: WaitOptions): Promise<void> {
    assertNumber(device, 'device')
    return this.#host.current(options, async () => {
      await this.#append(({ time }) => ({ type: 'remove-device', time, device }))
      await this.#settleRotation()
    })
  }

  renameDevice(device: number, name: string, options: WaitOptions): Promise<void> {
    assertNumber(device, 'device')
    assertText(name, 'name')
    return this.#host.keyed(options, async control => {
      const { id: member } = this.#own(control)
      await this.#append(writing => {
        const sealed = nameBody(writing, 'device', name)
        return { type: 'rename', time: writing.time, what: 'device', member, device, name: sealed }
      })
    })
  }

  // -- Members ----------------------------------------------------------------------------------------------------

  removeMember(member: string, options: WaitOptions): Promise<void> {
    const id = parseMember(member)
    return this.#host.current(options, async () => {
      await this.#append(({ time }) => ({ type: 'remove-member', time, member: id }))
      await this.#settleRotation()
    })
  }

  setRole(member: string, role: Role, options: WaitOptions): Promise<void> {
    const id = parseMember(member)
    if (!ROLES.includes(role)) throw new TypeError(`role: expected one of ${ROLES.join(', ')}`)
    return this.#host.current(options, async () => {
      await this.#append(({ time }) => ({ type: 'set-role', time, member: id, role }))
      await this.#settleRotation()
    })
  }

  leave(options: WaitOptions): Promise<void> {
    return this.#host.current(options, async () => {
      await this.#append(({ time }) => ({ type: 'leave', time }))
    })
  }

  rename(what: 'space' | 'member', name: string, options: WaitOptions): Promise<void> {
    assertText(name, 'name')
    return this.#host.keyed(options, async control => {
      const { id: member } = this.#own(control)
      await this.#append(writing => {
        return { type: 'rename', time: writing.time, what, member, device: 0, name: nameBody(writing, what, name) }
      })
    })
  }

  /** Every device of the member that may not read as far back is given what it lacks. */
  grantHistory(member: string, from: number, options: WaitOptions): Promise<void> {
    const id = parseMember(member)
    assertNumber(from, 'from')
    return this.#host.current(options, async control => {
      const record = currentMember(control, id)
      if (record === undefined) throw new SealogError('ERR_UNAUTHORIZED', 'there is no such member')
      if (this.#own(control).history !== 'all' && !this.#host.sync.keys.canRead(from)) {
        throw new SealogError('ERR_UNAUTHORIZED', 'this member may not read as far back itself')
      }
      for (const { number } of this.#devicesOf(control, id)) {
        // In stretches that fit into an entry, the newest first: what a device may read has no gaps.
        for (;;) {
          const device = this.#control?.devices.get(number)
          const isDone = device === undefined || device.readsFrom <= from || record.history === 'all'
          if (isDone) break
          const start = Math.max(from, device.readsFrom - MAX_GRANTED)
          await this.#append(writing => grantBody(writing, device, start))
        }
      }
    })
  }

  #devicesOf(control: ControlState, member: MemberId): readonly DeviceRecord[] {
    return [...control.devices.values()].filter(device => device.member === member && isMemberDevice(device))
  }

  // -- Keys and policy --------------------------------------------------------------------------------------------

  rotateKeys(options: WaitOptions): Promise<void> {
    return this.#host.current(options, async control => {
      const { sync } = this.#host
      const { id } = this.#own(control)
      assertKeeper(control, id)
      const before = latestEpoch(control)
      await sync.control(async () => {
        const control = this.#control
        if (control === undefined) return undefined
        // Somebody else was faster: it is a new epoch all the same.
        if (latestEpoch(control) > before) return undefined
        mayStartEpoch(control, id, sync.view.range.size)
        const rotation = await sync.rotation()
        if (rotation === undefined)
          throw new SealogError('ERR_KEY', 'no epoch is known here that a new one could lead to')
        return rotation
      })
    })
  }

  /**
   * Where the own entry gave reason to start an epoch, does so before anything else is said. Whatever comes between, the
   * reason stays on record, and clients see to it.
   */
  async #settleRotation(): Promise<void> {
    const { sync } = this.#host
    const isDue = (): boolean => {
      const control = this.#control
      if (control === undefined || control.rotation === 'settled' || sync.device === undefined) return false
      return canRotate(control, sync.device, sync.keys, sync.view.range.size)
    }
    if (!isDue()) return
    await sync.control(async () => (isDue() ? sync.rotation() : undefined), false).catch(() => undefined)
  }

  get policy(): Policy | undefined {
    return this.#control?.policy
  }

  setPolicy(change: PolicyChange, options: WaitOptions): Promise<void> {
    const { rotateEvery, attestations, maxBodyLength } = change
    if (rotateEvery?.entries !== undefined) assertNumber(rotateEvery.entries, 'rotateEvery.entries')
    if (rotateEvery?.days !== undefined) assertNumber(rotateEvery.days, 'rotateEvery.days', 36_525)
    if (attestations !== undefined) assertNumber(attestations, 'attestations', 15)
    if (maxBodyLength !== undefined) assertNumber(maxBodyLength, 'maxBodyLength', 64 * 1024 * 1024)
    return this.#host.current(options, async () => {
      await this.#append(({ time }, { policy, relay }) => {
        const next: Policy = {
          contentRules: policy.contentRules,
          maxBodyLength: maxBodyLength ?? policy.maxBodyLength,
          attestations: attestations ?? policy.attestations,
          rotateEntries: rotateEvery === undefined ? policy.rotateEntries : (rotateEvery.entries ?? 0),
          rotateDays: rotateEvery === undefined ? policy.rotateDays : (rotateEvery.days ?? 0),
        }
        return { type: 'policy', time, policy: next, url: change.relayUrl ?? relay.url }
      })
    })
  }

  // -- Inside -----------------------------------------------------------------------------------------------------

  #own(control: ControlState): MemberRecord {
    const member = currentMember(control, this.#host.sync.member)
    if (member === undefined) throw new SealogError('ERR_UNAUTHORIZED', 'this device is no member of the space')
    return member
  }

  /**
   * Appends a control entry, made anew for each attempt on the log as it is then, and held against the rules before it
   * goes out.
   * @returns its place in the log
   */
  async #append(make: (writing: Writing, control: ControlState) => ControlBody): Promise<number> {
    const { environment, sync, space } = this.#host
    const index = await sync.control(async (): Promise<PreparedControl> => {
      const control = this.#control
      if (control === undefined) throw new SealogError('ERR_UNEXPECTED', 'no log yet')
      const { random } = environment
      const writing = {
        space: idBytes(space),
        time: environment.now(),
        random,
        epoch: latestEpoch(control),
        keys: sync.keys,
      }
      const body = make(writing, control)
      assertAllowed(control, sync, body)
      return { body: encodeControlBody(body) }
    })
    if (index === undefined) throw new SealogError('ERR_UNEXPECTED', 'the entry was not made')
    return index
  }
}

/** @throws SealogError what everybody would refuse it for */
function assertAllowed(control: ControlState, sync: SpaceSync, body: ControlBody): void {
  const author = sync.device === undefined ? undefined : control.devices.get(sync.device)
  if (author === undefined) throw new SealogError('ERR_UNAUTHORIZED', 'this device is no member of the space')
  const header = {
    version: 1 as const,
    space: control.space,
    document: CONTROL_DOCUMENT,
    device: author.number,
    incarnation: new Uint8Array(8),
    seq: 0,
    prev: ZERO_32,
    seenSize: 0,
    seenRoot: ZERO_32,
    epoch: latestEpoch(control),
    kind: 'control' as const,
    tag: ZERO_32,
    bodyHash: ZERO_32,
    bodyLength: 0,
  }
  const index = sync.view.range.size
  applyControl(control, author, body, { header, hash: ZERO_32, index, seenRoot: ZERO_32, controlBody: undefined })
}

/** Of the keys of one device: to be compared between who asks to join and who approves. */
export function keyFingerprint(signing: Uint8Array, kem: Uint8Array): string {
  return fingerprintDigits(labelledHash('sealog/v1/device-fingerprint', signing, kem))
}

/** Nobody gives away what he may not read. @throws SealogError ERR_UNAUTHORIZED */
function assertMayGive(own: MemberRecord, history: History): void {
  if (history !== 'all' || own.history === 'all') return
  throw new SealogError('ERR_UNAUTHORIZED', 'a member that may not read all history cannot give it away')
}

function assertInviteOptions(expiresIn: number, base: string | undefined): void {
  if (!Number.isSafeInteger(expiresIn) || expiresIn <= 0) throw new TypeError('expiresIn: expected milliseconds')
  if (base !== undefined && !URL.canParse(base)) throw new TypeError('base: expected an address')
}

function assertNumber(value: number, argument: string, max: number = Number.MAX_SAFE_INTEGER): void {
  if (!Number.isSafeInteger(value) || value < 0 || value > max) {
    throw new TypeError(`${argument}: expected an integer from 0 to ${max}`)
  }
}

function assertText(text: string, argument: string): void {
  if (typeof text !== 'string') throw new TypeError(`${argument}: expected a string`)
  if (new TextEncoder().encode(text).length > MAX_NAME)
    throw new TypeError(`${argument}: expected at most ${MAX_NAME} bytes`)
}

function parseMember(member: string): MemberId {
  if (typeof member !== 'string' || !/^[0-9a-f]{32}$/.test(member)) {
    throw new TypeError('member: expected the id of a member, 32 lower-case hex digits')
  }
  return member as MemberId
}
