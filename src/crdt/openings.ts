import type { Environment } from '../environment.ts'
import { asSealogError, hasCode, SealogError } from '../errors.ts'
import type { Admission } from './admission.ts'
import type { Opening } from './conversation.ts'
import type { KeptLog } from './kept-log.ts'
import type { Problems } from './problems.ts'
import type { Replication } from './replication.ts'
import { restoreRelay, sizeOfBehind } from './restore.ts'
import type { DeviceSecrets } from './secrets.ts'
import type { SpaceChannel } from './space-channel.ts'
import { type Standing, signerOf } from './standing.ts'
import type { ReplicaStore } from './store.ts'

export interface OpeningsOptions {
  readonly channel: SpaceChannel
  readonly admission: Admission
  readonly standing: Standing
  readonly log: KeptLog
  readonly replication: () => Pick<Replication, 'openFrom' | 'wants'>
  readonly store: ReplicaStore
  readonly problems: Problems
  readonly environment: Pick<Environment, 'now'>
}

/**
 * As whom this replica opens the space, and what it means that the relay refuses: that this device was removed, that its
 * invite is lost, that the relay does not take the space in, or that it lost the end of its log and is to get it back.
 */
export class Openings {
  readonly #options: OpeningsOptions
  /** Whom the relay knows this connection as. */
  #openedAs: DeviceSecrets
  #turnedAway: SealogError | undefined
  /** The relay does not know this device, and lacks no entry, as of its last answer. */
  #isForgotten = false

  constructor(options: OpeningsOptions) {
    this.#options = options
    this.#openedAs = options.admission.secrets.device
  }

  /** Why the relay does not take this space in, as of its last answer. */
  get turnedAway(): SealogError | undefined {
    return this.#turnedAway
  }

  /** Another device speaks by now than the one that opened the space. */
  get isOutdated(): boolean {
    return this.#openedAs !== this.#options.standing.speaker
  }

  /** What to say next. */
  next(): Opening {
    const { standing, log, replication } = this.#options
    const { admission } = standing.secrets
    const creation = admission?.type === 'genesis' ? admission : undefined
    this.#openedAs = standing.speaker
    const { openFrom, wants } = replication()
    return {
      signer: signerOf(this.#openedAs),
      from: openFrom,
      genesis: log.view.state === undefined ? creation?.entry : undefined,
      admission: creation?.token,
      wants,
    }
  }

  /** @returns whether the refusal was dealt with; otherwise it is a fault */
  refused(error: SealogError): boolean {
    const { channel, standing, admission } = this.#options
    if (error.code === 'ERR_RELAY_BEHIND') {
      void this.#restore(error)
      return true
    }
    if (error.code === 'ERR_REMOVED' && standing.removed !== undefined) return true
    // Another one has taken its place by now.
    if (error.code === 'ERR_REMOVED' && this.isOutdated) {
      channel.open()
      return true
    }
    // The log admits this device, so the relay's may have become shorter than that.
    const isMember = standing.secrets.admission === undefined && standing.number !== undefined
    if (error.code === 'ERR_UNAUTHORIZED' && isMember) {
      void this.#restore(error)
      return true
    }
    const outcome = admission.refused(error)
    if (outcome === 'again') channel.open()
    if (outcome === 'lost') channel.fault(new SealogError('ERR_INVITE', 'the invite was used already, or revoked'))
    return outcome !== undefined
  }

  /** Something went wrong: does the relay not take in a space that it does not have yet? */
  faulted(error: SealogError): void {
    const { standing, log } = this.#options
    const isNew = standing.secrets.admission?.type === 'genesis' && log.view.state === undefined
    const isRefused = error.code === 'ERR_UNAUTHORIZED' || error.code === 'ERR_QUOTA'
    if (isNew && isRefused) this.#turnedAway = error
  }

  /** It took the space in, or is to be asked again. */
  welcomed(): void {
    this.#turnedAway = undefined
    this.#isForgotten = false
  }

  /** The relay lost the end of the log: it gets back what this replica has of it (DESIGN §5.5). */
  async #restore(error: SealogError): Promise<void> {
    const { channel, store, log, problems, environment } = this.#options
    const over = channel.guard()
    try {
      const isBehind = error.code === 'ERR_RELAY_BEHIND'
      const from = isBehind ? error.details.index : await sizeOfBehind(channel, store, log.view, log.note)
      if (from === undefined) throw error
      const message = `the relay has ${from} entries of ${log.view.range.size}`
      problems.add('restore', { code: 'ERR_RELAY_BEHIND', message, since: environment.now() })
      await restoreRelay(channel, store, log.view, log.note, from)
      problems.clear('restore')
      if (!over()) channel.open()
    } catch (failure) {
      if (over()) return
      // It does not wait for what it lost, but has gone on without.
      if (hasCode(failure, 'ERR_ROLLBACK')) problems.clear('restore')
      channel.fault(
        this.#explained(error, asSealogError(failure, 'ERR_RELAY_BEHIND', 'the relay could not be restored')),
      )
    }
  }

  /**
   * A relay that forgot this device and lacks nothing has another log; or somebody else has just given back what it had
   * lost. So what it said is taken for what it is only when it says so twice.
   */
  #explained(refusal: SealogError, failure: SealogError): SealogError {
    if (refusal.code !== 'ERR_UNAUTHORIZED' || failure.code !== 'ERR_ROLLBACK') return failure
    const isFirst = !this.#isForgotten
    this.#isForgotten = true
    return isFirst ? refusal : failure
  }
}
