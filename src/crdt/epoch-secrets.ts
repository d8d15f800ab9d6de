import { namesSecretOf } from '../crypto/commitments.ts'
import { assertCommits, assertNamesCommits, assertReadCommits, deriveEpoch } from '../crypto/epoch.ts'
import { documentKey, tagKey } from '../crypto/keyring.ts'
import { SealogError } from '../errors.ts'
import { DIRECTORY_DOCUMENT, type DocumentId, idBytes } from '../ids.ts'
import type { EpochStart } from '../verify/control.ts'

/**
 * What a replica knows of the secrets of one epoch, 32 bytes: `all` is `S_e`, from which the others follow; `read` is
 * `R_e`, for members that may read from their admission on; `names` is `N_e`, which is all they get of older epochs.
 */
export interface EpochSecret {
  readonly kind: 'all' | 'read' | 'names'
  readonly secret: Uint8Array
}

interface Derived {
  readonly all: Uint8Array | undefined
  readonly read: Uint8Array | undefined
  readonly names: Uint8Array
}

/** Content and tag key of a document, 32 bytes each. */
export interface DocumentKeys {
  readonly content: Uint8Array
  readonly tag: Uint8Array
}

/** The keys of a space, derived from its epoch secrets when they are needed. Every secret here met its commitment. */
export class SpaceKeys {
  readonly #secrets: ReadonlyMap<number, EpochSecret>
  readonly #derived = new Map<number, Derived>()
  readonly #documents = new Map<string, DocumentKeys>()

  constructor(secrets: ReadonlyMap<number, EpochSecret>) {
    this.#secrets = secrets
  }

  kindOf(epoch: number): EpochSecret['kind'] | undefined {
    return this.#secrets.get(epoch)?.kind
  }

  /** May content of this epoch be opened? */
  canRead(epoch: number): boolean {
    const kind = this.kindOf(epoch)
    return kind === 'all' || kind === 'read'
  }

  /** `S_e`, 32 bytes. @throws SealogError ERR_KEY for an epoch whose secret this replica does not have */
  secret(epoch: number): Uint8Array {
    return known(this.#of(epoch)?.all, epoch)
  }

  /** `R_e`, 32 bytes. @throws SealogError ERR_KEY */
  readSecret(epoch: number): Uint8Array {
    return known(this.#of(epoch)?.read, epoch)
  }

  /** `N_e`, 32 bytes. @throws SealogError ERR_KEY */
  namesSecret(epoch: number): Uint8Array {
    return known(this.#of(epoch)?.names, epoch)
  }

  /**
   * Content and tag key of a document born in epoch `birth`, for an entry of `epoch`. Those of the directory follow from
   * the names secrets: every member knows what documents there are.
   * @throws SealogError ERR_KEY
   */
  forDocument(document: DocumentId, birth: number, epoch: number): DocumentKeys {
    const name = `${document}/${birth}/${epoch}`
    const cached = this.#documents.get(name)
    if (cached !== undefined) return cached
    const isDirectory = document === DIRECTORY_DOCUMENT
    const of = (at: number): Uint8Array => (isDirectory ? this.namesSecret(at) : this.readSecret(at))
    const context = { readSecret: of(epoch), birthReadSecret: of(birth), document: idBytes(document) }
    const keys = { content: documentKey(context), tag: tagKey(context) }
    if (this.#documents.size >= 4096) this.#documents.clear()
    this.#documents.set(name, keys)
    return keys
  }

  #of(epoch: number): Derived | undefined {
    const entry = this.#secrets.get(epoch)
    const derived = this.#derived.get(epoch) ?? (entry && derive(entry))
    if (derived !== undefined) this.#derived.set(epoch, derived)
    return derived
  }
}

/** @throws SealogError ERR_KEY unless it is the secret that the epoch commits to */
export function assertIsSecretOf({ kind, secret }: EpochSecret, commitments: EpochStart): void {
  if (kind === 'all') assertCommits(secret, commitments)
  if (kind === 'read') assertReadCommits(secret, commitments.readCommit)
  if (kind === 'names') assertNamesCommits(secret, commitments.readCommit)
}

function derive({ kind, secret }: EpochSecret): Derived {
  if (kind === 'names') return { all: undefined, read: undefined, names: secret }
  const read = kind === 'all' ? deriveEpoch(secret).readSecret : secret
  return { all: kind === 'all' ? secret : undefined, read, names: namesSecretOf(read) }
}

function known(secret: Uint8Array | undefined, epoch: number): Uint8Array {
  if (secret === undefined) throw new SealogError('ERR_KEY', `no key for epoch ${epoch}`)
  return secret
}
