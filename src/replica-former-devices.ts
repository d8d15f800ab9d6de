import { concat, toUtf8 } from './bytes.ts'
import { changeDevice } from './crdt/device-change.ts'
import type { Invite } from './crdt/invite-link.ts'
import { spaceKey } from './crdt/rows.ts'
import { decodeSecrets, encodeSecrets, type SpaceSecrets } from './crdt/secrets.ts'
import type { ReplicaStore } from './crdt/store.ts'
import { encodeViewRow } from './crdt/view-rows.ts'
import type { Random } from './environment.ts'
import { hasCode, SealogError } from './errors.ts'
import type { SpaceId } from './ids.ts'
import type { LocalSpaces } from './local-spaces.ts'
import type { Space } from './space.ts'
import { loadIdentity } from './space-loading.ts'
import { type Anchor, sameRelay, withAnchor } from './verify/log.ts'

export interface FormerDevicesOptions {
  readonly spaces: LocalSpaces
  readonly store: ReplicaStore
  readonly random: Random
}

/**
 * What becomes of a local copy whose device was removed from the space, when another invite comes: a new device takes its
 * place, with the documents, the log as far as it was verified, and what was not sent. Each step is one batch, so that a
 * crash leaves the one device or the other; and until the log proves the new one, the old one is kept to go back to.
 */
export class FormerDevices {
  readonly #options: FormerDevicesOptions

  constructor(options: FormerDevicesOptions) {
    this.#options = options
  }

  /**
   * Ends a space that is open, and lets a device that joins by this invite go on with it.
   * @throws SealogError ERR_REMOVED where that would lose something, ERR_FROZEN, ERR_RELAY_IDENTITY,
   * ERR_ROOT_MISMATCH where the invite's checkpoint contradicts one that was kept, ERR_STORE…; nothing has changed then
   */
  async replace(open: Space, invite: Invite, anchor: Anchor, joining: SpaceSecrets): Promise<void> {
    const { spaces } = this.#options
    assertReplaceable(open, invite)
    await spaces.whileClosed(open.id, () => this.#replace(open.id, anchor, joining))
  }

  async #replace(id: SpaceId, anchor: Anchor, joining: SpaceSecrets): Promise<void> {
    const { store } = this.#options
    const { view, note, secrets: former, held } = await loadIdentity(store, id)
    // What was readable stays so, names among it, while the new device waits for keys of its own.
    const next: SpaceSecrets = { ...joining, epochs: former.epochs }
    const { puts, deletes } = await this.#change(id, { from: former, to: next, hasWritten: true }, held)
    const anchors = anchor.size > view.range.size ? withAnchor(view.anchors, anchor) : view.anchors
    await store.commit({
      puts: [
        ...puts,
        [spaceKey(id, 'secrets'), encodeSecrets(next)],
        [formerKey(id), encodeSecrets(former)],
        [spaceKey(id, 'view'), encodeViewRow({ ...view, anchors }, note)],
      ],
      deletes,
      durability: 'strict',
    })
  }

  /** Is a device kept that was here before? @throws SealogError ERR_STORE… */
  async has(id: SpaceId): Promise<boolean> {
    return (await this.#options.store.get(formerKey(id))) !== undefined
  }

  /**
   * The invite came to nothing: back to the device that was removed, and on with what was written meanwhile.
   * @returns false where there was none before
   * @throws SealogError ERR_STORE…, ERR_REMOVED; the store is as it was then
   */
  async restore({ id, status }: Space): Promise<boolean> {
    const { spaces, store } = this.#options
    const bytes = await store.get(formerKey(id))
    if (bytes === undefined) return false
    // To close it now would lose that, and nobody may be there to be told.
    if (status.storage !== 'ok' && status.local.unsaved > 0) {
      throw new SealogError('ERR_STORE', 'there are changes that the store has not taken')
    }
    const former = decodeSecrets(bytes)
    await spaces.whileClosed(id, async () => {
      const { secrets, held } = await loadIdentity(store, id)
      const { puts, deletes } = await this.#change(id, { from: secrets, to: former, hasWritten: false }, held)
      await store.commit({
        puts: [...puts, [spaceKey(id, 'secrets'), encodeSecrets(former)]],
        deletes: [...deletes, formerKey(id)],
        durability: 'strict',
      })
    })
    return true
  }

  /** The new device is admitted. */
  async forget(id: SpaceId): Promise<void> {
    if (!(await this.has(id))) return
    await this.#options.store.commit({ puts: [], deletes: [formerKey(id)] })
  }

  async #change(
    space: SpaceId,
    { from, to, hasWritten }: { readonly from: SpaceSecrets; readonly to: SpaceSecrets; readonly hasWritten: boolean },
    held: Awaited<ReturnType<typeof loadIdentity>>['held'],
  ): ReturnType<typeof changeDevice> {
    const { store, random } = this.#options
    try {
      return await changeDevice({ space, store, random, from: from.device, to: to.device, hasWritten, held })
    } catch (error) {
      if (hasCode(error, 'ERR_CONTENT')) throw byHand('not all that is here can be taken along', error)
      throw error
    }
  }
}

/** Filed below the secrets, it is protected as they are. */
function formerKey(space: SpaceId): Uint8Array {
  return concat(spaceKey(space, 'secrets'), toUtf8('/former'))
}

function assertReplaceable({ relay, status }: Space, invite: Invite): void {
  if (status.frozen) throw new SealogError('ERR_FROZEN', 'the relay contradicted itself')
  if (!sameRelay(relay, invite.relay)) {
    throw new SealogError('ERR_RELAY_IDENTITY', 'the invite names another relay than the one of the space', {
      details: { expected: relay.name, actual: invite.relay.name },
    })
  }
  if (invite.history !== 'all') throw byHand('the invite does not let it read all that is here')
}

function byHand(why: string, cause?: SealogError): SealogError {
  const what = `this device was removed from the space, and ${why}: export what is to be kept, \`removeLocal\`, and join anew`
  return new SealogError('ERR_REMOVED', what, cause === undefined ? {} : { cause })
}
