import type { MemberId } from '../ids.ts'
import type { History, InviteKind, Policy, Role } from '../verify/control.ts'

export interface NamedMember {
  readonly id: MemberId
  /**
   * As it was then, and as a sentence can hold it: in quotation marks where it is no plain name, and with the beginning
   * of the id where others have or had the same one. To tell who is meant, go by `id`.
   */
  readonly name: string
}

export interface NamedDevice {
  readonly number: number
  /** As it was then; empty where it has no name that opens. */
  readonly name: string
}

/** What a control entry did. */
export type HistoryDetail =
  | { readonly type: 'genesis'; readonly space: string; readonly device: NamedDevice }
  | {
      readonly type: 'invite'
      readonly kind: InviteKind
      readonly role: Role
      readonly history: History
      /** Unix time in milliseconds. */
      readonly expires: number
    }
  | {
      readonly type: 'revoke'
      /** Place in the log of the invite, or of the request. */
      readonly invited: number
      readonly inviter: NamedMember
      /** Who had used the invite and waited to be approved; undefined where nobody had. */
      readonly asker: NamedMember | undefined
    }
  | {
      readonly type: 'join'
      readonly kind: InviteKind
      readonly role: Role
      readonly history: History
      readonly inviter: NamedMember
      readonly device: NamedDevice
    }
  | { readonly type: 'approve'; readonly role: Role; readonly member: NamedMember; readonly device: NamedDevice }
  | { readonly type: 'add-device'; readonly device: NamedDevice }
  | {
      readonly type: 'remove-device'
      readonly member: NamedMember
      readonly device: NamedDevice
      /** It was the member's last one, which removed the member. */
      readonly last: boolean
    }
  | { readonly type: 'remove-member'; readonly member: NamedMember }
  | { readonly type: 'leave' }
  | { readonly type: 'set-role'; readonly member: NamedMember; readonly was: Role; readonly role: Role }
  /** `devices`: how many were given the keys. */
  | { readonly type: 'rotate' | 'repair'; readonly epoch: number; readonly devices: number }
  | {
      readonly type: 'policy'
      readonly before: Policy
      readonly after: Policy
      /** The relay's new address, where that changed. */
      readonly url: string | undefined
    }
  | { readonly type: 'grant'; readonly member: NamedMember; readonly device: NamedDevice; readonly epoch: number }
  | { readonly type: 'rename-space'; readonly was: string; readonly name: string }
  | { readonly type: 'rename-member'; readonly member: NamedMember; readonly name: string }
  | {
      readonly type: 'rename-device'
      readonly member: NamedMember
      readonly device: NamedDevice
      readonly name: string
    }

/** One control entry: who did what to whom. */
export type Told = HistoryDetail & {
  /** Among control entries; the genesis is 0. */
  readonly number: number
  /** Place in the log. */
  readonly index: number
  /** Unix time in milliseconds, by the author's clock: a claim. */
  readonly at: number
  readonly by: {
    readonly member: MemberId
    /** See `NamedMember.name`. */
    readonly name: string
    readonly device: number
    readonly deviceName: string
  }
  /** Of what leaves keys in hands that should not have them: whether they were rotated since. */
  readonly keys: 'rotated' | 'waiting' | undefined
}

/** The same with words. */
export type HistoryEvent = Told & {
  /** `Ada removed the device ‘old phone’ of Bob, 12 March 2026, entry 4711, keys rotated` */
  readonly text: string
}
