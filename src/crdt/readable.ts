import { DIRECTORY_DOCUMENT, type DocumentId } from '../ids.ts'
import type { SpaceKeys } from './epoch-secrets.ts'

/** Content needs the key of the epoch in which its document was born; what documents there are, all members know. */
export function isReadable(keys: SpaceKeys, document: DocumentId, birthEpoch: number): boolean {
  return document === DIRECTORY_DOCUMENT ? keys.kindOf(birthEpoch) !== undefined : keys.canRead(birthEpoch)
}
