import { toUtf8 } from '../../src/bytes.ts'
import type { NameOpener } from '../../src/crdt/history.ts'
import type { HistoryRow } from '../../src/crdt/history-rows.ts'
import { sha256, ZERO_32 } from '../../src/crypto/hash.ts'
import { publicKeyOf } from '../../src/crypto/sign.ts'
import { kemPublicKeyOf } from '../../src/crypto/wrap.ts'
import { CONTROL_DOCUMENT, type MemberId, memberIdOf } from '../../src/ids.ts'
import { genesisControl } from '../../src/verify/admission-rules.ts'
import {
  type ControlBody,
  type DeviceKeys,
  type EpochStart,
  type Policy,
  WRAP_LENGTH,
} from '../../src/verify/control.ts'
import { applyControl, isEpochFree } from '../../src/verify/control-rules.ts'
import { type ControlState, type DeviceRecord, latestEpoch } from '../../src/verify/control-state.ts'
import type { EntryAt } from '../../src/verify/refusal.ts'
import { nextRecipients, recipientsOf, rotationBase } from '../../src/verify/wraps.ts'

/** A control body without what the story fills in. */
type Said = ControlBody extends infer Body ? (Body extends ControlBody ? Omit<Body, 'time'> : never) : never

export const DAY: number = 24 * 60 * 60 * 1000
/** 12 March 2026, noon. */
export const START: number = Date.UTC(2026, 2, 12, 12)

export const POLICY: Policy = {
  contentRules: 1,
  maxBodyLength: 1024,
  attestations: 1,
  rotateEntries: 0,
  rotateDays: 0,
}

/** Names are in clear behind a mark, and only in the epoch they are said to be sealed in: `@2 Bob`. */
export function sealed(name: string, epoch = 0): Uint8Array {
  return toUtf8(`@${epoch} ${name}`)
}

export const opener: NameOpener = {
  open: (_what, name) => {
    const [, epoch, text = ''] = /^@(\d+) (.*)$/su.exec(new TextDecoder().decode(name.sealed)) ?? []
    return Number(epoch) === name.epoch ? text : ''
  },
  openRequest: (nameKey, { memberName, deviceName }) => {
    const open = (name: Uint8Array): string =>
      nameKey.sealed.length === 0 ? '' : new TextDecoder().decode(name).replace('requested ', '')
    return { member: open(memberName), device: open(deviceName) }
  },
}

export function member(name: string): MemberId {
  return memberIdOf(bytesOf(`member ${name}`).slice(0, 16))
}

export function keys(name: string): DeviceKeys {
  return {
    signing: publicKeyOf(bytesOf(`signing ${name}`)),
    kem: kemPublicKeyOf(bytesOf(`kem ${name}`)),
    possession: new Uint8Array(64),
  }
}

export const NO_BYTES: Uint8Array = new Uint8Array(0)
export const WRAP: Uint8Array = new Uint8Array(WRAP_LENGTH)

/** 32 bytes that nothing else has. */
function bytesOf(label: string): Uint8Array {
  return sha256(toUtf8(label))
}

/** A space's control entries, by the rules that relays and replicas judge them by: what it says is what it is. */
export class Story {
  readonly rows: HistoryRow[] = []
  control: ControlState
  #index = 0

  /** Ann founds the space with device 0. */
  constructor() {
    const body: ControlBody = {
      type: 'genesis',
      time: START,
      relay: { name: 'relay.test', key: new Uint8Array(32), url: 'wss://relay.test' },
      device: keys('ann'),
      member: member('ann'),
      epoch: { readCommit: bytesOf('read 0') },
      wrap: WRAP,
      policy: POLICY,
      spaceName: sealed('Field notes'),
      memberName: sealed('Ann'),
      deviceName: sealed('laptop'),
    }
    this.control = genesisControl(body, this.#entryOf(0, 0)).control
    this.rows.push({ number: 0, index: 0, device: 0, epoch: 0, body })
  }

  get epoch(): number {
    return latestEpoch(this.control)
  }

  /** Entries of documents come in between. @returns the place of the last one */
  write(entries = 1): number {
    this.#index += entries
    return this.#index
  }

  /** @returns the number of the control entry. @throws SealogError where the rules refuse it */
  say(device: number, said: Said, time: number = START + this.control.count * DAY): number {
    const body = { ...said, time } as ControlBody
    const entry = this.#entryOf(++this.#index, device)
    const author = this.control.devices.get(device) as DeviceRecord
    const number = this.control.count
    const epoch = isEpochFree(body) ? entry.header.epoch : this.epoch
    this.control = applyControl(this.control, author, body, entry).control
    this.rows.push({ number, index: entry.index, device, epoch, body })
    return number
  }

  /** @returns the number of the provisional device */
  invite(
    device: number,
    name: string,
    options: Partial<Pick<Extract<ControlBody, { type: 'invite' }>, 'kind' | 'role' | 'history' | 'member'>> = {},
  ): number {
    const { kind = 'instant', role = 'writer', history = 'all' } = options
    return this.say(device, {
      type: 'invite',
      kind,
      device: keys(`invite of ${name}`),
      member: options.member ?? member(name),
      role,
      history,
      expires: START + 7 * DAY,
      wrap: kind === 'approved' || (kind === 'instant' && history !== 'all') ? NO_BYTES : WRAP,
      nameKey: kind === 'approved' ? sealed('key', this.epoch) : NO_BYTES,
    })
  }

  /** @returns the number of the new device */
  join(invite: number, name: string, device: string): number {
    const isApproved = this.control.invites.get(invite)?.kind === 'approved'
    const seal = (text: string): Uint8Array => (isApproved ? toUtf8(`requested ${text}`) : sealed(text, this.epoch))
    const deviceName = seal(device)
    return this.say(invite, { type: 'join', device: keys(`${name} ${device}`), memberName: seal(name), deviceName })
  }

  /** Invites and joins. @returns the number of the new device */
  admit(by: number, name: string, device: string, options: Parameters<Story['invite']>[2] = {}): number {
    return this.join(this.invite(by, name.toLowerCase(), options), name, device)
  }

  /** @param start what the epoch commits to */
  rotate(device: number, start?: EpochStart): number {
    const epoch = this.epoch + 1
    return this.say(device, {
      type: 'rotate',
      base: rotationBase(this.control),
      epoch: start ?? { readCommit: bytesOf(`read ${epoch}`) },
      delivery: { ...delivery(epoch - 1), wrapsCount: nextRecipients(this.control).length },
    })
  }

  repair(device: number, epoch: number): number {
    const wrapsCount = recipientsOf(this.control, epoch).length
    return this.say(device, { type: 'repair', epoch, delivery: { ...delivery(Math.max(0, epoch - 1)), wrapsCount } })
  }

  #entryOf(index: number, device: number): EntryAt {
    const epoch = index === 0 ? 0 : this.epoch
    const header = {
      space: index === 0 ? ZERO_32 : bytesOf('space'),
      document: CONTROL_DOCUMENT,
      device,
      incarnation: new Uint8Array(8),
      seq: index,
      prev: ZERO_32,
      seenSize: 0,
      seenRoot: ZERO_32,
      epoch,
      kind: 'control' as const,
      tag: ZERO_32,
      bodyHash: ZERO_32,
      bodyLength: 0,
    }
    return { header, hash: bytesOf(`entry ${index}`), index, seenRoot: ZERO_32, controlBody: undefined }
  }
}

function delivery(target: number): Extract<ControlBody, { type: 'rotate' }>['delivery'] {
  const link = new Uint8Array(72)
  return { wrapsRoot: ZERO_32, wrapsCount: 0, target, link, namesLink: link }
}
