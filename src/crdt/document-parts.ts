import type { Random } from '../environment.ts'
import type { SealogError } from '../errors.ts'
import type { ActorId, DocumentId, SpaceId } from '../ids.ts'
import type { PatchBatch } from './content.ts'
import { ContentIntake } from './content-intake.ts'
import { DocumentAdoption } from './document-adoption.ts'
import { DocumentLedger } from './document-ledger.ts'
import type { Stopped } from './document-meta.ts'
import { DocumentOpening } from './document-opening.ts'
import { DocumentRows } from './document-rows.ts'
import { LocalFlush } from './local-flush.ts'
import { OpenCores } from './open-cores.ts'
import { Parking } from './parking.ts'
import type { KeysOf } from './receive.ts'
import { SnapshotSupply } from './snapshot-supply.ts'
import type { ReplicaStore } from './store.ts'

export interface DocumentSetOptions {
  readonly space: SpaceId
  readonly store: ReplicaStore
  readonly random: Random
  /** Own Ed25519 key, 32 bytes. */
  readonly devicePublicKey: Uint8Array
  /** Does somebody hold this document open? */
  readonly isUsed: (document: DocumentId) => boolean
  /** Content of a document that is open became another. */
  readonly onChanged: (document: DocumentId, batch: PatchBatch, source: 'remote' | 'reload') => void
  /** Keys of bodies that were kept aside. */
  readonly keysOf: KeysOf
  /** Nothing more of these actors is applied, from other entries than before. */
  readonly onStopped: (document: DocumentId, stopped: ReadonlyMap<ActorId, Stopped>) => void
  /** An actor that was parked goes on. */
  readonly onReleased: (document: DocumentId, actor: ActorId) => void
  /** Own changes went into the store, or failed to. */
  readonly onFlush: (failure: SealogError | undefined) => void
}

/** Everything that keeps them. */
export interface DocumentParts {
  readonly ledger: DocumentLedger
  readonly rows: DocumentRows
  readonly cores: OpenCores
  readonly flush: LocalFlush
  readonly intake: ContentIntake
  readonly parking: Parking
  readonly supply: SnapshotSupply
  readonly opening: DocumentOpening
  readonly adoption: DocumentAdoption
}

/**
 * Who knows whom: each part is handed what it needs of the others, and nothing more.
 * @param exclusive see `DocumentSet.exclusive`
 */
export function assembleDocuments(
  options: DocumentSetOptions,
  exclusive: <T>(task: () => Promise<T>) => Promise<T>,
): DocumentParts {
  const rows = new DocumentRows(options.space, options.store)
  const ledger = new DocumentLedger(rows, options.store)
  const cores = new OpenCores({ ...options, ledger })
  const parts = { ...options, rows, ledger, cores }
  const flush = new LocalFlush({ ...parts, exclusive })
  const intake = new ContentIntake({ ...parts, flush })
  const parking = new Parking({ ...parts, take: (core, files, tips) => intake.take(core, files, tips) })
  const supply = new SnapshotSupply({
    ...parts,
    displace: (core, proven) => intake.displace(core, proven),
    release: core => parking.release(core),
  })
  const opening = new DocumentOpening({ ...parts, intake, parking })
  const adoption = new DocumentAdoption({ ...parts, opening, intake, parking })
  return { ledger, rows, cores, flush, intake, parking, supply, opening, adoption }
}
