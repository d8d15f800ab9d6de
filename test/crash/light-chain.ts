import {
  type DocumentId,
  encodeHeader,
  entryHash,
  entrySigningInput,
  type PushEntry,
  type Random,
  type SigningKey,
  sha256,
  ZERO_32,
} from 'sealog/protocol'

/** An entry that waits to be acknowledged: sent again, byte for byte, until it comes back in the log. */
export interface Sealed extends PushEntry {
  /** Leaf hash, 32 bytes. */
  readonly hash: Uint8Array
}

export interface LightChainOptions {
  /** Leaf hash of the genesis, 32 bytes. */
  readonly space: Uint8Array
  readonly document: DocumentId
  /** Number of the device in the log. */
  readonly device: number
  readonly key: SigningKey
  readonly random: Random
}

/** One actor's chain of entries whose content is noise, as a blind relay sees them. */
export class LightChain {
  readonly #options: LightChainOptions
  readonly #incarnation: Uint8Array
  #seq = 0
  #prev: Uint8Array = ZERO_32

  constructor(options: LightChainOptions) {
    this.#options = options
    this.#incarnation = options.random(8)
  }

  /** The next entry, by an author who has seen this much of the log. @param bodyLength in bytes */
  async seal(seen: { readonly size: number; readonly root: Uint8Array }, bodyLength: number): Promise<Sealed> {
    const { space, document, device, key, random } = this.#options
    const body = random(bodyLength)
    const header = encodeHeader({
      space,
      document,
      device,
      incarnation: this.#incarnation,
      seq: this.#seq,
      prev: this.#prev,
      seenSize: seen.size,
      seenRoot: seen.root,
      epoch: 0,
      kind: 'changes',
      tag: random(32),
      bodyHash: sha256(body),
      bodyLength,
    })
    const hash = entryHash(header)
    this.#seq++
    this.#prev = hash
    return { header, body, hash, signature: await key.sign(entrySigningInput(hash)) }
  }
}
