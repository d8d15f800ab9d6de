import type { Environment } from '../environment.ts'
import type { Cosigner } from './cosigner.ts'
import type { DocumentSet } from './document-set.ts'
import type { KeptLog } from './kept-log.ts'
import type { Outbound } from './outbound.ts'
import type { Replication } from './replication.ts'
import { isSnapshotDue, type SnapshotLimits } from './snapshot-writer.ts'
import { type Standing, signerOf } from './standing.ts'

export interface CatchUpAidOptions {
  readonly log: Pick<KeptLog, 'view' | 'note'>
  readonly standing: Standing
  readonly cosigner: Cosigner
  readonly outbound: Pick<Outbound, 'snapshot'>
  readonly replication: Pick<Replication, 'isKnown' | 'vouched' | 'unchecked'>
  readonly documents: Pick<DocumentSet, 'metas' | 'meta'>
  readonly environment: Environment
  readonly limits: SnapshotLimits
}

/** What helps others to catch up (DESIGN §5.4): snapshots, and a word for the log that was verified here. */
export class CatchUpAid {
  readonly #options: CatchUpAidOptions
  #cancelSnapshots: (() => void) | undefined

  constructor(options: CatchUpAidOptions) {
    this.#options = options
  }

  close(): void {
    this.#cancelSnapshots?.()
  }

  /** Looks whether any is due; where every entry of the relay's log is here. */
  look(): void {
    const { log, standing, cosigner, replication } = this.#options
    const { device, secrets } = standing
    if (device === undefined || secrets.admission !== undefined || log.note === undefined) return
    if (replication.vouched === undefined) {
      void cosigner.resume(log.view, log.note, device, signerOf(secrets.device))
    }
    if (this.#cancelSnapshots === undefined && standing.isWriter) this.#planSnapshots()
  }

  /** After a random wait: whoever is faster spares the others. */
  #planSnapshots(): void {
    const { documents, environment, limits, outbound, replication } = this.#options
    const share = (environment.random(1)[0] ?? 0) / 255
    const due = [...documents.metas()].filter(meta => isSnapshotDue(meta, limits, share))
    if (due.length === 0) return
    this.#cancelSnapshots = environment.schedule(limits.delay * share, () => {
      this.#cancelSnapshots = undefined
      for (const { document } of due) {
        const isDue = isSnapshotDue(documents.meta(document), limits, 0)
        // Nobody passes on what it was told, before it was checked.
        const isSound = replication.isKnown(document) && !replication.unchecked.has(document)
        if (isDue && isSound) outbound.snapshot(document)
      }
    })
  }
}
