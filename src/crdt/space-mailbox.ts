import { equalBytes } from '../bytes.ts'
import { type MailboxKeys, mailboxKeysOf, openMailbox, sealMailbox, spaceDeviceOf } from '../crypto/mailbox.ts'
import type { SignatureVerifier } from '../crypto/sign.ts'
import { nobleSigningKey } from '../crypto/sign-backend.ts'
import type { Environment } from '../environment.ts'
import { hasCode, SealogError } from '../errors.ts'
import type { SpaceId } from '../ids.ts'
import type { RelayClient } from '../relay/client.ts'
import { MailboxClient } from '../relay/mailbox-client.ts'
import { MAX_MAILBOX_LENGTH } from '../relay/message-limits.ts'
import { decodeMailboxList, encodeMailboxList, type MailboxSpace } from './mailbox-list.ts'
import type { DeviceSecrets } from './secrets.ts'

export interface SpaceMailboxOptions {
  /** 32 bytes: of a recovery phrase, or made for one device that is to be linked. */
  readonly seed: Uint8Array
  readonly client: RelayClient
  readonly environment: Environment
  readonly verifier: SignatureVerifier
}

/** What stands in a mailbox. */
export interface MailboxVersion {
  /** 0 where nothing was ever put into it, as far as the relay says. */
  readonly counter: number
  /** Ascending by id. */
  readonly spaces: readonly MailboxSpace[]
}

const EMPTY: MailboxVersion = { counter: 0, spaces: [] }

/**
 * The list of spaces in the mailbox of a seed. The relay keeps it and cannot read, change or make it up; it can deny it,
 * or show an old version to who has not seen a later one. Versions are counted from 1.
 */
export class SpaceMailbox {
  readonly #options: SpaceMailboxOptions
  readonly #keys: MailboxKeys
  readonly #remote: MailboxClient
  #newest = 0
  #tail: Promise<unknown> = Promise.resolve()

  /** @throws TypeError for a seed that is not 32 bytes */
  constructor(options: SpaceMailboxOptions) {
    const { seed, client, environment, verifier } = options
    this.#options = options
    this.#keys = mailboxKeysOf(seed)
    this.#remote = new MailboxClient({
      client,
      environment,
      verifier,
      signingKey: nobleSigningKey(this.#keys.signing),
    })
  }

  /** The keys under which the seed is a device of a space. */
  deviceOf(space: SpaceId): DeviceSecrets {
    return spaceDeviceOf(this.#options.seed, space)
  }

  /**
   * What the relay shows, opened.
   * @throws SealogError ERR_UNKNOWN_MAILBOX where it has none; ERR_ROLLBACK for an older version than this object has
   * met; ERR_SIGNATURE, ERR_OPEN, ERR_MALFORMED, ERR_UPGRADE, and what else the relay answers; ERR_ABORTED, ERR_CLOSED
   */
  read(signal?: AbortSignal): Promise<MailboxVersion> {
    return this.#inTurn(async () => {
      const version = await this.#fetch(signal)
      if (version.counter < this.#newest) throw setBack()
      if (version.counter === 0) throw new SealogError('ERR_UNKNOWN_MAILBOX', 'the relay has no such mailbox')
      this.#newest = version.counter
      return version
    })
  }

  /**
   * Replaces the list by what `change` makes of it; where somebody else writes at the same time, of theirs. A list that
   * is as it should be is left alone. Where the relay lost what this object has met, it is given the list again.
   * @param change may be called several times; gets the list that the relay has, empty where it has none
   * @throws SealogError ERR_LIMIT for a list that is too long; ERR_ROLLBACK where the relay refuses a version as old and
   * shows an older one; ERR_UNAUTHORIZED where no space is open on the connection; and as `read`; what `change` throws
   */
  write(
    change: (spaces: readonly MailboxSpace[]) => readonly MailboxSpace[],
    signal?: AbortSignal,
  ): Promise<MailboxVersion> {
    return this.#inTurn(async () => {
      let before = await this.#fetch(signal)
      for (;;) {
        const payload = encodeMailboxList(change(before.spaces))
        const isCurrent = before.counter > 0 && before.counter >= this.#newest
        if (isCurrent && equalBytes(payload, encodeMailboxList(before.spaces))) {
          this.#newest = before.counter
          return before
        }
        const counter = Math.max(before.counter, this.#newest) + 1
        if (await this.#replace(counter, payload, signal)) {
          this.#newest = counter
          return { counter, spaces: decodeMailboxList(payload) }
        }
        // Only a version that the owner signed can be in the way, and now it has to be shown: so this comes to an end.
        before = await this.#fetch(signal)
        if (before.counter < counter) throw setBack()
      }
    })
  }

  /** @returns whether nothing was in the way */
  async #replace(counter: number, payload: Uint8Array, signal: AbortSignal | undefined): Promise<boolean> {
    const sealed = this.#seal(counter, payload)
    try {
      await this.#remote.put(counter, sealed, signal)
      return true
    } catch (error) {
      if (hasCode(error, 'ERR_STALE_MAILBOX')) return false
      throw error
    }
  }

  #seal(counter: number, payload: Uint8Array): Uint8Array {
    if (!Number.isSafeInteger(counter)) throw new SealogError('ERR_LIMIT', 'the mailbox was written too often')
    const { sealing } = this.#keys
    const { random } = this.#options.environment
    const sealed = sealMailbox({ sealing, address: this.#remote.address, counter, payload, random })
    if (sealed.length <= MAX_MAILBOX_LENGTH) return sealed
    const details = { limit: MAX_MAILBOX_LENGTH }
    throw new SealogError('ERR_LIMIT', `a mailbox of ${sealed.length} bytes`, { details })
  }

  async #fetch(signal: AbortSignal | undefined): Promise<MailboxVersion> {
    const found = await this.#remote.get(signal)
    if (found === undefined) return EMPTY
    const { counter, bytes } = found
    const { sealing } = this.#keys
    const payload = openMailbox({ sealing, address: this.#remote.address, counter, sealed: bytes })
    return { counter, spaces: decodeMailboxList(payload) }
  }

  /** A version is read and replaced before the next is. */
  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(task)
    this.#tail = result.catch(() => {})
    return result
  }
}

function setBack(): SealogError {
  return new SealogError('ERR_ROLLBACK', 'the relay shows an older version of the mailbox than there is')
}
