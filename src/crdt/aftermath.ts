import { asSealogError, type SealogError } from '../errors.ts'
import type { VerifiedEntry } from '../verify/log.ts'
import type { SpaceSyncOptions } from './space-sync-options.ts'
import type { SyncParts } from './sync-assembly.ts'
import { endedByRemoval } from './sync-ends.ts'

type Needed =
  | 'admission'
  | 'aid'
  | 'caretaker'
  | 'channel'
  | 'gate'
  | 'log'
  | 'missing'
  | 'openings'
  | 'outbound'
  | 'replication'
  | 'retired'
  | 'standing'

export interface AftermathOptions
  extends Pick<SyncParts, Needed>,
    Pick<SpaceSyncOptions, 'documents' | 'problems' | 'onStore' | 'onUpdate' | 'onEntries'> {
  /** Every entry of the relay's log is here. */
  readonly isCurrent: () => boolean
  /** Nothing of this replica waits for the relay. */
  readonly isSettled: () => boolean
  /** Nothing comes or goes any more. */
  readonly onEnded: (reason: SealogError) => void
}

/** What follows once a batch is in the store, and in which order. Whatever fails here takes none of it back. */
export class Aftermath {
  readonly #options: AftermathOptions

  constructor(options: AftermathOptions) {
    this.#options = options
  }

  /** These entries count: whoever waited for one of them is told. @throws SealogError ERR_STORE… */
  async count(entries: readonly VerifiedEntry[]): Promise<void> {
    const { openings, problems, outbound, replication, retired, onEntries } = this.#options
    openings.welcomed()
    problems.clear('sync')
    problems.clear('restore')
    outbound.settle(entries)
    replication.noticed(entries)
    onEntries(entries)
    await retired.carryOver()
  }

  /** As the log stands now: what is to be sent goes first, then what is missing here, then what helps others. */
  async goOn(): Promise<void> {
    const { admission, standing, openings, channel, documents, onEnded, onStore } = this.#options
    if (standing.isJustAdmitted) await admission.finish()
    // Nothing more comes of a space that this device was removed from: it was told by a proven entry.
    if (standing.removed !== undefined) onEnded(endedByRemoval())
    else if (openings.isOutdated) channel.open()
    await documents.tidy().catch(error => onStore(asSealogError(error, 'ERR_STORE', 'the store failed')))
    const { log, outbound, gate, replication, missing, caretaker, aid, isSettled, isCurrent, onUpdate } = this.#options
    outbound.clearProblems({ view: log.view }, isSettled())
    gate.tellReader()
    onUpdate()
    outbound.pump()
    if (!isCurrent()) return
    replication.resume()
    missing.resume(onUpdate)
    caretaker.look()
    aid.look()
  }
}
