import { concat, toHex, toUtf8 } from '../../src/bytes.ts'
import { encodeCbor, optional } from '../../src/codec.ts'
import { namesSecretOf } from '../../src/crypto/commitments.ts'
import { deriveEpoch, sealLink } from '../../src/crypto/epoch.ts'
import { sealGrant } from '../../src/crypto/grant.ts'
import { sha256, ZERO_32 } from '../../src/crypto/hash.ts'
import { sealLabel } from '../../src/crypto/keyring.ts'
import { wrapSecret } from '../../src/crypto/wrap.ts'
import type { MemberId } from '../../src/ids.ts'
import {
  type ControlBody,
  type Delivery,
  LINK_LENGTH,
  type Policy,
  type RelayIdentity,
  type Role,
  WRAP_LENGTH,
} from '../../src/verify/control.ts'
import { type ControlState, latestEpoch } from '../../src/verify/control-state.ts'
import {
  nextRecipients,
  payloadKindFor,
  type Recipient,
  recipientsOf,
  rotationBase,
  wrapLeaf,
  wrapsRootOf,
} from '../../src/verify/wraps.ts'
import { bytesOf, deviceKeys, memberNamed, type TestDevice } from './test-device.ts'

export type BodyOf<Type extends ControlBody['type']> = Extract<ControlBody, { readonly type: Type }>
type Change<Type extends ControlBody['type']> = Partial<BodyOf<Type>>

/** What an epoch start or a repair differs in from what an honest author makes. */
export interface DeliveryOptions {
  /** S_e, 32 bytes. */
  readonly secret?: Uint8Array
  /** Epoch that the links lead to. */
  readonly target?: number
  readonly delivery?: Partial<Delivery>
}

const POLICY: Policy = {
  contentRules: 1,
  maxBodyLength: 1024 * 1024,
  attestations: 1,
  rotateEntries: 0,
  rotateDays: 0,
}

/** By default of the epochs of a hand-made log: the same in every run. */
function epochSecret(attempt: number | string): Uint8Array {
  return bytesOf(`epoch secret ${attempt}`)
}

/**
 * The bodies of control entries as honest authors make them: keys with proofs of possession, names, wraps and links are
 * real, so that replicas can open them. Each takes what a test wants otherwise as its last argument.
 */
export class ControlBodies {
  readonly #relay: RelayIdentity
  readonly #read: () => ControlState | undefined
  /** By `readCommit`. */
  readonly #secrets = new Map<string, Uint8Array>()
  /** All wraps of a delivery, one after the other, by its root. */
  readonly #wraps = new Map<string, Uint8Array>()
  readonly #isBlind: boolean
  #attempts = 0

  /**
   * @param read gives the state on top of which the next entry comes
   * @param options.blind wraps are noise of the right length, where thousands are made and nobody opens one
   */
  constructor(
    relay: RelayIdentity,
    read: () => ControlState | undefined,
    { blind = false }: { readonly blind?: boolean } = {},
  ) {
    this.#relay = relay
    this.#read = read
    this.#isBlind = blind
  }

  get #control(): ControlState {
    const control = this.#read()
    if (control === undefined) throw new Error('the log has no genesis')
    return control
  }

  get #space(): Uint8Array {
    return this.#control.space
  }

  /** The same, with all secrets so far, for a log that goes on from here by itself. */
  fork(read: () => ControlState | undefined): ControlBodies {
    const copy = new ControlBodies(this.#relay, read, { blind: this.#isBlind })
    for (const [readCommit, secret] of this.#secrets) copy.#secrets.set(readCommit, secret)
    for (const [root, wraps] of this.#wraps) copy.#wraps.set(root, wraps)
    copy.#attempts = this.#attempts
    return copy
  }

  // -- Secrets ----------------------------------------------------------------------------------------------------

  /** S_e of an epoch in the log, 32 bytes. */
  secretOf(epoch: number): Uint8Array {
    const record = this.#control.epochs[epoch]
    const secret = record && this.#secrets.get(toHex(record.readCommit))
    if (secret === undefined) throw new Error(`no secret of epoch ${epoch}`)
    return secret
  }

  /** The wraps of a delivery made here, one after the other, as they are uploaded. */
  wrapsOf({ wrapsRoot }: Delivery): Uint8Array | undefined {
    return this.#wraps.get(toHex(wrapsRoot))
  }

  /** A name sealed under the names secret of an epoch, by default the one in force. */
  name(kind: 'space' | 'member' | 'device' | 'invite', text: string, epoch?: number): Uint8Array {
    const { readSecret } = deriveEpoch(this.secretOf(epoch ?? latestEpoch(this.#control)))
    return sealName(kind, text, namesSecretOf(readSecret))
  }

  /** The wrap that travels in the entry that admits a device, or approves it. */
  inlineWrap(kem: Uint8Array, payloadKind: 0 | 1): Uint8Array {
    const epoch = latestEpoch(this.#control)
    return this.#wrap({ space: this.#space, epoch, device: undefined, secret: this.secretOf(epoch), kem, payloadKind })
  }

  #wrap(options: {
    readonly space: Uint8Array
    readonly epoch: number
    readonly device: number | undefined
    readonly secret: Uint8Array
    readonly kem: Uint8Array
    readonly payloadKind: 0 | 1
  }): Uint8Array {
    const { secret, kem, ...context } = options
    if (this.#isBlind) return blindWrap(secret, options.device ?? 0)
    const own = options.payloadKind === 0 ? secret : deriveEpoch(secret).readSecret
    const name = toHex(sha256(encodeCbor([context.space, context.epoch, optional(context.device, n => n), own, kem])))
    const wrap = realWraps.get(name) ?? wrapSecret({ ...context, secret: own, kemPublicKey: kem })
    realWraps.set(name, wrap)
    return wrap
  }

  // -- Bodies -----------------------------------------------------------------------------------------------------

  genesis(owner: TestDevice, change: Change<'genesis'> = {}): BodyOf<'genesis'> {
    const secret = epochSecret(0)
    const { readCommit, readSecret } = deriveEpoch(secret)
    this.#secrets.set(toHex(readCommit), secret)
    const names = namesSecretOf(readSecret)
    const member = memberNamed('owner')
    return {
      type: 'genesis',
      time: TIME,
      relay: this.#relay,
      device: deviceKeys(owner, ZERO_32, member),
      member,
      epoch: { readCommit },
      wrap: this.#wrap({ space: ZERO_32, epoch: 0, device: undefined, secret, kem: owner.kem, payloadKind: 0 }),
      policy: POLICY,
      spaceName: sealName('space', 'Space', names),
      memberName: sealName('member', 'Owner', names),
      deviceName: sealName('device', 'Owner device', names),
      ...change,
    }
  }

  /** By default an instant invite of a new writer with all history. */
  invite(guest: TestDevice, change: Change<'invite'> = {}): BodyOf<'invite'> {
    const member = change.member ?? memberNamed(`member ${guest.number}`)
    const { kind = 'instant', history = 'all' } = change
    const isApproved = kind === 'approved'
    // Who reads from its admission on gets no key of the epoch in force, but that of the next one.
    const hasKey = kind === 'device' || (kind === 'instant' && history === 'all')
    const inline = (): Uint8Array => this.inlineWrap(guest.kem, history === 'all' ? 0 : 1)
    return {
      type: 'invite',
      time: TIME,
      kind,
      device: deviceKeys(guest, this.#space, member),
      member,
      role: 'writer',
      history,
      expires: 2_000_000_000_000,
      wrap: change.wrap ?? (hasKey ? inline() : new Uint8Array(0)),
      nameKey: isApproved ? this.name('invite', 'name key') : new Uint8Array(0),
      ...change,
    }
  }

  /** An invite for one more device of the author's own member. */
  deviceInvite(author: TestDevice, guest: TestDevice, change: Change<'invite'> = {}): BodyOf<'invite'> {
    const { id: member, role, history } = this.#memberOf(author.number)
    return this.invite(guest, { kind: 'device', member, role, history, ...change })
  }

  /** @param invited number of the provisional device that gives way to this one */
  join(device: TestDevice, invited: number = device.number - 1, change: Change<'join'> = {}): BodyOf<'join'> {
    const member = this.#control.devices.get(invited)?.member ?? memberNamed(`member ${invited}`)
    return {
      type: 'join',
      time: TIME,
      device: deviceKeys(device, this.#space, member),
      memberName: this.name('member', `Member ${device.number}`),
      deviceName: this.name('device', `Device ${device.number}`),
      ...change,
    }
  }

  /** @param request number of the pending device */
  approve(request: number, change: Change<'approve'> = {}): BodyOf<'approve'> {
    const { kem } = this.#device(request)
    const history = this.#control.invites.get(request)?.history ?? 'all'
    return {
      type: 'approve',
      time: TIME,
      request,
      wrap: change.wrap ?? (history === 'all' ? this.inlineWrap(kem, 0) : new Uint8Array(0)),
      memberName: this.name('member', `Member ${request}`),
      deviceName: this.name('device', `Device ${request}`),
      ...change,
    }
  }

  revoke(invite: number, change: Change<'revoke'> = {}): BodyOf<'revoke'> {
    return { type: 'revoke', time: TIME, invite, ...change }
  }

  addDevice(author: TestDevice, device: TestDevice, change: Change<'add-device'> = {}): BodyOf<'add-device'> {
    const { member } = this.#device(author.number)
    const payloadKind = payloadKindFor(this.#control, this.#device(author.number))
    return {
      type: 'add-device',
      time: TIME,
      device: deviceKeys(device, this.#space, member),
      wrap: change.wrap ?? this.inlineWrap(device.kem, payloadKind),
      deviceName: this.name('device', `Device ${device.number}`),
      ...change,
    }
  }

  removeDevice(device: number, change: Change<'remove-device'> = {}): BodyOf<'remove-device'> {
    return { type: 'remove-device', time: TIME, device, ...change }
  }

  removeMember(member: MemberId, change: Change<'remove-member'> = {}): BodyOf<'remove-member'> {
    return { type: 'remove-member', time: TIME, member, ...change }
  }

  leave(change: Change<'leave'> = {}): BodyOf<'leave'> {
    return { type: 'leave', time: TIME, ...change }
  }

  setRole(member: MemberId, role: Role, change: Change<'set-role'> = {}): BodyOf<'set-role'> {
    return { type: 'set-role', time: TIME, member, role, ...change }
  }

  /** The next epoch, with a fresh secret. Its wraps are at `wrapsOf`. */
  rotate({ secret, target, delivery }: DeliveryOptions = {}, change: Change<'rotate'> = {}): BodyOf<'rotate'> {
    const control = this.#control
    const own = secret ?? epochSecret(`${++this.#attempts} after ${latestEpoch(control)}`)
    const { readCommit } = deriveEpoch(own)
    this.#secrets.set(toHex(readCommit), own)
    const epoch = latestEpoch(control) + 1
    const made = this.#delivery(epoch, own, target ?? epoch - 1, nextRecipients(control))
    return {
      type: 'rotate',
      time: TIME,
      base: rotationBase(control),
      epoch: { readCommit },
      delivery: { ...made, ...delivery },
      ...change,
    }
  }

  repair(
    epoch: number,
    { secret = this.secretOf(epoch), target, delivery }: DeliveryOptions = {},
    change: Change<'repair'> = {},
  ): BodyOf<'repair'> {
    const made = this.#delivery(epoch, secret, target ?? Math.max(0, epoch - 1), recipientsOf(this.#control, epoch))
    return { type: 'repair', time: TIME, epoch, delivery: { ...made, ...delivery }, ...change }
  }

  policy(policy: Partial<Policy>, change: Change<'policy'> = {}): BodyOf<'policy'> {
    const { policy: current, relay } = this.#control
    return { type: 'policy', time: TIME, policy: { ...current, ...policy }, url: relay.url, ...change }
  }

  grant(device: number, from: number, change: Change<'grant'> = {}): BodyOf<'grant'> {
    const { kem, readsFrom } = this.#device(device)
    const epochs = Array.from({ length: Math.max(1, readsFrom - from) }, (_, i) => Math.min(from + i, this.#latest))
    const secrets = epochs.map(epoch => deriveEpoch(this.secretOf(epoch)).readSecret)
    const sealed =
      change.sealed ??
      sealGrant({ space: this.#space, device, from, kemPublicKey: kem, secrets, random: noise('grant') })
    return { type: 'grant', time: TIME, device, from, sealed, ...change }
  }

  rename(
    what: { readonly member: MemberId } | { readonly device: number } | 'space',
    text: string,
    change: Change<'rename'> = {},
  ): BodyOf<'rename'> {
    const kind = what === 'space' ? 'space' : 'member' in what ? 'member' : 'device'
    return {
      type: 'rename',
      time: TIME,
      what: kind,
      member: what !== 'space' && 'member' in what ? what.member : memberNamed('owner'),
      device: what !== 'space' && 'device' in what ? what.device : 0,
      name: this.name(kind, text),
      ...change,
    }
  }

  #delivery(epoch: number, secret: Uint8Array, target: number, recipients: readonly Recipient[]): Delivery {
    const space = this.#space
    const wraps = recipients.map(({ number, kem, payloadKind }) =>
      this.#wrap({ space, epoch, device: number, secret, kem, payloadKind }),
    )
    const wrapsRoot = wrapsRootOf(recipients.map(({ number }, i) => wrapLeaf(number, wraps[i] as Uint8Array)))
    this.#wraps.set(toHex(wrapsRoot), concat(...wraps))
    return { wrapsRoot, wrapsCount: recipients.length, target, ...this.#links(epoch, secret, target) }
  }

  #links(epoch: number, secret: Uint8Array, target: number): Pick<Delivery, 'link' | 'namesLink'> {
    // The first epoch has nothing to link to, and a test may want what no author could seal.
    if (target >= epoch) return { link: new Uint8Array(LINK_LENGTH), namesLink: new Uint8Array(LINK_LENGTH) }
    const place = { space: this.#space, epoch, target }
    const { historySecret, readSecret } = deriveEpoch(secret)
    const to = deriveEpoch(this.secretOf(target))
    return {
      link: sealLink('history', { ...place, key: historySecret, secret: to.secret }),
      namesLink: sealLink('names', { ...place, key: namesSecretOf(readSecret), secret: namesSecretOf(to.readSecret) }),
    }
  }

  get #latest(): number {
    return latestEpoch(this.#control)
  }

  #device(number: number) {
    const device = this.#control.devices.get(number)
    if (device === undefined) throw new Error(`no device ${number}`)
    return device
  }

  #memberOf(number: number) {
    const member = this.#control.members.get(this.#device(number).member)
    if (member === undefined) throw new Error(`device ${number} speaks for no member`)
    return member
  }
}

/** Most tests begin with the same few entries, and a wrap takes milliseconds. */
const realWraps = new Map<string, Uint8Array>()

const TIME = 1_700_000_000_000

function sealName(context: 'space' | 'member' | 'device' | 'invite', text: string, secret: Uint8Array): Uint8Array {
  return sealLabel({ secret, context, text, random: noise(text) })
}

/** The same bytes in every run. */
function noise(label: string): (length: number) => Uint8Array {
  return length => {
    const blocks = Array.from({ length: Math.ceil(length / 32) }, (_, i) => bytesOf(`${label} ${i}`))
    return concat(...blocks).slice(0, length)
  }
}

function blindWrap(secret: Uint8Array, device: number): Uint8Array {
  return noise(toHex(sha256(concat(secret, toUtf8(`${device}`)))))(WRAP_LENGTH)
}
