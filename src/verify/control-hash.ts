import { labelledHash, sha256 } from '../crypto/hash.ts'
import { encodeControlCore } from './control-core.ts'
import { encodeDeviceRecord, encodeEpochRecord, encodeMemberRecord } from './control-records.ts'
import type { ControlState } from './control-state.ts'

/** Records are immutable and most stay as they are, while every control entry changes the state. */
const recordHashes = new WeakMap<object, Uint8Array>()
/** The state root is due with every batch, and few batches touch the control state. */
const stateHashes = new WeakMap<ControlState, Uint8Array>()

/** What the state root commits to of it. @returns 32 bytes */
export function hashControl(control: ControlState): Uint8Array {
  return remembered(stateHashes, control, () =>
    labelledHash(
      'sealog/v1/control-state',
      sha256(encodeControlCore(control)),
      hashRecords([...control.devices.values()], encodeDeviceRecord),
      hashRecords([...control.members.values()], encodeMemberRecord),
      hashRecords(control.epochs, encodeEpochRecord),
    ),
  )
}

function hashRecords<Item extends object>(records: readonly Item[], encode: (record: Item) => Uint8Array): Uint8Array {
  // Not as arguments: records are never forgotten, and a call takes only so many before it fails.
  const hashes = new Uint8Array(32 * records.length)
  for (const [i, record] of records.entries()) {
    hashes.set(
      remembered(recordHashes, record, () => sha256(encode(record))),
      32 * i,
    )
  }
  return sha256(hashes)
}

function remembered<Key extends object>(
  cache: WeakMap<Key, Uint8Array>,
  key: Key,
  compute: () => Uint8Array,
): Uint8Array {
  const known = cache.get(key)
  if (known !== undefined) return known
  const hash = compute()
  cache.set(key, hash)
  return hash
}
