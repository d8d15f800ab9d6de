import {
  asArray,
  asBytes,
  asBytesUpTo,
  asOptional,
  asTuple,
  asUint,
  decodeCbor,
  encodeCbor,
  optional,
} from '../codec.ts'
import { idBytes, type MemberId, memberIdOf } from '../ids.ts'
import { decodeControlState, encodeControlState } from '../verify/control-rows.ts'
import type { LogView } from '../verify/log.ts'
import { decodeDocuments, encodeKnown } from '../verify/tracer.ts'
import { readRow } from './rows.ts'
import { decodeViewRow, encodeViewRow } from './view-rows.ts'

/** What a replica rests on that skipped a part of the log: the one who invited it, or members who cosigned. */
export type Vouchers = 'inviter' | readonly MemberId[]

/** A skip that has yet to be audited. */
export interface Vouched {
  /** The checkpoint that was skipped to, as the relay signed it. */
  readonly target: { readonly size: number; readonly note: Uint8Array }
  readonly by: Vouchers
  /** How far the audit has come: at first, what was verified before the skip. */
  readonly audited: LogView
  /** The relay's note of that first view, where there is one. */
  readonly note: Uint8Array | undefined
}

const MAX_TRUST: number = 256 * 1024 * 1024

export function encodeTrustRow({ target, by, audited, note }: Vouched): Uint8Array {
  const { state } = audited
  return encodeCbor([
    [target.size, target.note],
    optional(by === 'inviter' ? undefined : by, members => members.map(idBytes)),
    encodeViewRow(audited, note),
    optional(state && encodeControlState(state.control), bytes => bytes),
    optional(state && encodeKnown(state.documents), bytes => bytes),
  ])
}

/** @throws SealogError ERR_STORE_CORRUPT */
export function decodeTrustRow(bytes: Uint8Array): Vouched {
  return readRow('trust', () => {
    const fields = asTuple(decodeCbor(bytes, MAX_TRUST), 5, 'trust')
    const target = asTuple(fields[0], 2, 'target')
    // Nobody else need answer for it where an own device does, and the policy asks for no more.
    const members = asOptional(fields[1], 'vouchers', (item, what) =>
      asArray(item, 4096, what).map(each => memberIdOf(asBytes(each, 16, 'voucher'))),
    )
    const { view, note } = decodeViewRow(asBytesUpTo(fields[2], MAX_TRUST, 'audited view'), undefined)
    const control = asOptional(fields[3], 'control', (item, what) => asBytesUpTo(item, MAX_TRUST, what))
    const documents = asOptional(fields[4], 'documents', (item, what) => asBytesUpTo(item, MAX_TRUST, what))
    const state =
      control === undefined || documents === undefined
        ? undefined
        : { control: decodeControlState(control), documents: decodeDocuments(documents, MAX_TRUST) }
    return {
      target: {
        size: asUint(target[0], 'size'),
        note: asBytesUpTo(target[1], 16 * 1024, 'note'),
      },
      by: members ?? 'inviter',
      audited: { ...view, state, head: undefined },
      note,
    }
  })
}
