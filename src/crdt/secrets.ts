import {
  asArray,
  asBytes,
  asBytesUpTo,
  asOptional,
  asText,
  asTuple,
  asUint,
  type Cbor,
  decodeCbor,
  encodeCbor,
  optional,
} from '../codec.ts'
import { idBytes, type MemberId, memberIdOf } from '../ids.ts'
import { MAX_ADMISSION_LENGTH } from '../relay/message-limits.ts'
import type { SignedEntry } from '../verify/entry.ts'
import type { EpochSecret } from './epoch-secrets.ts'
import { readRow } from './rows.ts'

/** The two private keys of one device in one space, as seeds of 32 bytes. */
export interface DeviceSecrets {
  readonly signing: Uint8Array
  readonly kem: Uint8Array
}

/** A control entry without which this device is nobody in the space: kept until it is proven. */
export type Admission =
  | {
      readonly type: 'genesis'
      readonly entry: SignedEntry
      /** What a relay that does not let everybody create spaces is shown; at most `MAX_ADMISSION_LENGTH`. */
      readonly token: string | undefined
    }
  | {
      /** By a device that another one admitted for this purpose: `join` of an invite, or `add-device` after a recovery. */
      readonly type: 'join' | 'recovery'
      /** The keys of that device. */
      readonly provisional: DeviceSecrets
      /** Of an approved invite: the key under which the names are sealed for whoever approves, 32 bytes. */
      readonly nameKey: Uint8Array | undefined
      /** The clear body of the own entry, once it was prepared. */
      readonly body: Uint8Array | undefined
    }

/** All that a replica must keep secret about one space. */
export interface SpaceSecrets {
  readonly url: string
  readonly member: MemberId
  readonly device: DeviceSecrets
  /** 8 bytes: this replica's chain of control entries. */
  readonly incarnation: Uint8Array
  /** What is known of the secrets of each epoch. */
  readonly epochs: ReadonlyMap<number, EpochSecret>
  /** Names as plain text, to be sealed when the join is written. */
  readonly memberName: string
  readonly deviceName: string
  readonly admission: Admission | undefined
}

const KINDS = ['all', 'read', 'names'] as const satisfies readonly EpochSecret['kind'][]

export function encodeSecrets(secrets: SpaceSecrets): Uint8Array {
  const { admission } = secrets
  return encodeCbor([
    secrets.url,
    idBytes(secrets.member),
    secrets.device.signing,
    secrets.device.kem,
    secrets.incarnation,
    [...secrets.epochs].map(([epoch, { kind, secret }]) => [epoch, KINDS.indexOf(kind), secret]),
    secrets.memberName,
    secrets.deviceName,
    admission?.type === 'genesis' ? genesisFields(admission) : [],
    admission === undefined || admission.type === 'genesis'
      ? []
      : [
          admission.type === 'join' ? 0 : 1,
          admission.provisional.signing,
          admission.provisional.kem,
          optional(admission.nameKey, key => key),
          optional(admission.body, body => body),
        ],
  ])
}

/** @throws SealogError ERR_STORE_CORRUPT */
export function decodeSecrets(bytes: Uint8Array): SpaceSecrets {
  return readRow('secrets', () => {
    const fields = asTuple(decodeCbor(bytes, 64 * 1024 * 1024), 10, 'secrets')
    return {
      url: asText(fields[0], 2048, 'url'),
      member: memberIdOf(asBytes(fields[1], 16, 'member')),
      device: { signing: asBytes(fields[2], 32, 'signing seed'), kem: asBytes(fields[3], 32, 'KEM seed') },
      incarnation: asBytes(fields[4], 8, 'incarnation'),
      epochs: new Map(asArray(fields[5], 1_000_000, 'epochs').map(asEpochSecret)),
      memberName: asText(fields[6], 256, 'member name'),
      deviceName: asText(fields[7], 256, 'device name'),
      admission: asGenesis(fields[8]) ?? asJoin(fields[9]),
    }
  })
}

function asEpochSecret(item: Cbor): [number, EpochSecret] {
  const fields = asTuple(item, 3, 'epoch secret')
  const kind = KINDS[asUint(fields[1], 'kind of secret', KINDS.length - 1)] as EpochSecret['kind']
  return [asUint(fields[0], 'epoch'), { kind, secret: asBytes(fields[2], 32, 'epoch secret') }]
}

function genesisFields({ entry, token }: Extract<Admission, { readonly type: 'genesis' }>): Cbor[] {
  const fields = [entry.header, entry.signature, entry.body]
  return token === undefined ? fields : [...fields, token]
}

/** Without the token where there is none, as before there were any. */
function asGenesis(item: Cbor | undefined): Admission | undefined {
  const { length } = asArray(item, 4, 'genesis')
  if (length === 0) return undefined
  const parts = asTuple(item, length === 4 ? 4 : 3, 'genesis')
  const entry = {
    header: asBytesUpTo(parts[0], 1024, 'header'),
    signature: asBytes(parts[1], 64, 'signature'),
    body: asBytesUpTo(parts[2], 64 * 1024, 'body'),
  }
  const token = length === 4 ? asText(parts[3], MAX_ADMISSION_LENGTH, 'token') : undefined
  return { type: 'genesis', entry, token }
}

function asJoin(item: Cbor | undefined): Admission | undefined {
  if (asArray(item, 5, 'join').length === 0) return undefined
  const parts = asTuple(item, 5, 'join')
  return {
    type: asUint(parts[0], 'kind of admission', 1) === 0 ? 'join' : 'recovery',
    provisional: { signing: asBytes(parts[1], 32, 'signing seed'), kem: asBytes(parts[2], 32, 'KEM seed') },
    nameKey: asOptional(parts[3], 'name key', (key, what) => asBytes(key, 32, what)),
    body: asOptional(parts[4], 'body', (body, what) => asBytesUpTo(body, 64 * 1024, what)),
  }
}
