import { asBytes, asTuple, asUint, decodeCbor, encodeCbor } from '../codec.ts'
import { idBytes, type MemberId, memberIdOf, type SpaceId } from '../ids.ts'
import type { LogView, VerifiedEntry } from '../verify/log.ts'
import { readRow, spaceKey } from './rows.ts'
import type { StoreRow } from './store.ts'

/** Another member had verified a log of this size, as an entry of theirs shows that came at this time. */
export interface Confirmation {
  readonly member: MemberId
  readonly size: number
  /** Unix time in milliseconds, as the relay signed it with the entry. */
  readonly at: number
}

/**
 * Who else has seen this log (DESIGN §5.5). A relay that keeps members on different branches, or that shows one of them
 * nothing new, cannot have them confirm each other: every entry names what its author had seen, in this very log.
 */
export class Freshness {
  #latest: Confirmation | undefined

  constructor(stored: Uint8Array | undefined) {
    this.#latest = stored === undefined ? undefined : decodeConfirmation(stored)
  }

  /** The largest log that another member has confirmed. */
  get latest(): Confirmation | undefined {
    return this.#latest
  }

  /** What verified entries say beyond that, if anything; to be stored with them, and kept once they are. */
  after(entries: readonly VerifiedEntry[], { state, head }: LogView, self: MemberId): Confirmation | undefined {
    let latest = this.#latest
    for (const { header } of entries) {
      const member = state?.control.devices.get(header.device)?.member
      if (member === undefined || member === self || head === undefined) continue
      if (header.seenSize >= (latest?.size ?? 1)) latest = { member, size: header.seenSize, at: head.time }
    }
    return latest === this.#latest ? undefined : latest
  }

  keep(confirmation: Confirmation): void {
    this.#latest = confirmation
  }
}

export function confirmationRow(space: SpaceId, { member, size, at }: Confirmation): StoreRow {
  return [spaceKey(space, 'confirmed'), encodeCbor([idBytes(member), size, at])]
}

function decodeConfirmation(bytes: Uint8Array): Confirmation {
  return readRow('confirmation', () => {
    const fields = asTuple(decodeCbor(bytes, 128), 3, 'confirmation')
    return {
      member: memberIdOf(asBytes(fields[0], 16, 'member')),
      size: asUint(fields[1], 'size'),
      at: asUint(fields[2], 'at'),
    }
  })
}
