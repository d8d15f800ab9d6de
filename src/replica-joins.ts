import { decodeInviteLink, type Invite, inviteKeys, inviteNameKey } from './crdt/invite-link.ts'
import { newDevice } from './crdt/membership.ts'
import type { SpaceSecrets } from './crdt/secrets.ts'
import type { SignatureVerifier } from './crypto/sign.ts'
import type { Environment } from './environment.ts'
import { hasCode, SealogError } from './errors.ts'
import type { SpaceId } from './ids.ts'
import type { LocalSpaces } from './local-spaces.ts'
import type { RelayConnections } from './relay-connections.ts'
import type { FormerDevices } from './replica-former-devices.ts'
import type { Space } from './space.ts'
import { type Note, parseNote, relaySignature } from './verify/checkpoint.ts'
import type { History, InviteKind, Role } from './verify/control.ts'
import { type Anchor, emptyView, type LogView, sameRelay } from './verify/log.ts'

/** What an invite says, before anything is committed. Nobody but the inviter vouches for the two names. */
export interface InvitePreview {
  readonly space: SpaceId
  readonly spaceName: string
  readonly inviterName: string
  readonly role: Role
  /** `approved`: an admin has to let this device in. `device`: as one more device of the inviter. */
  readonly kind: InviteKind
  readonly history: History
  readonly relay: { readonly name: string; readonly url: string }
  /** Unix time in milliseconds. */
  readonly expires: number
  readonly expired: boolean
  /** This replica is in the space already. */
  readonly known: boolean
}

export interface JoinsOptions {
  readonly spaces: LocalSpaces
  readonly former: FormerDevices
  readonly connections: RelayConnections
  readonly environment: Environment
  readonly verifier: SignatureVerifier
  readonly profile: { readonly name: string; readonly device: string }
  /**
   * A device of another member than before is about to join: what was arranged for the one before is of no use to it.
   * Called before anything is committed, and again where that was interrupted.
   */
  readonly onNewMember: (space: SpaceId) => Promise<void>
}

/** How this replica becomes a device of a space that others founded (DESIGN §7). */
export class Joins {
  readonly #options: JoinsOptions

  constructor(options: JoinsOptions) {
    this.#options = options
  }

  /** Reads an invite without using it. @throws SealogError ERR_INVITE, ERR_UPGRADE; TypeError */
  async preview(link: string): Promise<InvitePreview> {
    const invite = decodeInviteLink(link)
    await this.#checkNote(invite)
    const { environment, spaces } = this.#options
    return {
      space: invite.space,
      spaceName: invite.spaceName,
      inviterName: invite.inviterName,
      role: invite.role,
      kind: invite.kind,
      history: invite.history,
      relay: { name: invite.relay.name, url: invite.relay.url },
      expires: invite.expires,
      expired: invite.expires <= environment.now(),
      known: await spaces.has(invite.space),
    }
  }

  /** Joins the space of an invite: see `Replica.joinSpace`. */
  join(invite: Invite, signal: AbortSignal): Promise<Space> {
    return this.#options.spaces.inTurn(invite.space, () => this.#join(invite, signal))
  }

  async #join(invite: Invite, signal: AbortSignal): Promise<Space> {
    // Whoever gave up waiting for this turn has used up nothing.
    if (signal.aborted) throw new SealogError('ERR_ABORTED', 'aborted by the caller')
    const { spaces, former } = this.#options
    const anchor = await this.#checkNote(invite)
    if (await spaces.has(invite.space)) {
      const space = await spaces.open(invite.space)
      space.heard(invite.note)
      // It may be there from an earlier invite that came to nothing; otherwise this one stays unused.
      if (!isOver(space) && (space.isAdmitted || (await this.#joined(space, signal)) === undefined)) return space
    }
    await this.#checkPin(invite)
    const secrets = this.#joinSecrets(invite)
    const before = (await spaces.has(invite.space)) ? await spaces.open(invite.space) : undefined
    const isNew = before === undefined ? invite.kind !== 'device' : invite.member !== before.me.id
    // Ahead of the commit, after which the join may go on without this call, over a restart too.
    if (isNew) await this.#options.onNewMember(invite.space)
    if (before !== undefined) await former.replace(before, invite, anchor, secrets)
    else await spaces.keep(emptyView(invite.space, invite.relay, [anchor]), secrets)
    const space = await this.#awaited(invite.space, signal)
    // As an anchor it counts only where it is ahead of what was verified before.
    space.heard(invite.note)
    return space
  }

  /** Keeps a space that this replica is about to become a device of, and waits until it is. */
  become(view: LogView, secrets: SpaceSecrets, signal: AbortSignal): Promise<Space> {
    const { spaces } = this.#options
    return spaces.inTurn(view.space, async () => {
      // A join may have brought it while this waited for its turn.
      if (!(await spaces.has(view.space))) await spaces.keep(view, secrets)
      return this.#awaited(view.space, signal)
    })
  }

  /**
   * Brings a join to its end that nobody waits for, as `joinSpace` was given up or the replica restarted, where another
   * device is kept until then (R-REJOIN-2). Ends when `space` is closed; what fails is tried when it is opened again.
   */
  resume(space: Space): void {
    const { spaces, former } = this.#options
    const task = spaces.inTurn(space.id, async () => {
      // It is this very space that is waited for: another one that is opened later has a turn of its own.
      if (!space.isClosed && (await former.has(space.id))) await this.#joined(space)
    })
    task.catch(() => {})
  }

  async #awaited(id: SpaceId, signal: AbortSignal): Promise<Space> {
    const space = await this.#options.spaces.open(id)
    const failure = await this.#joined(space, signal)
    if (failure !== undefined) throw failure
    return space
  }

  /**
   * Waits until the log proves that this device is a member. What merely takes time goes on.
   * @returns why the invite came to nothing, if it did; then nothing of it is left, and what was here before it, is
   */
  async #joined(space: Space, signal?: AbortSignal): Promise<SealogError | undefined> {
    const { spaces, former } = this.#options
    try {
      await space.joined(signal)
    } catch (error) {
      if (!hasCode(error, 'ERR_INVITE') && !hasCode(error, 'ERR_RELAY_IDENTITY')) throw error
      if (!(await former.restore(space))) await spaces.remove(space.id)
      return error
    }
    await former.forget(space.id)
    return undefined
  }

  #joinSecrets(invite: Invite): SpaceSecrets {
    const { environment, profile } = this.#options
    if (invite.expires <= environment.now()) throw new SealogError('ERR_INVITE', 'the invite has expired')
    return {
      url: invite.relay.url,
      member: invite.member,
      device: newDevice(environment.random),
      incarnation: environment.random(8),
      epochs: new Map(),
      memberName: profile.name,
      deviceName: profile.device,
      admission: {
        type: 'join',
        provisional: inviteKeys(invite.seed),
        nameKey: invite.kind === 'approved' ? inviteNameKey(invite.seed) : undefined,
        body: undefined,
      },
    }
  }

  /** The relay at the invite's address was met before, and was another one. @throws SealogError ERR_RELAY_IDENTITY */
  async #checkPin({ relay }: Invite): Promise<void> {
    const { pinned } = await this.#options.connections.to(relay.url, relay, true)
    if (pinned === undefined || sameRelay(pinned, relay)) return
    throw new SealogError('ERR_RELAY_IDENTITY', 'the relay at this address is not the one in the invite', {
      details: { expected: relay.name, actual: pinned.name },
    })
  }

  /** The checkpoint in an invite is signed by the relay that the invite names. @throws SealogError ERR_INVITE */
  async #checkNote(invite: Invite): Promise<Anchor> {
    const note = parseNote(invite.note)
    const { checkpoint } = note
    const isSigned = await this.#isSignedByRelay(note, invite)
    if (!isSigned) throw new SealogError('ERR_INVITE', 'the checkpoint in the invite is not signed by its relay')
    return { size: checkpoint.size, root: checkpoint.root, note: invite.note }
  }

  async #isSignedByRelay(note: Note, { relay }: Invite): Promise<boolean> {
    try {
      const signature = relaySignature(note, { name: note.checkpoint.origin, publicKey: relay.key })
      return await this.#options.verifier.verify({ publicKey: relay.key, message: note.text, signature })
    } catch (error) {
      if (hasCode(error, 'ERR_CHECKPOINT_SIGNATURE')) return false
      throw error
    }
  }
}

/** This device was a member's, and is not any more: another one can take its place. */
function isOver(space: Space): boolean {
  return space.isAdmitted && space.status.membership === 'removed'
}
