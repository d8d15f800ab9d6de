import { createHash } from 'node:crypto'
import {
  type ActorId,
  actorOf,
  authenticationInput,
  CONTROL_DOCUMENT,
  type DocumentId,
  EMPTY_ROOT,
  encodeControlBody,
  encodeHeader,
  encodeMessage,
  entryHash,
  entrySigningInput,
  type Header,
  type PinnedRelay,
  type PushEntry,
  type SpaceId,
  spaceIdOf,
  ZERO_32,
} from 'sealog/protocol'
import { genesisBody } from './synthetic-genesis.ts'
import { bytesOf, newSigner, type Signer } from './synthetic-keys.ts'
import { documentNumber } from './synthetic-space.ts'

const TAG: Uint8Array = bytesOf('tag')

/**
 * One space and its owner's device, which writes in as many documents as there are writers. Entries are made ahead of a
 * measurement, and quickly: what they hold is noise, but headers, hashes and signatures are right.
 */
export class AuthoredSpace {
  readonly space: SpaceId
  /** Of the first writer's chain. */
  readonly firstActor: ActorId
  readonly genesis: Required<Omit<PushEntry, 'wraps'>>
  readonly #relay: PinnedRelay
  readonly #device: Signer = newSigner()
  readonly #incarnation: Uint8Array = bytesOf('incarnation').slice(0, 8)
  readonly #spaceBytes: Uint8Array
  readonly #chains = new Map<DocumentId, { readonly seq: number; readonly hash: Uint8Array }>()
  #bodies = 0

  constructor(relay: PinnedRelay) {
    this.#relay = relay
    const body = encodeControlBody(genesisBody(relay, this.#device))
    const header: Header = {
      space: ZERO_32,
      document: CONTROL_DOCUMENT,
      device: 0,
      incarnation: this.#incarnation,
      seq: 0,
      prev: ZERO_32,
      seenSize: 0,
      seenRoot: EMPTY_ROOT,
      epoch: 0,
      kind: 'control',
      tag: ZERO_32,
      bodyHash: hashOf(body),
      bodyLength: body.length,
    }
    this.genesis = this.#entry(header, body)
    this.#spaceBytes = entryHash(this.genesis.header)
    this.space = spaceIdOf(this.#spaceBytes)
    this.firstActor = actorOf(this.#spaceBytes, documentNumber(0), this.#device.publicKey, this.#incarnation)
  }

  /** The key that all its entries are signed with, 32 bytes. */
  get signer(): Uint8Array {
    return this.#device.publicKey
  }

  /** Creates the space. */
  create(ref: number): Uint8Array {
    return encodeMessage({ type: 'push', ref, space: this.space, entries: [this.genesis] })
  }

  /** @param challenge of the socket's `welcome` */
  open(ref: number, challenge: Uint8Array, from = 0): Uint8Array {
    const device = this.#device.publicKey
    const signature = this.#device.sign(authenticationInput(this.#relay, challenge, this.space, device))
    return encodeMessage({ type: 'open', ref, space: this.space, from, device, signature, wants: undefined })
  }

  /** The next entry of one of the writers. */
  push(ref: number, writer: number, bodyLength: number): Uint8Array {
    return encodeMessage({ type: 'push', ref, space: this.space, entries: [this.#next(writer, bodyLength)] })
  }

  /** What the first writer's entry of this number says, behind `prev`; with a body of these bytes. */
  firstHeader(seq: number, prev: Uint8Array, body: Uint8Array): Header {
    return { ...this.#header(documentNumber(0), seq, prev), bodyHash: hashOf(body), bodyLength: body.length }
  }

  /** The next entry of one of the writers, who has seen the genesis. */
  #next(writer: number, bodyLength: number): PushEntry {
    const document = documentNumber(writer)
    const chain = this.#chains.get(document)
    const body = this.#body(bodyLength)
    const place = this.#header(document, chain === undefined ? 0 : chain.seq + 1, chain?.hash ?? ZERO_32)
    const entry = this.#entry({ ...place, bodyHash: hashOf(body), bodyLength }, body)
    this.#chains.set(document, { seq: place.seq, hash: entryHash(entry.header) })
    return entry
  }

  #header(document: DocumentId, seq: number, prev: Uint8Array): Omit<Header, 'bodyHash' | 'bodyLength'> {
    return {
      space: this.#spaceBytes,
      document,
      device: 0,
      incarnation: this.#incarnation,
      seq,
      prev,
      seenSize: 1,
      seenRoot: this.#spaceBytes,
      epoch: 0,
      kind: 'changes',
      tag: TAG,
    }
  }

  #entry(header: Header, body: Uint8Array): Required<Omit<PushEntry, 'wraps'>> {
    const encoded = encodeHeader(header)
    return { header: encoded, signature: this.#device.sign(entrySigningInput(entryHash(encoded))), body }
  }

  /** No two alike, so that nothing is found twice. */
  #body(length: number): Uint8Array {
    const body = new Uint8Array(length)
    new DataView(body.buffer).setUint32(0, ++this.#bodies)
    body.fill(this.#bodies & 0xff, 4)
    return body
  }
}

/** The hash of the platform, as bodies are long. */
function hashOf(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(bytes).digest())
}
