import {
  type ActorId,
  appendLeaf,
  applyHeader,
  type Checkpoint,
  CONTROL_DOCUMENT,
  type CompactRange,
  type DocumentId,
  emptyRange,
  encodeControlBody,
  encodeHeader,
  encodeNote,
  encodeNoteText,
  entryHash,
  entrySigningInput,
  type Header,
  type LogView,
  noteKeyHash,
  originOf,
  type PinnedRelay,
  rootOf,
  type SpaceId,
  type SpaceState,
  sha256,
  spaceIdOf,
  stateRoot,
  ZERO_32,
} from 'sealog/protocol'
import { genesisBody, TIME } from './synthetic-genesis.ts'
import { bytesOf, newSigner, type Signer } from './synthetic-keys.ts'

export interface SyntheticEntry {
  readonly header: Uint8Array
  readonly signature: Uint8Array
  readonly decoded: Header
  readonly actor: ActorId
}

interface Chain {
  readonly seq: number
  readonly hash: Uint8Array
}

/** A log of one device, with the relay's notes, that `advance` accepts: what bodies hold is no matter here. */
export class SyntheticLog {
  readonly relay: PinnedRelay
  readonly space: SpaceId
  state: SpaceState
  readonly #relaySigner: Signer = newSigner()
  readonly #device: Signer = newSigner()
  readonly #incarnation: Uint8Array = bytesOf('incarnation').slice(0, 8)
  readonly #spaceBytes: Uint8Array
  readonly #chains = new Map<DocumentId, Chain>()
  #range: CompactRange = emptyRange
  #seen: { readonly size: number; readonly root: Uint8Array }

  /** @param withDocuments what the space has from the start, beside the genesis */
  constructor(withDocuments: (state: SpaceState) => SpaceState) {
    this.relay = { name: 'relay.test', key: this.#relaySigner.publicKey }
    const body = encodeControlBody(genesisBody(this.relay, this.#device))
    const header: Header = {
      ...this.#nextHeader(CONTROL_DOCUMENT, { size: 0, root: rootOf(emptyRange) }),
      kind: 'control',
      space: ZERO_32,
      tag: ZERO_32,
      bodyHash: sha256(body),
      bodyLength: body.length,
    }
    const hash = entryHash(encodeHeader(header))
    const reduced = applyHeader(undefined, { header, hash, index: 0, seenRoot: header.seenRoot, controlBody: body })
    this.#spaceBytes = hash
    this.space = spaceIdOf(hash)
    this.state = withDocuments(reduced.state)
    this.#range = appendLeaf(this.#range, hash)
    this.#seen = { size: 1, root: rootOf(this.#range) }
  }

  get size(): number {
    return this.#range.size
  }

  #nextHeader(document: DocumentId, seen: { readonly size: number; readonly root: Uint8Array }): Header {
    const chain = this.#chains.get(document)
    const label = `${document} ${chain?.seq ?? -1}`
    return {
      space: this.#spaceBytes ?? ZERO_32,
      document,
      device: 0,
      incarnation: this.#incarnation,
      seq: chain === undefined ? 0 : chain.seq + 1,
      prev: chain?.hash ?? ZERO_32,
      seenSize: seen.size,
      seenRoot: seen.root,
      epoch: 0,
      kind: 'changes',
      tag: bytesOf(`tag ${label}`),
      bodyHash: bytesOf(`body ${label}`),
      bodyLength: 400,
    }
  }

  /** What has been appended is seen by the author from now on. */
  see(): void {
    this.#seen = { size: this.size, root: rootOf(this.#range) }
  }

  /** Appends one entry of a document, as the relay does. */
  append(document: DocumentId): SyntheticEntry {
    const header = this.#nextHeader(document, this.#seen)
    const encoded = encodeHeader(header)
    const hash = entryHash(encoded)
    const at = { header, hash, index: this.size, seenRoot: header.seenRoot, controlBody: undefined }
    const { state, actor } = applyHeader(this.state, at)
    this.state = state
    this.#chains.set(document, { seq: header.seq, hash })
    this.#range = appendLeaf(this.#range, hash)
    return { header: encoded, signature: this.#device.sign(entrySigningInput(hash)), decoded: header, actor }
  }

  /** The relay's signed checkpoint of the log as it is. */
  note(): Uint8Array {
    const checkpoint = this.#checkpoint()
    const { origin } = checkpoint
    const signature = this.#relaySigner.sign(encodeNoteText(checkpoint))
    return encodeNote(checkpoint, [{ name: origin, keyHash: noteKeyHash(origin, this.relay.key), signature }])
  }

  /** A replica that has verified the log as it is. */
  view(): LogView {
    const { relay, space, state } = this
    const head = this.#checkpoint()
    return { space, relay, state, head, range: this.#range, anchors: [], controlRoot: undefined }
  }

  #checkpoint(): Checkpoint {
    return {
      origin: originOf(this.relay.name, this.space),
      size: this.size,
      root: rootOf(this.#range),
      stateRoot: stateRoot(this.state),
      time: TIME + this.size,
    }
  }
}
