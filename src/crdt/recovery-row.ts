import { toUtf8 } from '../bytes.ts'
import { asArray, asBytes, asTuple, asUint, decodeCbor, encodeCbor } from '../codec.ts'
import { idBytes, type SpaceId, spaceIdOf } from '../ids.ts'
import { readRow } from './rows.ts'
import type { ReplicaStore } from './store.ts'

/** The seed of the recovery phrase, and the spaces that it brings back; one of the rows that `protect` seals. */
export interface RecoveryRow {
  /** 32 bytes. */
  readonly seed: Uint8Array
  readonly covered: readonly SpaceId[]
}

const KEY: Uint8Array = toUtf8('recovery')
const VERSION = 1
const MAX_ROW: number = 64 * 1024

/** @throws SealogError ERR_STORE… */
export async function loadRecovery(store: ReplicaStore): Promise<RecoveryRow | undefined> {
  const bytes = await store.get(KEY)
  if (bytes === undefined) return undefined
  return readRow('recovery', () => {
    const fields = asTuple(decodeCbor(bytes, MAX_ROW), 3, 'recovery')
    asUint(fields[0], 'version', VERSION)
    return {
      seed: asBytes(fields[1], 32, 'seed'),
      covered: asArray(fields[2], 1000, 'covered').map(item => spaceIdOf(asBytes(item, 32, 'space'))),
    }
  })
}

/** @param row undefined: there is none any more @throws SealogError ERR_STORE… */
export async function keepRecovery(store: ReplicaStore, row: RecoveryRow | undefined): Promise<void> {
  if (row === undefined) return store.commit({ puts: [], deletes: [KEY] })
  const bytes = encodeCbor([VERSION, row.seed, row.covered.map(idBytes)])
  await store.commit({ puts: [[KEY, bytes]], deletes: [] })
}
