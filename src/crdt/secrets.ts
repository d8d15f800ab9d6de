import {
  asArray,
  asBytes,
  asBytesUpTo,
  asOptional,
  asText,
  asTuple,
  asUint,
  decodeCbor,
  encodeCbor,
  optional,
} from '../codec.ts'
import { deriveEpoch, type EpochKeys } from '../crypto/epoch.ts'
import { documentKey, tagKey } from '../crypto/keyring.ts'
import { SealogError } from '../errors.ts'
import { type DocumentId, idBytes, type MemberId, memberIdOf } from '../ids.ts'
import type { SignedEntry } from '../verify/entry.ts'
import { readRow } from './rows.ts'

/** The two private keys of one device in one space, as seeds of 32 bytes. */
export interface DeviceSecrets {
  readonly signing: Uint8Array
  readonly kem: Uint8Array
}

/** A control entry without which this device is nobody in the space: kept until it is proven. */
export type Admission =
  | { readonly type: 'genesis'; readonly entry: SignedEntry }
  | {
      readonly type: 'join'
      readonly provisional: DeviceSecrets
      /** Where the invite stands in the log. */
      readonly index: number
      /** The clear body of the join, once it was prepared. */
      readonly body: Uint8Array | undefined
    }

/** All that a replica must keep secret about one space. */
export interface SpaceSecrets {
  readonly url: string
  readonly member: MemberId
  readonly device: DeviceSecrets
  /** 8 bytes: this replica's chain of control entries. */
  readonly incarnation: Uint8Array
  /** `S_e` of each epoch, 32 bytes; empty before the wrap of an invite was opened. */
  readonly epochs: readonly Uint8Array[]
  /** Names as plain text, to be sealed when the join is written. */
  readonly memberName: string
  readonly deviceName: string
  readonly admission: Admission | undefined
}

export function encodeSecrets(secrets: SpaceSecrets): Uint8Array {
  const { admission } = secrets
  return encodeCbor([
    secrets.url,
    idBytes(secrets.member),
    secrets.device.signing,
    secrets.device.kem,
    secrets.incarnation,
    secrets.epochs,
    secrets.memberName,
    secrets.deviceName,
    admission?.type === 'genesis' ? [admission.entry.header, admission.entry.signature, admission.entry.body] : [],
    admission?.type === 'join'
      ? [
          admission.provisional.signing,
          admission.provisional.kem,
          admission.index,
          optional(admission.body, body => body),
        ]
      : [],
  ])
}

/** @throws SealogError ERR_STORE_CORRUPT */
export function decodeSecrets(bytes: Uint8Array): SpaceSecrets {
  return readRow('secrets', () => {
    const fields = asTuple(decodeCbor(bytes, 16 * 1024 * 1024), 10, 'secrets')
    return {
      url: asText(fields[0], 2048, 'url'),
      member: memberIdOf(asBytes(fields[1], 16, 'member')),
      device: { signing: asBytes(fields[2], 32, 'signing seed'), kem: asBytes(fields[3], 32, 'KEM seed') },
      incarnation: asBytes(fields[4], 8, 'incarnation'),
      epochs: asArray(fields[5], 100_000, 'epochs').map(secret => asBytes(secret, 32, 'epoch secret')),
      memberName: asText(fields[6], 256, 'member name'),
      deviceName: asText(fields[7], 256, 'device name'),
      admission: asAdmission(fields[8], fields[9]),
    }
  })
}

type Item = Parameters<typeof asArray>[0]

function asAdmission(genesis: Item, join: Item): Admission | undefined {
  if (asArray(genesis, 3, 'genesis').length > 0) {
    const parts = asTuple(genesis, 3, 'genesis')
    const entry = {
      header: asBytesUpTo(parts[0], 1024, 'header'),
      signature: asBytes(parts[1], 64, 'signature'),
      body: asBytesUpTo(parts[2], 64 * 1024, 'body'),
    }
    return { type: 'genesis', entry }
  }
  if (asArray(join, 4, 'join').length > 0) {
    const parts = asTuple(join, 4, 'join')
    const provisional = { signing: asBytes(parts[0], 32, 'signing seed'), kem: asBytes(parts[1], 32, 'KEM seed') }
    const body = asOptional(parts[3], 'body', (item, what) => asBytesUpTo(item, 64 * 1024, what))
    return { type: 'join', provisional, index: asUint(parts[2], 'index'), body }
  }
  return undefined
}

/** The keys of a space, derived once from its epoch secrets. */
export class SpaceKeys {
  readonly #epochs: readonly EpochKeys[]
  readonly #cache = new Map<string, { readonly content: Uint8Array; readonly tag: Uint8Array }>()

  constructor(epochs: readonly Uint8Array[]) {
    this.#epochs = epochs.map(secret => deriveEpoch(secret))
  }

  get latestEpoch(): number {
    return this.#epochs.length - 1
  }

  /** `S_e`, 32 bytes. @throws SealogError ERR_OPEN for an epoch whose secret this replica does not have */
  secret(epoch: number): Uint8Array {
    return this.#derived(epoch).secret
  }

  /** `R_e`, 32 bytes. @throws SealogError ERR_OPEN for an epoch whose secret this replica does not have */
  readSecret(epoch: number): Uint8Array {
    return this.#derived(epoch).readSecret
  }

  #derived(epoch: number): EpochKeys {
    const derived = this.#epochs[epoch]
    if (derived === undefined) throw new SealogError('ERR_OPEN', `no key for epoch ${epoch}`)
    return derived
  }

  /** Content and tag key of a document born in epoch `birth`, for an entry of `epoch`. */
  forDocument(document: DocumentId, birth: number, epoch: number): { content: Uint8Array; tag: Uint8Array } {
    const cached = this.#cache.get(`${document}/${epoch}`)
    if (cached !== undefined) return cached
    const context = {
      readSecret: this.readSecret(epoch),
      birthReadSecret: this.readSecret(birth),
      document: idBytes(document),
    }
    const keys = { content: documentKey(context), tag: tagKey(context) }
    if (this.#cache.size >= 4096) this.#cache.clear()
    this.#cache.set(`${document}/${epoch}`, keys)
    return keys
  }
}
